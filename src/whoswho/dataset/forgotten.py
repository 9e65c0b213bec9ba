"""data/forgotten/: what no crawl may bring back. It keeps hashes, never names or addresses.

Each takedown adds a table, called by its content, and changes none, so that two people's can be
merged.

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

from whoswho import paths, tables
from whoswho.dataset import listing
from whoswho.errors import UserError
from whoswho.labels import from_folder

FOLDER = "forgotten"
PICTURE, ADDRESS, LABEL = KINDS = ("picture", "address", "label")

_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


@dataclass(frozen=True)
class Bar:
    """A row: one of KINDS, and the hash of what is barred."""

    kind: str
    sha256: str


class Forgotten(frozenset[Bar]):
    """What is barred."""

    def bars_picture(self, sha256: str) -> bool:
        """Whether a picture with these bytes must not come back."""
        return Bar(PICTURE, sha256) in self

    def bars_address(self, url: str) -> bool:
        """Whether nothing may be fetched from `url`, or from the page `url`."""
        return bool(self and url) and Bar(ADDRESS, address_hash(url)) in self

    def bars_label(self, label: str) -> bool:
        """Whether this person must not be searched for."""
        return Bar(LABEL, label_hash(label)) in self


def load(data: Path) -> Forgotten:
    """What the tables in `data`/forgotten/ bar.

    Raises:
        UserError: a row cannot be understood. A bar that is overlooked is worse than a stop.
    """
    bars: list[Bar] = []
    for path in listing.tables_of(data, FOLDER):
        rows = tables.read_rows(path, Bar)
        for line, bar in enumerate(rows, 2):
            if bar.kind not in KINDS or not re.fullmatch("[0-9a-f]{64}", bar.sha256):
                raise UserError(
                    f"{path}, line {line}: not `{'|'.join(KINDS)},64 hexadecimal digits`; "
                    "`dvc checkout` restores the file"
                )
        bars += rows
    return Forgotten(bars)


def add(
    data: Path,
    *,
    pictures: Iterable[str] = (),
    addresses: Iterable[str] = (),
    labels: Iterable[str] = (),
) -> None:
    """Bar pictures (by sha256), addresses and labels from later crawls, in a table of their own.

    What is barred already is not written again.
    """
    bars = {
        *(Bar(PICTURE, sha256) for sha256 in pictures),
        *(Bar(ADDRESS, address_hash(url)) for url in addresses),
        *(Bar(LABEL, label_hash(label)) for label in labels),
    }
    new = sorted(bars - load(data), key=lambda bar: (KINDS.index(bar.kind), bar.sha256))
    if new:
        name = paths.digest(*(f"{bar.kind},{bar.sha256}" for bar in new))[:16]
        tables.write_rows(data / FOLDER / f"{name}.csv", Bar, new)


def address_hash(url: str) -> str:
    """sha256 of an address: of its host in small letters, port, path and query.

    http and https are one, the default port and what follows # say nothing, an empty path is /.
    Any other address, data: among them, counts as it stands.
    """
    text = url.strip()
    try:
        parts = urlsplit(text)
    except ValueError:  # brackets that are no IPv6 address
        return _hash(text)
    host = parts.netloc.rpartition("@")[2].lower()
    if parts.scheme not in _DEFAULT_PORTS or not host:
        return _hash(text)
    host = host.removesuffix(_DEFAULT_PORTS[parts.scheme])
    return _hash(f"//{host}{parts.path or '/'}{'?' if parts.query else ''}{parts.query}")


def label_hash(label: str) -> str:
    """sha256 of a label in Unicode form NFC, whatever its case."""
    return _hash(from_folder(label).casefold())


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
