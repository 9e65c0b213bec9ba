"""Means and maxima over the windows of a picture, the same numbers as torch's, sooner.

A mean over whole pixels is read off one table of sums, for all windows of a step at once (Crow,
"Summed-area tables for texture mapping", SIGGRAPH 1984); a maximum is taken of whole rows, where
torch goes number by number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Pixels = NDArray[np.uint8]  # (height, width, 3)
Int = NDArray[np.int32]


class Sums:
    """A table of sums of a picture's pixels above and left of every place; they are exact."""

    def __init__(self, pixels: Pixels) -> None:
        self.height, self.width, _ = pixels.shape
        self._table = np.zeros((self.height + 1, self.width + 1, 3), np.int32)
        np.cumsum(pixels, axis=0, dtype=np.int32, out=self._table[1:, 1:])
        np.cumsum(self._table[1:, 1:], axis=1, out=self._table[1:, 1:])

    def shrunk(self, height: int, width: int) -> NDArray[np.float32]:
        """The picture as torch's interpolation by area makes it, (1, height, width, 3)."""
        top, bottom = _windows(np.array([self.height]), height)
        left, right = _windows(np.array([self.width]), width)
        rows = self._table[bottom[0]] - self._table[top[0]]
        total = rows.take(right[0], 1) - rows.take(left[0], 1)
        return _means(total[None], bottom - top, right - left)

    def crops(self, boxes: Tensor, side: int) -> tuple[Tensor, NDArray[np.float32]]:
        """The boxes that have a pixel of the picture, and that as (boxes, side, side, 3)."""
        left, top, right, bottom = boxes[:, :4].trunc().int().numpy().T
        left, top = np.maximum(left, 1), np.maximum(top, 1)
        right, bottom = np.minimum(right, self.width), np.minimum(bottom, self.height)
        inside = (bottom >= top) & (right >= left)
        top, left, bottom, right = (sides[inside] for sides in (top - 1, left - 1, bottom, right))
        from_row, to_row = (part + top[:, None] for part in _windows(bottom - top, side))
        from_column, to_column = (part + left[:, None] for part in _windows(right - left, side))
        flat = self._table.reshape(-1, 3)

        def at(rows: Int, columns: Int) -> Int:
            sums: Int = flat.take(rows[:, :, None] * (self.width + 1) + columns[:, None, :], 0)
            return sums

        total = at(to_row, to_column) - at(to_row, from_column)
        total -= at(from_row, to_column) - at(from_row, from_column)
        means = _means(total, to_row - from_row, to_column - from_column)
        return boxes[torch.from_numpy(inside)], means


class MaxPool(nn.Module):
    """nn.MaxPool2d(size, 2, ceil_mode=True)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def forward(self, maps: Tensor) -> Tensor:
        """The maxima of maps (pictures, channels, height, width)."""
        for axis in (2, 3):
            steps = -(-(maps.shape[axis] - self._size) // 2) + 1
            pooled = _every_second(maps, axis, 0).narrow(axis, 0, steps).clone()
            for start in range(1, self._size):
                other = _every_second(maps, axis, start)
                part = pooled.narrow(axis, 0, min(steps, other.shape[axis]))
                torch.maximum(part, other.narrow(axis, 0, part.shape[axis]), out=part)
            maps = pooled
        return maps


def _every_second(maps: Tensor, axis: int, start: int) -> Tensor:
    return maps[(slice(None),) * axis + (slice(start, None, 2),)]


def _windows(lengths: NDArray[Any], count: int) -> tuple[Int, Int]:
    """Where each of `count` windows over so many pixels begins and ends, (lengths, count).

    As torch's adaptive pooling cuts them: they cover every pixel and may share some.
    """
    steps = np.arange(count + 1, dtype=np.int64) * np.asarray(lengths, np.int64)[:, None]
    return (steps[:, :-1] // count).astype(np.int32), (-(-steps[:, 1:] // count)).astype(np.int32)


def _means(total: Int, heights: Int, widths: Int) -> NDArray[np.float32]:
    """Sums over windows (pictures, rows, columns, 3) divided by the windows' sizes."""
    means = total.astype(np.float32)
    means /= heights[:, :, None, None].astype(np.float32)
    means /= widths[:, None, :, None].astype(np.float32)
    return means
