"""Mean greys of the cells of any rectangle in a picture, from its table of sums.

A rectangle at fractions of pixels costs as much as one at whole ones (Crow, "Summed-area tables
for texture mapping", SIGGRAPH 1984), and nothing of it is skipped however small it becomes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sums(grey: NDArray[np.uint8]) -> NDArray[np.int32]:
    """What lies above and to the left of each corner of a pixel, added up; the last two axes."""
    table = np.zeros((*grey.shape[:-2], grey.shape[-2] + 1, grey.shape[-1] + 1), dtype=np.int32)
    table[..., 1:, 1:] = grey
    np.cumsum(table, axis=-1, out=table)
    if grey.ndim == 2:
        np.cumsum(table, axis=0, out=table)
    else:  # of many pictures rows are added up in half the time that cumsum takes
        for row in range(2, table.shape[-2]):
            table[..., row, :] += table[..., row - 1, :]
    return table


def cells(
    table: NDArray[np.int32],
    corners: NDArray[np.float64],
    height: NDArray[np.int64],
    width: NDArray[np.int64],
    count: int,
    which: NDArray[np.int64] | None = None,
) -> NDArray[np.float64]:
    """Mean greys of the cells of n rectangles in pictures, n x count x count.

    Args:
        table: the sums of the pictures' pixels, pictures x rows x columns.
        corners: left, top, right, bottom, n x 4, in pixels; what is outside is cut off.
        height, width: of the pictures, n numbers or one.
        which: picture each rectangle is in; None: one in each.
    """
    fraction = np.arange(count + 1) / count
    left, top, right, bottom = (corners[:, [side]] for side in range(4))
    x = (left + (right - left) * fraction).clip(0, width[:, None])
    y = (top + (bottom - top) * fraction).clip(0, height[:, None])
    column = np.minimum(x.astype(int), width[:, None] - 1)
    row = np.minimum(y.astype(int), height[:, None] - 1)
    across, down = (x - column)[:, None, :], (y - row)[:, :, None]
    # One number a corner: the table is read in a run.
    height_of_table, width_of_table = table.shape[1:]
    indices = np.arange(len(corners)) if which is None else which
    corner = (row + height_of_table * indices[:, None])[:, :, None]
    corner = corner * width_of_table + column[:, None, :]
    flat = table.reshape(-1)

    def at(below: int, beside: int) -> NDArray[np.int32]:
        sums_there: NDArray[np.int32] = flat.take(corner + (below * width_of_table + beside))
        return sums_there

    upper = at(0, 0) * (1 - across) + at(0, 1) * across
    lower = at(1, 0) * (1 - across) + at(1, 1) * across
    total = upper * (1 - down) + lower * down
    area = np.diff(y, axis=1)[:, :, None] * np.diff(x, axis=1)[:, None, :]
    means: NDArray[np.float64] = np.diff(np.diff(total, axis=1), axis=2) / np.maximum(area, 1e-6)
    return means
