"""What a crawl says while it runs: bars on a terminal, else a line when something is done."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

_LOCK = threading.Lock()


def say(text: str, *, trouble: bool = False) -> None:
    """Print a line between the bars; trouble goes to stderr."""
    with _LOCK:
        tqdm.write(text, file=sys.stderr if trouble else sys.stdout)
        (sys.stderr if trouble else sys.stdout).flush()


@contextmanager
def bar(name: str, start: int, limit: int) -> Iterator[tqdm[Any]]:
    """A bar that counts pictures from `start` to `limit` (0: nobody knows)."""
    quiet = not sys.stderr.isatty()
    total = limit or None
    with tqdm(
        desc=name, initial=start, total=total, unit="picture", leave=False, disable=quiet
    ) as shown:
        yield shown
