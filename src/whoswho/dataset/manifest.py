"""data/manifest/: where every picture came from, and what was given up and why.

Each crawl writes a table of its own, which no later crawl changes, so that two people's can be
merged. All are read together, in the order of the numbers they begin with. Of two rows for one
file the later holds; by such a row a crawl notes what became of a picture since.

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
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from whoswho import tables
from whoswho.dataset import listing
from whoswho.errors import UserError
from whoswho.labels import from_folder
from whoswho.paths import fresh_file

FOLDER = "manifest"

# Notes of a row whose file is not there any more.
TAKEN_OUT = "taken out by hand"  # not wanted again
GONE = "moved, replaced by its full picture, or removed with its label"


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

    @property
    def attempt(self) -> tuple[str, ...]:
        """What a failure is known by when it happens again, or is mended."""
        if self.image_url.startswith("http"):
            return self.label, self.site, self.image_url
        return self.label, self.site, self.search, self.rank  # a file, or a data: address


COLUMNS = tuple(column.name for column in fields(ManifestRow) if column.name != "added")


def files(data: Path) -> list[Path]:
    """The tables of a set, the earliest crawl's first."""
    return sorted(listing.tables_of(data, FOLDER), key=lambda file: (_number(file), file.name))


def new_file(data: Path) -> Path:
    """Where a crawl that begins now writes its rows: after all others, under no other's name."""
    number = 1 + max(map(_number, files(data)), default=0)
    return data / FOLDER / f"{number:04d}_{secrets.token_hex(4)}.csv"


def read(data: Path) -> list[ManifestRow]:
    """What holds of a set: of each file the last row, of each failed address the last reason.

    Raises:
        UserError: a table cannot be understood.
    """
    rows = read_all(data)
    last = {from_folder(row.file): row for row in rows if row.file}
    held = [row for row in rows if not row.file or last[from_folder(row.file)] is row]
    return without_old_failures(
        replace(row, file="") if row.note == TAKEN_OUT else row for row in held if row.note != GONE
    )


def read_all(data: Path) -> list[ManifestRow]:
    """Every row of a set's tables, also those that a later one replaces.

    Raises:
        UserError: a table cannot be understood.
    """
    return [row for file in files(data) for row in _read(file)]


def without_old_failures(rows: Iterable[ManifestRow]) -> list[ManifestRow]:
    """Rows with the last failure of an address alone, and none where a picture was had."""
    rows = list(rows)
    had = {row.attempt for row in rows if row.sha256}
    last = {row.attempt: row for row in rows if not row.sha256}
    failed = {row for attempt, row in last.items() if attempt not in had}
    return [row for row in rows if row.sha256 or row in failed]


def write(file: Path, rows: Iterable[ManifestRow]) -> None:
    """Write a table anew, sorted by label, site, search and rank, added columns last.

    What is gone comes first: its file may be there anew.
    """

    def order(row: ManifestRow) -> tuple[bool, str, str, str, int, str, str]:
        rank = int(row.rank) if row.rank.isdecimal() and len(row.rank) < 10 else 0
        here = row.note != GONE
        return here, row.label, row.site, row.search, rank, row.file, row.image_url

    ordered = sorted(rows, key=order)
    columns = dict.fromkeys((*COLUMNS, *(name for row in ordered for name in row.added)))
    tables.write(file, columns, (row.cells for row in ordered))


def append(file: Path, row: ManifestRow) -> None:
    """Add a row that is on the disk when this returns to a table, which is made where absent."""
    if not file.exists():
        write(file, [])
    line = io.StringIO()
    csv.DictWriter(line, _header(file), lineterminator="\n").writerow(row.cells)
    with file.open("ab") as table:
        before = table.tell()
        try:
            table.write(line.getvalue().encode(errors="surrogateescape"))
            table.flush()
            os.fsync(table.fileno())
        except OSError:  # a full disk: the next row must not go on in the middle of this one
            os.truncate(file, before)
            raise


def strike(data: Path, goes: Callable[[ManifestRow], bool]) -> None:
    """Take rows out of every table, and tables that have no other; the rest keep their bytes."""
    for file in files(data):
        rows = _read(file)
        kept = [row for row in rows if not goes(row)]
        if rows and not kept:
            file.unlink()
        elif len(kept) < len(rows):
            write(file, kept)


def _number(file: Path) -> int:
    digits = re.match(r"[0-9]+", file.name)
    return int(digits[0]) if digits else 0


def _read(file: Path) -> list[ManifestRow]:
    """The rows of a table, without what a kill left half written."""
    if not file.stat().st_size:
        raise UserError(
            f"{file}: is empty, so nobody knows where its pictures came from; "
            "`dvc checkout data.dvc` brings the last version back; where there is none, delete it"
        )
    _end_the_last_line(file)
    return [
        ManifestRow(**{name: row.pop(name) for name in COLUMNS}, added=row)
        for row in tables.read(file, COLUMNS)
    ]


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
    try:
        last = next(csv.reader([written[start:].decode(errors="surrogateescape")]), [])
        whole = len(last) == len(_header(file)) and len(written) == len(data)
    except csv.Error:  # which its reader tells of
        return
    with fresh_file(file) as partial:
        partial.write_bytes(written + b"\n" if whole else written[:start])
