"""data/manifest.csv: where every picture came from, and what was given up and why.

A row with a file is a picture. A row without one is an address that gave none; its note says why.
Where such a row has a sha256, the picture was had and is not wanted again: somebody took it out,
or another file of the label has the same bytes.

While a crawl runs, rows are appended, each on the disk before the next; when it ends they are
sorted. What a kill leaves behind is at most half a line, which the next reading cuts off.
"""

from __future__ import annotations

import csv
import io
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path

from whoswho import tables
from whoswho.errors import UserError
from whoswho.paths import fresh_file

NAME = "manifest.csv"


@dataclass(eq=False)
class ManifestRow:
    """A picture, or an address that gave none; every cell is text, empty where nobody knows.

    Attributes:
        file: posix path below data/.
        search: what the site was asked for. `rank`: place among its results, from 1.
        fetched_at: ISO 8601, UTC.
        bytes, width, height: sizes of the picture as it was fetched.
        added: cells of columns that somebody added, by column.
    """

    file: str = ""
    label: str = ""
    site: str = ""
    search: str = ""
    rank: str = ""
    page_url: str = ""
    image_url: str = ""
    fetched_at: str = ""
    sha256: str = ""
    bytes: str = ""
    width: str = ""
    height: str = ""
    content_type: str = ""
    author: str = ""
    licence: str = ""
    note: str = ""
    added: dict[str, str] = field(default_factory=dict)

    @property
    def cells(self) -> dict[str, str]:
        """Its cells by column."""
        return {name: getattr(self, name) for name in COLUMNS} | self.added

    @property
    def address(self) -> str:
        """The picture's address; empty for a data: URL, of which the row keeps the type alone."""
        return "" if self.image_url.startswith("data:") else self.image_url


COLUMNS = tuple(column.name for column in fields(ManifestRow) if column.name != "added")


def path(data: Path) -> Path:
    """The manifest of a set."""
    return data / NAME


def read(data: Path) -> list[ManifestRow]:
    """Rows of a set's manifest, without what a kill left half written.

    Raises:
        UserError: the file cannot be understood.
    """
    file = path(data)
    if not file.exists():
        return []
    if not file.stat().st_size:
        raise UserError(
            f"{file}: is empty, so nobody knows where the pictures came from; "
            "`dvc checkout data.dvc` brings the last version back; where there is none, delete it"
        )
    _end_the_last_line(file)
    return [
        ManifestRow(**{name: row.pop(name) for name in COLUMNS}, added=row)
        for row in tables.read(file, COLUMNS)
    ]


def write(data: Path, rows: Iterable[ManifestRow]) -> None:
    """Write the manifest anew, sorted by label, site, search and rank, added columns last."""

    def order(row: ManifestRow) -> tuple[str, str, str, int, str, str]:
        rank = int(row.rank) if row.rank.isdecimal() else 0
        return row.label, row.site, row.search, rank, row.file, row.image_url

    ordered = sorted(rows, key=order)
    columns = dict.fromkeys((*COLUMNS, *(name for row in ordered for name in row.added)))
    tables.write(path(data), columns, (row.cells for row in ordered))


def append(data: Path, row: ManifestRow) -> None:
    """Add a row that is on the disk when this returns; its cells go under the file's columns."""
    line = io.StringIO()
    csv.DictWriter(line, _header(path(data)), lineterminator="\n").writerow(row.cells)
    with path(data).open("ab") as file:
        before = file.tell()
        try:
            file.write(line.getvalue().encode(errors="surrogateescape"))
            file.flush()
            os.fsync(file.fileno())
        except OSError:  # a full disk: the next row must not go on in the middle of this one
            os.truncate(path(data), before)
            raise


def may_be_appended(data: Path) -> bool:
    """Whether the file is there and our own: DVC may have put a link to its cache in its place."""
    file = path(data)
    if not file.exists() or file.is_symlink():
        return False
    state = file.stat()
    return state.st_nlink == 1 and bool(state.st_mode & stat.S_IWUSR)


def _header(file: Path) -> list[str]:
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        return next(csv.reader(text), [])


def _end_the_last_line(file: Path) -> None:
    """Cut off the last line where it is half a row, and end it where only its end is missing."""
    data = file.read_bytes()
    if data.endswith((b"\n", b"\r")):
        return
    written = data.partition(b"\0")[0]  # a power cut may leave zeros
    start = written.rfind(b"\n") + 1
    last = next(csv.reader([written[start:].decode(errors="surrogateescape")]), [])
    whole = len(last) == len(_header(file)) and len(written) == len(data)
    with fresh_file(file) as partial:
        partial.write_bytes(written + b"\n" if whole else written[:start])
