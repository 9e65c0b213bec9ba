"""Two pictures laid over each other, one of them maybe a crop of the other, and compared there.

From a rough placement they are moved until they fit best: Gauss-Newton on the correlation, after
Evangelidis and Psarakis, "Parametric image alignment using enhanced correlation coefficient
maximization" (PAMI 2008). All is done for many pairs at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whoswho.cleaning.agreement import SIDE, Numbers, resemblance
from whoswho.cleaning.cells import cells

# Cells a side on which two parts are looked at, and fitted, coarse before fine.
_QUICK = 12
_FITTED = (16, 32)
_STEPS = 5  # of Gauss-Newton on each; it has settled after two to four
_LONGEST_STEP = 4.0  # pixels
_REWEIGHTED = 3  # times in a step
_OUTLIER = 1.5  # of the usual difference, from which a cell weighs less than half
_UNIT = 64  # placements are rounded to fractions of a pixel, so that every machine has the same


Sizes = tuple[NDArray[np.int64], NDArray[np.int64]]  # heights and widths of n pictures


@dataclass(frozen=True)
class Copies:
    """Grey copies of n pictures.

    Attributes:
        table: sums of some pictures (`cells`), each once.
        which: the table of each of the n.
        size: height and width of each of the n.
    """

    table: NDArray[np.int32]
    which: NDArray[np.int64]
    size: Sizes


@dataclass(frozen=True)
class Placements:
    """Where the second picture of each pair lies under the first, as n numbers each.

    What is at (u, v) of the first is at (wide * u + x, high * v + y) of the second: a site that
    squeezes pictures into its frame scales their width and height differently.
    """

    wide: Numbers
    high: Numbers
    x: Numbers
    y: Numbers

    def __getitem__(self, which: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Placements:
        """Some of them."""
        return Placements(self.wide[which], self.high[which], self.x[which], self.y[which])


@dataclass(frozen=True)
class Overlaps:
    """The parts of two pictures that lie over each other, n pairs.

    Attributes:
        base, other: their greys, n x SIDE x SIDE cells.
        base_corners, other_corners: left, top, right, bottom of the parts, n x 4, in fractions of
            the two pictures.
        first, second: how much of each picture lies in the overlap, 0 to 1.
    """

    base: Numbers
    other: Numbers
    base_corners: Numbers
    other_corners: Numbers
    first: Numbers
    second: Numbers


def fractions(first: Sizes, second: Sizes, placed: Placements) -> tuple[Numbers, Numbers]:
    """How much of each picture lies in the overlap, from their heights and widths."""
    base, other = _corners(first, second, placed)
    return _area(base) / (first[0] * first[1]), _area(other) / (second[0] * second[1])


def align(first: Copies, second: Copies, placed: Placements) -> Placements:
    """The placements near the given ones at which the overlaps fit best."""
    for count in _FITTED:
        for _ in range(_STEPS):
            placed = _moved(first, second, placed, count)
    return Placements(
        np.rint(placed.wide * _UNIT**2) / _UNIT**2,
        np.rint(placed.high * _UNIT**2) / _UNIT**2,
        np.rint(placed.x * _UNIT) / _UNIT,
        np.rint(placed.y * _UNIT) / _UNIT,
    )


def overlaps(first: Copies, second: Copies, placed: Placements) -> Overlaps:
    """What lies over each other at the given placements."""
    base, other = _corners(first.size, second.size, placed)
    return Overlaps(
        *_parts(first, second, placed, SIDE),
        base / np.stack(first.size[::-1] * 2, axis=1),
        other / np.stack(second.size[::-1] * 2, axis=1),
        *fractions(first.size, second.size, placed),
    )


def resemblances(first: Copies, second: Copies, placed: Placements) -> Numbers:
    """How much the overlaps resemble each other: a quick look before they are fitted."""
    return resemblance(*_parts(first, second, placed, _QUICK))


def _corners(first: Sizes, second: Sizes, placed: Placements) -> tuple[Numbers, Numbers]:
    """The overlap's left, top, right, bottom in each picture, n x 4."""
    offset = np.stack([placed.x, placed.y], axis=1)
    scale = np.stack([placed.wide, placed.high], axis=1)
    ends = np.stack(first[::-1], axis=1), np.stack(second[::-1], axis=1)
    begin = np.maximum(0, -offset / scale)
    end = np.maximum(begin, np.minimum(ends[0], (ends[1] - offset) / scale))
    base = np.concatenate([begin, end], axis=1)
    return base, np.tile(scale, 2) * base + np.tile(offset, 2)


def _area(corners: Numbers) -> Numbers:
    return (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])


def _parts(
    first: Copies, second: Copies, placed: Placements, count: int
) -> tuple[Numbers, Numbers]:
    """The overlaps, each n x count x count cells."""
    base, other = _corners(first.size, second.size, placed)
    return (
        cells(first.table, base, *first.size, count, first.which),
        cells(second.table, other, *second.size, count, second.which),
    )


def _moved(first: Copies, second: Copies, placed: Placements, count: int) -> Placements:
    """The placements one step of Gauss-Newton on.

    Cells that do not fit at all weigh little (Cauchy's weights): a caption or a logo lies over one
    of the two and must not draw the rest aside.
    """
    base, other = _parts(first, second, placed, count)
    _, corners = _corners(first.size, second.size, placed)
    half = np.maximum(corners[:, 2:] - corners[:, :2], 1.0) / 2
    down, right = np.gradient(other, axis=(1, 2))
    right *= (count / 2 / half[:, 0])[:, None, None]  # grey levels a pixel
    down *= (count / 2 / half[:, 1])[:, None, None]
    # Growing about the middle by one pixel at the end of a side.
    away = (2 * np.arange(count) + 1) / count - 1
    slopes = np.stack(
        [right, down, right * away[None, None, :], down * away[None, :, None]], axis=1
    ).reshape(len(base), 4, -1)

    base, other = base.reshape(len(base), -1), other.reshape(len(other), -1)
    weights = np.ones_like(base)
    for _ in range(_REWEIGHTED):
        a, _ = _normed(base, weights)
        b, size = _normed(other, weights)
        apart = np.abs(a - b)
        usual = np.maximum(np.median(apart, axis=1, keepdims=True), 1e-6)
        weights = 1 / (1 + (apart / (_OUTLIER * usual)) ** 2)
    a, _ = _normed(base, weights)
    b, size = _normed(other, weights)
    total = weights.sum(axis=1)[:, None, None]
    slopes -= (slopes @ weights[:, :, None]) / total
    slopes -= (slopes @ (weights * b)[:, :, None]) * b[:, None, :]
    slopes /= size[:, None, None]
    weighted = slopes * weights[:, None, :]
    normal = weighted @ slopes.transpose(0, 2, 1)
    damping = 1e-6 + 1e-3 * np.trace(normal, axis1=1, axis2=2)
    step = np.linalg.solve(
        normal + damping[:, None, None] * np.eye(4), weighted @ (a - b)[:, :, None]
    )[:, :, 0].clip(-_LONGEST_STEP, _LONGEST_STEP)
    grown = 1 + (step[:, 2:] / half).clip(-0.5, 0.5)
    middle = (corners[:, :2] + corners[:, 2:]) / 2
    return Placements(
        placed.wide * grown[:, 0],
        placed.high * grown[:, 1],
        middle[:, 0] + (placed.x - middle[:, 0]) * grown[:, 0] + step[:, 0],
        middle[:, 1] + (placed.y - middle[:, 1]) * grown[:, 1] + step[:, 1],
    )


def _normed(rows: Numbers, weights: Numbers) -> tuple[Numbers, Numbers]:
    """Rows of weighted mean 0 and weighted length 1, and their lengths before."""
    rows = rows - (rows * weights).sum(axis=1, keepdims=True) / weights.sum(axis=1, keepdims=True)
    size = np.maximum(np.sqrt((rows * rows * weights).sum(axis=1)), 1e-6)
    return rows / size[:, None], size
