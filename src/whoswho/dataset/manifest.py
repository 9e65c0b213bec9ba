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
from collections.abc import Iterable, Sequence
from pathlib import Path

from whoswho import tables
from whoswho.errors import UserError
from whoswho.paths import fresh_file
from whoswho.tables import Row

NAME = "manifest.csv"
COLUMNS = (
    "file", "label", "site", "search", "rank", "page_url", "image_url", "fetched_at", "sha256",
    "bytes", "width", "height", "content_type", "author", "licence", "note",
)  # fmt: skip


def path(data: Path) -> Path:
    """The manifest of a set."""
    return data / NAME


def read(data: Path) -> tuple[list[str], list[Row]]:
    """Columns and rows of a set's manifest, without what a kill left half written.

    Columns that somebody added are kept behind ours.

    Raises:
        UserError: the file cannot be understood.
    """
    file = path(data)
    if not file.exists():
        return list(COLUMNS), []
    if not file.stat().st_size:
        raise UserError(
            f"{file}: is empty, so nobody knows where the pictures came from; "
            "`dvc checkout data.dvc` brings the last version back; where there is none, delete it"
        )
    _end_the_last_line(file)
    rows = tables.read(file, COLUMNS)
    added = [name for name in (rows[0] if rows else ()) if name not in COLUMNS]
    return [*COLUMNS, *added], rows


def write(data: Path, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Write the manifest anew, sorted by label, site, search and rank."""

    def place(row: Row) -> tuple[str, str, str, int, str, str]:
        rank = row["rank"]
        number = int(rank) if rank.isdecimal() else 0
        return row["label"], row["site"], row["search"], number, row["file"], row["image_url"]

    ordered = sorted(rows, key=place)
    tables.write(path(data), columns, ordered)


def append(data: Path, columns: Sequence[str], row: Row) -> None:
    """Add a row that is on the disk when this returns."""
    line = io.StringIO()
    csv.DictWriter(line, columns, restval="", lineterminator="\n").writerow(row)
    with path(data).open("ab") as file:
        before = file.tell()
        try:
            file.write(line.getvalue().encode(errors="surrogateescape"))
            file.flush()
            os.fsync(file.fileno())
        except OSError:  # a full disk: the next row must not go on in the middle of this one
            os.truncate(path(data), before)
            raise


def may_be_appended(data: Path, columns: Sequence[str]) -> bool:
    """Whether rows of these columns, in their order, can be added at the file's end.

    It must be there and our own: DVC may have put a link to its cache in its place. And its header
    must be ours: a person may have put the columns in another order.
    """
    file = path(data)
    if not file.exists() or file.is_symlink():
        return False
    state = file.stat()
    if state.st_nlink > 1 or not state.st_mode & stat.S_IWUSR:
        return False
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        return next(csv.reader(text), []) == list(columns)


def _end_the_last_line(file: Path) -> None:
    """Cut off the last line where it is half a row, and end it where only its end is missing."""
    data = file.read_bytes()
    if data.endswith((b"\n", b"\r")) or not data:
        return
    written = data.partition(b"\0")[0]  # a power cut may leave zeros
    start = written.rfind(b"\n") + 1
    header, last = (
        next(csv.reader([line.decode(errors="surrogateescape")]), [])
        for line in (written.partition(b"\n")[0], written[start:])
    )
    whole = len(last) == len(header) and len(written) == len(data)
    with fresh_file(file) as partial:
        partial.write_bytes(written + b"\n" if whole else written[:start])
