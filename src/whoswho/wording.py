"""Small pieces of the sentences that people read."""

from __future__ import annotations


def plural(count: int, noun: str, ending: str = "s") -> str:
    """`1 file`, `3 files`; `ending` makes the plural of a noun that takes another one."""
    return f"{count} {noun}{'' if count == 1 else ending}"
