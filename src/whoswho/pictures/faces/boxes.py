"""Boxes of faces, brought together and moved: as facenet-pytorch and torchvision do it.

Number for number (`tests/test_faces.py`), without importing either.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

STRIDE, WINDOW = 2, 12  # pixels: of the first network, which goes in steps and sees so much

Rows = NDArray[np.int64]


def proposed(shifts: Tensor, probabilities: Tensor, scale: float, least: float) -> Tensor:
    """Where the first network sees faces: (faces, 9), a box, its probability, four shifts.

    Args:
        shifts: (1, 4, rows, columns), `probabilities`: (1, rows, columns), at a picture `scale`
            times as large.
    """
    sure = probabilities >= least
    corners = sure.nonzero()[:, 1:].to(shifts.dtype).flip(1)
    first = ((STRIDE * corners + 1) / scale).floor()
    last = ((STRIDE * corners + WINDOW) / scale).floor()
    own = shifts.permute(1, 0, 2, 3)[:, sure].permute(1, 0)
    return torch.cat([first, last, probabilities[sure].unsqueeze(1), own], 1)


def moved(boxes: Tensor, shifts: Tensor) -> Tensor:
    """Boxes and what follows them (faces, 4 and more), by shifts in fractions of their sides."""
    width, height = (boxes[:, end] - boxes[:, end - 2] + 1 for end in (2, 3))
    by = torch.stack([width, height, width, height], 1)
    return torch.cat([boxes[:, :4] + shifts * by, boxes[:, 4:]], 1)


def squared(boxes: Tensor) -> Tensor:
    """Boxes made square around their middles, with what follows them."""
    width, height = (boxes[:, end] - boxes[:, end - 2] for end in (2, 3))
    side = torch.max(width, height)
    left, top = (
        boxes[:, 0] + width * 0.5 - side * 0.5, boxes[:, 1] + height * 0.5 - side * 0.5,
    )  # fmt: skip
    corners = torch.stack([left, top, left + side, top + side], 1)
    return torch.cat([corners, boxes[:, 4:]], 1)


def apart(boxes: Tensor, overlap: float) -> Tensor:
    """The rows of (faces, 5), the surest first, that overlap no surer one by more than that.

    Overlap is the common part's share of both boxes together (greedy non-maximum suppression).
    """
    box, probability = boxes[:, :4].numpy(), boxes[:, 4].numpy()
    order = np.argsort(-probability, kind="stable")
    left, top, right, bottom = box[order].T
    area = (right - left) * (bottom - top)
    common = _common(left, right, 0) * _common(top, bottom, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        overlaps = common / (area[:, None] + area - common)
    return torch.from_numpy(order[_greedy(overlaps > np.float64(overlap))])


def apart_inside(boxes: Tensor, overlap: float) -> Tensor:
    """`apart` with the common part's share of the smaller box, sides counted in whole pixels."""
    box, probability = boxes[:, :4].numpy(), boxes[:, 4].numpy()
    order = np.argsort(probability)[::-1]
    left, top, right, bottom = box[order].T
    area = (right - left + 1) * (bottom - top + 1)
    common = _common(left, right, 1) * _common(top, bottom, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        overlaps = common / np.minimum(area[:, None], area)
    # What is no number counts as too much here; the limit is compared as 32 bits have it.
    return torch.from_numpy(order[_greedy(~(overlaps <= np.float32(overlap)))])


def _common(
    first: NDArray[np.float32], last: NDArray[np.float32], pixel: int
) -> NDArray[np.float32]:
    """How much of one axis each box shares with each other."""
    inner = np.minimum(last[:, None], last) - np.maximum(first[:, None], first) + np.float32(pixel)
    shared: NDArray[np.float32] = np.maximum(np.float32(0), inner)
    return shared


def _greedy(too_much: NDArray[np.bool_]) -> Rows:
    """Of boxes in their order, those that no kept one before them overlaps too much."""
    gone = np.zeros(len(too_much), np.bool_)
    kept = []
    for row in range(len(too_much)):
        if not gone[row]:
            kept.append(row)
            gone |= too_much[row]
    return np.array(kept, np.int64)
