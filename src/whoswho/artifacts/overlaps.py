"""overlaps.csv: the look-alikes that lie in two splits of a set that came split.

Cleaning finds them; preprocess hands the table on with the dataset.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from whoswho import tables

OVERLAPS = "overlaps.csv"


@dataclass(frozen=True)
class Overlap:
    """Two look-alikes on two sides of a split that came with the set; paths below data/."""

    file_a: str
    split_a: str
    file_b: str
    split_b: str


def write_overlaps(folder: Path, overlaps: Iterable[Overlap]) -> None:
    """Write overlaps.csv into `folder`."""
    tables.write_rows(folder / OVERLAPS, Overlap, overlaps)


def read_overlaps(folder: Path) -> list[Overlap]:
    """The rows of the overlaps.csv in `folder`.

    Raises:
        UserError: it is absent or damaged.
    """
    return tables.read_rows(folder / OVERLAPS, Overlap)
