"""Where cleaning's time goes: seconds of processor of each kind of work, over all processes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

OPENING = "opening"
FINGERPRINTS = "fingerprints"
RELATING = "relating"
DETECTION = "detection"
IDENTITY = "identity"

Seconds = Counter[str]


@contextmanager
def on(work: str, seconds: Seconds) -> Iterator[None]:
    """Add what this process spends in a block, an error's too."""
    start = time.process_time()
    try:
        yield
    finally:
        seconds[work] += time.process_time() - start  # type: ignore[assignment]


def phrase(seconds: Seconds) -> str:
    """`opening 12.1, fingerprints 3.2, …`, in the order of the work."""
    order = (OPENING, FINGERPRINTS, RELATING, DETECTION, IDENTITY)
    return ", ".join(f"{work} {seconds[work]:.1f}" for work in order if work in seconds)
