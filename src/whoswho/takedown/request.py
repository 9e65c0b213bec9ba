"""What a person wants forgotten, as the command line names it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from whoswho.dataset import forgotten
from whoswho.errors import UserError
from whoswho.labels import from_folder


@dataclass(frozen=True)
class TakedownRequest:
    """Addresses (of a picture or of its page), sha256 of pictures, labels in Unicode form NFC."""

    addresses: frozenset[str] = frozenset()
    pictures: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()

    @classmethod
    def parse(
        cls, urls: Iterable[str], pictures: Iterable[str], labels: Iterable[str]
    ) -> TakedownRequest:
        """What the command line asks for.

        Raises:
            UserError: it asks for nothing, or for what cannot be a sha256 or an address.
        """
        request = cls(
            frozenset(urls),
            frozenset(text.strip().lower() for text in pictures),
            frozenset(map(from_folder, labels)),
        )
        for sha256 in request.pictures:
            if not re.fullmatch(r"[0-9a-f]{64}", sha256):
                raise UserError(
                    f"--sha256 {sha256}: not 64 hexadecimal digits; `sha256sum FILE` prints them, "
                    "data/manifest/ and artifacts/clean/decisions.csv list them"
                )
        for url in request.addresses:
            if not url.startswith(("http://", "https://")):
                raise UserError(
                    f"--url {url[:60]}: not an address in the net; name the picture by --sha256"
                )
        if any(not label.strip() for label in request.labels):
            raise UserError("--label: is empty; name a folder of data/")
        if not (request.addresses or request.pictures or request.labels):
            raise UserError(
                "forget: say what, with --url, --sha256 or --label (each may be repeated)"
            )
        return request

    def names_address(self, url: str) -> bool:
        """Whether `url` is one of the addresses, in whatever spelling."""
        return bool(self.addresses and url) and forgotten.address_hash(url) in self._hashes

    def names_label(self, label: str) -> bool:
        """Whether `label` is one of the labels, in whatever Unicode form."""
        return from_folder(label) in self.labels

    @cached_property
    def _hashes(self) -> frozenset[str]:
        return frozenset(map(forgotten.address_hash, self.addresses))
