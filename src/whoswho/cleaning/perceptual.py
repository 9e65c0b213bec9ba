"""The perceptual hash: 63 bits that tell pictures apart by their coarse shapes.

After Zauner, "Implementation and benchmarking of perceptual image hash functions" (2010): which of
the 8 x 8 lowest frequencies of the cosine transform are above their median.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FREQUENCIES = 8


def hashes(greys: NDArray[Any]) -> NDArray[np.uint64]:
    """63 bits of each of n grey squares, n x side x side whole numbers; the same everywhere."""
    cosines = _cosines(greys.shape[-1])
    # Whole numbers well within 53 bits: exact as floats, and those are multiplied faster.
    spectra = cosines @ greys.astype(np.float64) @ cosines.T
    low = spectra.reshape(len(greys), -1)[:, 1:]  # without the mean brightness
    above = low > np.median(low, axis=1, keepdims=True)
    positions = np.arange(_FREQUENCIES**2 - 1, dtype=np.uint64)
    bits: NDArray[np.uint64] = (above.astype(np.uint64) << positions).sum(axis=1, dtype=np.uint64)
    return bits


@lru_cache
def _cosines(side: int) -> NDArray[np.float64]:
    """The cosine transform in whole numbers, _FREQUENCIES x side."""
    angles = (2 * np.arange(side) + 1) * np.arange(_FREQUENCIES)[:, None] / (2 * side)
    cosines: NDArray[np.float64] = np.rint(1024 * np.cos(np.pi * angles))
    return cosines
