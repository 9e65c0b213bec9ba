"""data/forgotten.csv: what no crawl may bring back. It keeps hashes, never names or addresses.

A picture is known by the sha256 of its bytes, an address and a label by the sha256 of a form in
which spellings of the same one are equal (`address_hash`, `label_hash`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from whoswho import tables
from whoswho.errors import UserError
from whoswho.labels import from_folder

NAME = "forgotten.csv"
COLUMNS = ("kind", "sha256")
PICTURE, ADDRESS, LABEL = KINDS = ("picture", "address", "label")

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True)
class Forgotten:
    """What is barred, by its hashes."""

    pictures: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()

    def bars_picture(self, sha256: str) -> bool:
        """Whether a picture with these bytes must not come back."""
        return sha256 in self.pictures

    def bars_address(self, url: str) -> bool:
        """Whether nothing may be fetched from `url`, or from the page `url`."""
        return bool(self.addresses) and bool(url) and address_hash(url) in self.addresses

    def bars_label(self, label: str) -> bool:
        """Whether this person must not be searched for."""
        return label_hash(label) in self.labels


def load(data: Path) -> Forgotten:
    """What `data`/forgotten.csv bars; nothing where there is none.

    Raises:
        UserError: a row of it cannot be understood. A bar that is overlooked is worse than a stop.
    """
    path = data / NAME
    if not path.exists():
        return Forgotten()
    found: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for number, row in enumerate(tables.read(path, COLUMNS), 2):
        if row["kind"] not in KINDS or not re.fullmatch("[0-9a-f]{64}", row["sha256"]):
            raise UserError(
                f"{path}, line {number}: not `{'|'.join(KINDS)},64 hexadecimal digits`; "
                "`dvc checkout` restores the file"
            )
        found[row["kind"]].add(row["sha256"])
    return Forgotten(*(frozenset(found[kind]) for kind in KINDS))


def add(
    data: Path,
    *,
    pictures: Iterable[str] = (),
    addresses: Iterable[str] = (),
    labels: Iterable[str] = (),
) -> None:
    """Bar pictures (by sha256), addresses and labels from later crawls, beside what is barred."""
    before = load(data)
    rows = {
        PICTURE: before.pictures | set(pictures),
        ADDRESS: before.addresses | set(map(address_hash, addresses)),
        LABEL: before.labels | set(map(label_hash, labels)),
    }
    tables.write(
        data / NAME,
        COLUMNS,
        [{"kind": kind, "sha256": sha256} for kind in KINDS for sha256 in sorted(rows[kind])],
    )


def address_hash(url: str) -> str:
    """sha256 of an address: of its host in small letters, port, path and query.

    http and https are one, the default port and what follows # say nothing, an empty path is /.
    Any other address, data: among them, counts as it stands.
    """
    text = url.strip()
    try:
        parts = urlsplit(text)
        host = (parts.netloc.rpartition("@")[2]).lower()
    except ValueError:  # brackets that are no IPv6 address
        return _hash(text)
    if parts.scheme not in _DEFAULT_PORTS or not host:
        return _hash(text)
    host = host.removesuffix(_DEFAULT_PORTS[parts.scheme])
    return _hash(f"//{host}{parts.path or '/'}{'?' if parts.query else ''}{parts.query}")


def label_hash(label: str) -> str:
    """sha256 of a label in Unicode form NFC, whatever its case."""
    return _hash(from_folder(label).casefold())


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
