"""What a crawl says while it runs: bars on a terminal, else a line when something is done."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def say(text: str, *, trouble: bool = False) -> None:
    """Print a line between the bars; trouble goes to stderr."""
    stream = sys.stderr if trouble else sys.stdout
    tqdm.write(text, file=stream)
    stream.flush()


def bar(name: str, start: int, limit: int) -> tqdm[Any]:
    """A bar that counts pictures from `start` to `limit` (0: nobody knows)."""
    quiet = not sys.stderr.isatty()
    total = limit or None
    return tqdm(desc=name, initial=start, total=total, unit="picture", leave=False, disable=quiet)
