"""Chance that depends on what it is drawn for, and on nothing that was drawn before.

So an epoch is the same whether it follows the one before it in this process or is the first after
an interruption.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derived(*parts: object) -> int:
    """A seed of its own for each combination of parts."""
    text = ":".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def generator(*parts: object) -> np.random.Generator:
    """A generator of its own for each combination of parts."""
    return np.random.Generator(np.random.PCG64(derived(*parts)))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from generators of one's own; those of the processor and CUDA stay as they are."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
