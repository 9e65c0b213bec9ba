"""Two pictures laid over each other, one of them maybe a crop of the other, and compared there.

From a rough placement they are moved until they fit best: Gauss-Newton on the correlation, after
Evangelidis and Psarakis, "Parametric image alignment using enhanced correlation coefficient
maximization" (PAMI 2008). All is done for many pairs at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from whoswho.cleaning.cells import cells

Numbers = NDArray[np.float64]

# Cells a side on which two parts are fitted, coarse before fine, and compared.
_FITTED = (12, 32)
_COMPARED = 32
_STEPS = 5  # of Gauss-Newton on each; it has settled after two to four
_LONGEST_STEP = 4.0  # pixels
_UNIT = 64  # placements are rounded to fractions of a pixel, so that every machine has the same


@dataclass(frozen=True)
class Copies:
    """Grey copies of n pictures as tables of sums (`cells`, n x rows x columns), and the sizes."""

    table: NDArray[np.int32]
    height: NDArray[np.int64]
    width: NDArray[np.int64]


@dataclass(frozen=True)
class Placements:
    """Where the second picture of each pair lies under the first, as n numbers each.

    What is at (u, v) of the first is at (scale * u + x, scale * v + y) of the second.
    """

    scale: Numbers
    x: Numbers
    y: Numbers

    def __getitem__(self, which: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Placements:
        """Some of them."""
        return Placements(self.scale[which], self.x[which], self.y[which])


@dataclass(frozen=True)
class Overlaps:
    """How the parts of two pictures that lie over each other compare, n numbers each.

    Attributes:
        correlation: of the parts, -1 to 1; 0 where one of them is flat.
        detail: that of what is left of the parts without their coarse shapes. Two heads, two
            shots of one scene, two drawings by one hand share these; only the same photograph
            has its edges at the same spots.
        first, second: how much of each picture lies in the overlap, 0 to 1.
    """

    correlation: Numbers
    detail: Numbers
    first: Numbers
    second: Numbers


def fractions(
    first: tuple[NDArray[np.int64], NDArray[np.int64]],
    second: tuple[NDArray[np.int64], NDArray[np.int64]],
    placed: Placements,
) -> tuple[Numbers, Numbers]:
    """How much of each picture lies in the overlap, from their heights and widths."""
    base, other = _corners(first, second, placed)
    return _area(base) / (first[0] * first[1]), _area(other) / (second[0] * second[1])


def align(first: Copies, second: Copies, placed: Placements) -> Placements:
    """The placements near the given ones at which the overlaps fit best."""
    for count in _FITTED:
        for _ in range(_STEPS):
            placed = _moved(first, second, placed, count)
    return Placements(
        np.rint(placed.scale * _UNIT**2) / _UNIT**2,
        np.rint(placed.x * _UNIT) / _UNIT,
        np.rint(placed.y * _UNIT) / _UNIT,
    )


def compare(first: Copies, second: Copies, placed: Placements) -> Overlaps:
    """How the overlaps compare at the given placements."""
    base, other = _parts(first, second, placed, _COMPARED)
    return Overlaps(
        correlations(base, other),
        correlations(details(base), details(other)),
        *fractions((first.height, first.width), (second.height, second.width), placed),
    )


def details(greys: NDArray[Any]) -> Numbers:
    """What is left of n grey squares without what their neighbours show."""
    greys = greys.astype(np.float64)
    left: Numbers = greys - ndimage.uniform_filter(greys, (0, 3, 3), mode="nearest")
    return left


def coarse_correlations(first: Copies, second: Copies, placed: Placements) -> Numbers:
    """How the overlaps correlate on the fewest cells: a quick look before they are fitted."""
    return correlations(*_parts(first, second, placed, _FITTED[0]))


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


def _corners(
    first: tuple[NDArray[np.int64], NDArray[np.int64]],
    second: tuple[NDArray[np.int64], NDArray[np.int64]],
    placed: Placements,
) -> tuple[Numbers, Numbers]:
    """The overlap's left, top, right, bottom in each picture, n x 4."""
    offset = np.stack([placed.x, placed.y], axis=1)
    scale = placed.scale[:, None]
    ends = np.stack(first[::-1], axis=1), np.stack(second[::-1], axis=1)
    begin = np.maximum(0, -offset / scale)
    end = np.maximum(begin, np.minimum(ends[0], (ends[1] - offset) / scale))
    base = np.concatenate([begin, end], axis=1)
    return base, scale * base + np.tile(offset, 2)


def _area(corners: Numbers) -> Numbers:
    return (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])


def _parts(
    first: Copies,
    second: Copies,
    placed: Placements,
    count: int,
) -> tuple[Numbers, Numbers]:
    """The overlaps, each n x count x count cells."""
    base, other = _corners((first.height, first.width), (second.height, second.width), placed)
    return (
        cells(first.table, base, first.height, first.width, count),
        cells(second.table, other, second.height, second.width, count),
    )


def _moved(
    first: Copies,
    second: Copies,
    placed: Placements,
    count: int,
) -> Placements:
    """The placements one step of Gauss-Newton on."""
    base, other = _parts(first, second, placed, count)
    _, corners = _corners((first.height, first.width), (second.height, second.width), placed)
    extent = np.maximum(corners[:, 2:] - corners[:, :2], 1.0)
    down, right = np.gradient(other, axis=(1, 2))
    right *= (count / extent[:, 0])[:, None, None]  # grey levels a pixel
    down *= (count / extent[:, 1])[:, None, None]
    # Growing about the middle by one pixel at the end of the longer side.
    away = (np.arange(count) + 0.5) / count - 0.5
    reach = extent.max(axis=1) / 2
    growing = right * (away[None, None, :] * (extent[:, 0] / reach)[:, None, None])
    growing += down * (away[None, :, None] * (extent[:, 1] / reach)[:, None, None])
    slopes = np.stack([right, down, growing], axis=1).reshape(len(base), 3, -1)

    base, _ = _normed(base.reshape(len(base), -1))
    other, size = _normed(other.reshape(len(other), -1))
    slopes -= slopes.mean(axis=2, keepdims=True)
    slopes -= (slopes @ other[:, :, None]) * other[:, None, :]
    slopes /= size[:, None, None]
    normal = slopes @ slopes.transpose(0, 2, 1)
    damping = 1e-6 + 1e-3 * np.trace(normal, axis1=1, axis2=2)
    step = np.linalg.solve(
        normal + damping[:, None, None] * np.eye(3), slopes @ (base - other)[:, :, None]
    )[:, :, 0].clip(-_LONGEST_STEP, _LONGEST_STEP)
    grown = 1 + step[:, 2] / reach
    middle = (corners[:, :2] + corners[:, 2:]) / 2
    return Placements(
        placed.scale * grown,
        middle[:, 0] + (placed.x - middle[:, 0]) * grown + step[:, 0],
        middle[:, 1] + (placed.y - middle[:, 1]) * grown + step[:, 1],
    )


def _normed(rows: Numbers) -> tuple[Numbers, Numbers]:
    """Rows of mean 0 and length 1, and their lengths before."""
    rows = rows - rows.mean(axis=1, keepdims=True)
    size = np.maximum(np.sqrt((rows * rows).sum(axis=1)), 1e-6)
    return rows / size[:, None], size
