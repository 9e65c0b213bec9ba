"""A table as rows of text, which a page and a Markdown document can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LABEL, NAME, NUMBER, TEXT, CODE = "label", "name", "number", "text", "code"


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        columns: header -> what its cells are: LABEL or NAME (a file's), which may hold anything;
            NUMBER, TEXT, or CODE.
    """

    caption: str
    columns: Mapping[str, str]
    rows: Sequence[Sequence[str]]


def number(value: float | None) -> str:
    """A measure as it is printed."""
    return "not defined" if value is None else f"{value:.3f}"
