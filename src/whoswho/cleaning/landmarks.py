"""Landmarks of a picture that a crop leaves where they are, and how well two pictures overlap.

A landmark is a blob brighter or darker than what is around it, with its size: an extremum of the
difference of Gaussians over place and scale (Lowe, "Distinctive image features from
scale-invariant keypoints", IJCV 2004). Pictures on the web are not turned, so that no direction
is sought. A square around the landmark, in proportion to its size, gets a perceptual hash. What is
compared is computed in whole numbers, or rounded to them: every machine finds the same.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from whoswho.cleaning.cells import cells, sums
from whoswho.cleaning.perceptual import hashes

LONG = 112  # pixels of the long side of the grey copy
MOST = 32  # landmarks of a picture: the most contrasted ones

# Of a landmark: hashes of its square and of the mirrored one; where its middle is and how long
# its side, in 1/UNIT pixel of the grey copy.
LANDMARK = np.dtype(
    [("bits", "<u8"), ("mirrored", "<u8"), ("x", "<u2"), ("y", "<u2"), ("side", "<u2")]
)
UNIT = 64

_SCALES = 1.6 * 2 ** (np.arange(9) / 2)  # pixels; a crop changes a landmark's by any factor
_WHOLE = 4096  # the Gaussians in whole numbers: products of three fit into a float's 53 bits
_FAINTEST = 1.0  # grey levels between a landmark and what is around it
_SQUARE = 5.5  # scales a side: large enough to tell, small enough to lie within crops
_OUTSIDE = 2.0  # pixels by which a square may stick out
_CELLS = 16  # the square is hashed on this many cells a side


def shrink(image: Image.Image) -> NDArray[np.uint8]:
    """A grey picture with its long side at LONG pixels; its shape is kept."""
    scale = LONG / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    way = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    return np.asarray(image.resize(size, way), dtype=np.uint8)


def find(grey: NDArray[np.uint8]) -> NDArray[Any]:
    """The landmarks (LANDMARK) of a shrunk picture, the most contrasted first."""
    height, width = grey.shape
    padded = np.pad(grey, ((0, LONG - height), (0, LONG - width)), mode="edge").astype(float)
    kernels = _kernels()
    blurred = kernels @ padded @ kernels.transpose(0, 2, 1)
    contrast = np.diff(blurred, axis=0)[:, :height, :width]
    peak = ndimage.maximum_filter(contrast, 3, mode="nearest") == contrast
    peak |= ndimage.minimum_filter(contrast, 3, mode="nearest") == contrast
    peak &= np.abs(contrast) > _FAINTEST * _WHOLE**2
    peak[[0, -1]] = False  # an extremum needs a neighbour on either side
    level, y, x = np.nonzero(peak)
    edged = np.pad(contrast, ((0, 0), (1, 1), (1, 1)), mode="edge")
    here = contrast[level, y, x]
    scale = _SCALES[0] * 2 ** (
        (level + _vertex(contrast[level - 1, y, x], here, contrast[level + 1, y, x])) / 2
    )
    down = y + 0.5 + _vertex(edged[level, y, x + 1], here, edged[level, y + 2, x + 1])
    right = x + 0.5 + _vertex(edged[level, y + 1, x], here, edged[level, y + 1, x + 2])
    side = _SQUARE * scale
    reach = side / 2 - _OUTSIDE
    inside = (down > reach) & (right > reach) & (down < height - reach) & (right < width - reach)
    chosen = np.flatnonzero(inside)
    chosen = chosen[np.argsort(-np.abs(here[chosen]), kind="stable")][:MOST]
    marks = np.zeros(len(chosen), dtype=LANDMARK)
    for name, values in (("x", right), ("y", down), ("side", side)):
        marks[name] = np.rint(values[chosen] * UNIT)
    if len(marks):
        squares = _squares(grey, marks)
        marks["bits"] = hashes(squares)
        marks["mirrored"] = hashes(squares[:, :, ::-1])
    return marks


@lru_cache(maxsize=1)
def _kernels() -> NDArray[np.float64]:
    """A matrix a scale that blurs the columns of a grey copy; what is outside equals the edge."""
    inside = np.arange(LONG)
    sources = np.arange(-4 * LONG, 5 * LONG)
    kernels = np.zeros((len(_SCALES), LONG, LONG))
    for kernel, scale in zip(kernels, _SCALES, strict=True):
        weights = np.exp(-0.5 * ((sources - inside[:, None]) / scale) ** 2)
        weights /= weights.sum(axis=1, keepdims=True)
        np.add.at(kernel.T, np.clip(sources, 0, LONG - 1), weights.T)
    return np.rint(kernels * _WHOLE)


def _vertex(
    before: NDArray[np.float64], here: NDArray[np.float64], after: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Where the parabola through three neighbours has its top, -0.5 to 0.5."""
    bend = before - 2 * here + after
    offset = (before - after) / np.where(bend == 0, 1, 2 * bend)
    return np.where(bend == 0, 0, offset).clip(-0.5, 0.5)


def _squares(grey: NDArray[np.uint8], marks: NDArray[Any]) -> NDArray[np.int64]:
    """The landmarks' squares, each of _CELLS x _CELLS cells, in 1/16 of a grey level."""
    middle = np.stack([marks["x"], marks["y"]], axis=1) / UNIT
    reach = marks["side"][:, None] / (2 * UNIT)
    corners = np.concatenate([middle - reach, middle + reach], axis=1)
    height, width = grey.shape
    table = np.broadcast_to(sums(grey), (len(marks), height + 1, width + 1))
    return np.rint(16 * cells(table, corners, np.array([height]), np.array([width]), _CELLS))
