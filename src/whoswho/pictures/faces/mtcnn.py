"""MTCNN (Zhang et al. 2016) with the networks and weights of facenet-pytorch, for one picture.

It finds what that package's own `detect_face` finds, number for number, in some 0.6 of the time:
what the networks see and what they pool is made by `windows`. Nothing of the package is imported.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whoswho.pictures.faces import WINDOW, boxes, networks
from whoswho.pictures.faces.windows import Pixels, Sums

# As in facenet-pytorch: how much smaller each picture of the pyramid is, from which probability on
# each network's finds go on to the next, and from which overlap on two finds are one: at one size,
# over all sizes, at the end.
FACTOR = 0.709
THRESHOLDS = (0.6, 0.7, 0.7)
ONE_SIZE, ALL_SIZES, END = 0.5, 0.7, 0.7

Find = tuple[list[float], float]  # left, top, right, bottom; probability


class Detector:
    """The three networks, ready to look at pictures on the processor."""

    def __init__(self) -> None:
        self._propose = networks.proposing()
        self._refine, self._decide = networks.refining(), networks.deciding()

    def detect(self, pixels: Pixels, min_size: float) -> list[Find]:
        """Every face in RGB pixels from `min_size` pixels on, however unsure.

        Boxes may reach out of the picture, or be no box at all (not a number).
        """
        with torch.inference_mode():
            sums = Sums(pixels)
            candidates = self._proposed(sums, min_size)
            candidates = self._refined(sums, candidates)
            return self._final(sums, candidates)

    def _proposed(self, sums: Sums, min_size: float) -> Tensor:
        """Boxes and probabilities (faces, 5) of the first network, at every size."""
        each = []
        for scale in _scales(min(sums.height, sums.width), min_size):
            shape = int(sums.height * scale + 1), int(sums.width * scale + 1)
            shifts, probabilities = self._propose(_to_input(sums.shrunk(*shape)))
            candidates = boxes.proposed(shifts, probabilities[:, 1], scale, THRESHOLDS[0])
            each.append(candidates[boxes.apart(candidates, ONE_SIZE)])
        if not each:
            return torch.empty(0, 5)
        candidates = torch.cat(each)
        candidates = candidates[boxes.apart(candidates, ALL_SIZES)]
        left, top, right, bottom, probability, *shift = candidates.unbind(1)
        width, height = right - left, bottom - top
        sides = (
            left + shift[0] * width, top + shift[1] * height,
            right + shift[2] * width, bottom + shift[3] * height,
        )  # fmt: skip
        return boxes.squared(torch.stack([*sides, probability], 1))

    def _refined(self, sums: Sums, candidates: Tensor) -> Tensor:
        """Those of (faces, 5) that the second network takes for faces too, moved."""
        candidates, shifts = _sure(sums, candidates, self._refine, 24, THRESHOLDS[1])
        kept = boxes.apart(candidates, ALL_SIZES)
        return boxes.squared(boxes.moved(candidates[kept], shifts[kept]))

    def _final(self, sums: Sums, candidates: Tensor) -> list[Find]:
        """What the third network takes for faces, each once."""
        candidates = boxes.moved(*_sure(sums, candidates, self._decide, 48, THRESHOLDS[2]))
        return [
            (row[:4], row[4]) for row in candidates[boxes.apart_inside(candidates, END)].tolist()
        ]


def _sure(
    sums: Sums, candidates: Tensor, network: networks.Net, side: int, least: float
) -> tuple[Tensor, Tensor]:
    """Those of (faces, 5) that a network of `side` pixels is sure of, and the shifts it sees."""
    candidates, crops = sums.crops(candidates, side)
    if not len(candidates):
        return candidates, candidates[:, :4]
    shifts, probabilities = network(_to_input(crops).contiguous())
    sure = probabilities[:, 1] > least
    return torch.cat([candidates[sure, :4], probabilities[sure, 1:]], 1), shifts[sure]


def _scales(short_side: int, min_size: float) -> Iterator[float]:
    """By how much the picture is shrunk for a face of every size to fill the window."""
    scale = WINDOW / min_size
    left = short_side * scale
    while left >= WINDOW:
        yield scale
        scale, left = scale * FACTOR, left * FACTOR


def _to_input(pixels: NDArray[np.float32]) -> Tensor:
    """Means (pictures, height, width, 3) as the networks take them."""
    maps = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    return maps.sub_(127.5).mul_(0.0078125)
