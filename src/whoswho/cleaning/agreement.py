"""Whether two pictures laid over each other agree in what tells pictures apart.

The correlation of whole pictures, and that of their edges, follows what is large or sharp in them:
a news card, a studio's background, a wall half light and half dark. Here every spot counts alike:
a small square of the one is correlated with that of the other (the structure term of Wang, Bovik,
Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural similarity",
2004). Spots where neither shows anything do not count, the middle counts more than the edges,
where frames, captions and marks lie, and what many pictures of the set have in common counts
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from whoswho.cleaning import hamming
from whoswho.cleaning.cells import cells, sums
from whoswho.cleaning.hamming import Indices

Numbers = NDArray[np.float64]
Small = Callable[[Indices], NDArray[np.uint8]]

SIDE = 32  # cells a side on which two pictures are compared
_SQUARE = 5  # cells a side of a spot
_AGREES = 0.90  # correlation from which a spot agrees
_CONTRAST = 50.0  # standard deviation that pictures are brought to
_FLATTEST = 4.0  # a picture of less is noise: it is raised by no more than that
# Variances, of a spot: what JPEG leaves of a flat one; from which on it shows something.
_NOISE, _SHOWN = 25.0, 50.0
_LEAST_SHOWN = 0.02  # fraction of the picture that must show something
# What is common is left out where at least this fraction of what is shown is not.
_LEAST_DIFFERENT = 0.15
# Pictures like it that make something of a picture common, and that are compared at most.
_FEWEST, _COMPARED = 3, 16
_AT_ONCE = 512


@dataclass(frozen=True)
class Thresholds:
    """From which numbers two pictures are related.

    Attributes:
        agreement: of pictures that look alike.
        correlation, detail: of those of them that are the same photograph: that of the pictures
            and that of their `details`.
    """

    agreement: float
    correlation: float
    detail: float


def related(
    base: NDArray[Any], other: NDArray[Any], common: Numbers, limits: Thresholds
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Numbers]:
    """Which of n pairs are the same photograph, which are alike, those included; correlations."""
    alike = agreement(base, other, common) >= limits.agreement
    correlation = correlations(base, other)
    detail = correlations(details(base), details(other))
    near = alike & (correlation >= limits.correlation) & (detail >= limits.detail)
    return near, alike, correlation


def agreement(base: NDArray[Any], other: NDArray[Any], common: Numbers) -> Numbers:
    """The fraction of the spots showing something at which n pictures agree with n others.

    Args:
        base, other: n x SIDE x SIDE greys.
        common: how far each cell is common to many pictures (`Common.parts`).
    """
    correlation, weight = _spots(base, other)
    weight *= _middle()
    different = weight * (1 - common) ** 2
    enough = different.sum(axis=(1, 2)) >= _LEAST_DIFFERENT * weight.sum(axis=(1, 2))
    weight = np.where(enough[:, None, None], different, weight)
    total = weight.sum(axis=(1, 2))
    agreeing: Numbers = np.divide(
        ((correlation >= _AGREES) * weight).sum(axis=(1, 2)),
        total,
        out=np.zeros_like(total),
        where=total >= _LEAST_SHOWN,
    )
    return np.round(agreeing, 4)


def resemblance(base: NDArray[Any], other: NDArray[Any]) -> Numbers:
    """The spots' mean correlation: how well n squares of greys fit that are laid over roughly."""
    correlation, weight = _spots(base, other)
    total = weight.sum(axis=(1, 2))
    shown = (correlation * weight).sum(axis=(1, 2))
    means: Numbers = np.divide(shown, total, out=np.zeros_like(total), where=total > 0)
    return means


def correlations(base: NDArray[Any], other: NDArray[Any]) -> Numbers:
    """Pearson's correlation of n grey squares with n others; 0 where one is flat.

    In whole sixteenths of a grey level: their sums are below 2**53, so that they are exact in
    whatever order they are added.
    """
    a, b = (np.rint(16.0 * part).reshape(len(part), -1) for part in (base, other))
    n = a.shape[1]
    total_a, total_b = a.sum(axis=1), b.sum(axis=1)
    both = n * (a * b).sum(axis=1) - total_a * total_b
    size_a = n * (a * a).sum(axis=1) - total_a**2
    size_b = n * (b * b).sum(axis=1) - total_b**2
    size = np.sqrt(size_a) * np.sqrt(size_b)
    quotients: Numbers = np.divide(both, size, out=np.zeros_like(size), where=size > 0)
    return quotients


def details(greys: NDArray[Any]) -> Numbers:
    """What is left of n grey squares without what their neighbours show.

    Two heads, two shots of one scene, two drawings by one hand share their coarse shapes; only the
    same photograph has its edges at the same spots.
    """
    greys = greys.astype(np.float64)
    left: Numbers = greys - ndimage.uniform_filter(greys, (0, 3, 3), mode="nearest")
    return left


class Common:
    """What each picture has in common with many others of its set, as whole pictures.

    Args:
        count: how many pictures there are.
        first, second: pairs of pictures that may be alike, each once.
        small: gives the grey copies of pictures, n x SIDE x SIDE.
    """

    def __init__(self, count: int, first: Indices, second: Indices, small: Small) -> None:
        rows, others = np.concatenate([first, second]), np.concatenate([second, first])
        order = np.lexsort((others, rows))
        rows, others = rows[order], others[order]
        compared = np.bincount(rows, minlength=count)
        chosen = (compared[rows] >= _FEWEST) & (hamming.rank_in_run(rows) < _COMPARED)
        rows, others = rows[chosen], others[chosen]
        pictures, row = np.unique(rows, return_inverse=True)
        self._row = np.full(count, -1)
        self._row[pictures] = np.arange(len(pictures))
        self._agreeing = np.zeros((len(pictures), SIDE, SIDE), dtype=np.uint8)
        self._compared = np.minimum(compared[pictures], _COMPARED)
        for start in range(0, len(rows), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            correlation, _ = _spots(small(rows[part]), small(others[part]))
            np.add.at(self._agreeing, row[part], (correlation >= _AGREES).astype(np.uint8))

    def parts(
        self, pictures: Indices, corners: Numbers | None = None, mirrored: bool = False
    ) -> Numbers:
        """How far each cell is common, 0 to 1, n x SIDE x SIDE; 0 where few are like a picture.

        Args:
            corners: left, top, right, bottom of a part of each, in fractions of the picture.
            mirrored: whether the pictures' mirror images are meant.
        """
        parts = np.zeros((len(pictures), SIDE, SIDE))
        known = np.flatnonzero(self._row[pictures] >= 0)
        if len(known):
            row = self._row[pictures[known]]
            agreeing = self._agreeing[row][:, :, :: -1 if mirrored else 1]
            side = np.array([SIDE])
            means = (
                agreeing
                if corners is None
                else cells(sums(agreeing), SIDE * corners[known], side, side, SIDE)
            )
            parts[known] = means / self._compared[row][:, None, None]
        return parts


def _spots(base: NDArray[Any], other: NDArray[Any]) -> tuple[Numbers, Numbers]:
    """How the spots of n pictures correlate with those of others, and how much they show, 0 to 1.

    Sums are of whole numbers: they are exact in whatever order they are added.
    """
    a, b = _levelled(base), _levelled(other)
    size = _SQUARE**2
    sum_a, sum_b = _box(a), _box(b)
    var_a, var_b = (size * _box(x * x) - s * s for x, s in ((a, sum_a), (b, sum_b)))
    both = size * _box(a * b) - sum_a * sum_b
    unit = (16.0 * size) ** 2
    noise = _NOISE * unit
    correlation: Numbers = (both + noise) / np.sqrt((var_a + noise) * (var_b + noise))
    most = np.maximum(var_a, var_b)
    return correlation, most / (most + _SHOWN * unit)


def _levelled(greys: NDArray[Any]) -> Numbers:
    """Greys of mean 0 and one contrast, in whole sixteenths."""
    greys = np.rint(16.0 * greys)
    greys = greys - greys.mean(axis=(1, 2), keepdims=True)
    deviation = np.maximum(greys.std(axis=(1, 2), keepdims=True), 16 * _FLATTEST)
    levelled: Numbers = np.rint(greys * (16 * _CONTRAST / deviation))
    return levelled


def _box(values: Numbers) -> Numbers:
    """Sums over the square around each cell."""
    ones = np.ones(_SQUARE)
    down = ndimage.convolve1d(values, ones, axis=1, mode="nearest")
    sums: Numbers = ndimage.convolve1d(down, ones, axis=2, mode="nearest")
    return sums


@lru_cache(maxsize=1)
def _middle() -> Numbers:
    """How much each cell counts, 1 in all: most in the middle, nothing at the edges."""
    along = np.sin(np.pi * (np.arange(SIDE) + 0.5) / SIDE) ** 2
    weights: Numbers = along[:, None] * along
    weights /= weights.sum()
    return weights
