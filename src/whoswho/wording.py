"""Small pieces of the sentences that people read."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

# What to do where too much of a label is one group of look-alikes.
ONE_GROUP = (
    "cut away the frame or background that they share, or add pictures from elsewhere; column "
    "`group` of artifacts/clean/decisions.csv says which are alike"
)


def plural(count: int, noun: str, ending: str = "s") -> str:
    """`1 file`, `3 files`; `ending` makes the plural of a noun that takes another one."""
    return f"{count} {noun}{'' if count == 1 else ending}"


def needs_most(counts: Mapping[str, int]) -> str:
    """Which label needs pictures most: the one that has the fewest to train on."""
    label = min(counts, key=lambda label: (counts[label], label))
    return f"{label} needs pictures most: it has {counts[label]} to train on."


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines of aligned columns on a terminal, where a Hangul letter is two cells wide."""
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    return [laid_out(row, widths) for row in rows]


def laid_out(row: Sequence[str], widths: Sequence[int]) -> str:
    """A row as a line, each text in a column of so many cells."""
    padded = (text + " " * (width - cells(text)) for text, width in zip(row, widths, strict=True))
    return "  ".join(padded).rstrip()


def cells(text: str) -> int:
    """How many cells of a terminal a text takes."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
