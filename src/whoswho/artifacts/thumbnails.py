"""artifacts/clean/thumbnails: small copies of what cleaning took out, for the contact sheet.

data/ holds the originals and no later stage reads it: so cleaning draws a bounded number a reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import groupby, zip_longest
from pathlib import Path

from whoswho.artifacts.decisions import Decision

FOLDER = "thumbnails"
MOST = 40  # a reason


def chosen_for_sheet(decisions: Iterable[Decision]) -> dict[str, list[Decision]]:
    """reason -> the dropped pictures that are shown, by label and file; at most MOST each.

    Every label has its turn before one has its second, so that none fills the sheet alone.
    """
    dropped: dict[str, list[Decision]] = defaultdict(list)
    for row in sorted(decisions, key=_order):
        if not row.kept:
            for reason in row.reasons:
                dropped[reason].append(row)
    return {reason: sorted(_in_turn(rows)[:MOST], key=_order) for reason, rows in dropped.items()}


def thumbnail_path(clean: Path, sha256: str) -> Path:
    """Where the JPEG of the picture with this hash lies below artifacts/clean."""
    return clean / FOLDER / f"{sha256}.jpg"


def write_thumbnail(clean: Path, sha256: str, jpeg: bytes) -> None:
    """Keep the JPEG of a picture below artifacts/clean, where the folder is."""
    thumbnail_path(clean, sha256).write_bytes(jpeg)


def read_thumbnail(clean: Path, sha256: str) -> bytes | None:
    """The JPEG of a picture below artifacts/clean; None where the file gave no picture."""
    path = thumbnail_path(clean, sha256)
    return path.read_bytes() if sha256 and path.is_file() else None


def _order(row: Decision) -> tuple[str, str]:
    return row.label, row.file


def _in_turn(rows: Sequence[Decision]) -> list[Decision]:
    """The first of every label, then the second of every label, …; `rows` are in order."""
    of_labels = [list(own) for _, own in groupby(rows, key=lambda row: row.label)]
    return [row for turn in zip_longest(*of_labels) for row in turn if row]
