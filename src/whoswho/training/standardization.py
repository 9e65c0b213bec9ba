"""Mean and deviation of the features that a head is trained on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from whoswho.backbone.loading.process_group import ProcessGroup
from whoswho.errors import UserError

_BLOCK = 4096  # rows; the stored features of a view may be larger than memory


def feature_mean_and_std(
    blocks: Iterator[NDArray[np.float32]], process_group: ProcessGroup | None = None
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column over all rows of the blocks (rows, width).

    Computed in double precision. Each process has blocks of its own, and all get the same answer.

    Raises:
        UserError: the features are not finite.
    """
    # Number of rows, sums and sums of squares.
    sums = [np.zeros(1), np.zeros(1), np.zeros(1)]
    for block in blocks:
        for start in range(0, len(block), _BLOCK):
            values = np.asarray(block[start : start + _BLOCK], np.float64)
            more = (np.array([len(values)]), values.sum(axis=0), (values**2).sum(axis=0))
            sums = [before + added for before, added in zip(sums, more, strict=True)]
    parts = (process_group or ProcessGroup()).all_gather(sums)
    rows, total, squares = (sum(column, np.zeros(1)) for column in zip(*parts, strict=True))
    mean = total / rows
    deviation = np.sqrt(np.maximum(squares / rows - mean**2, 0))
    if not (np.isfinite(mean).all() and np.isfinite(deviation).all()):
        raise UserError(
            "artifacts/features: the backbone gives numbers that are not finite, so its weights "
            "are not sound; check backbone.weights, then `dvc repro -f -s backbone && dvc repro`"
        )
    # A feature that never varies tells nothing; dividing by its deviation would make noise of it.
    deviation = np.where(deviation > 1e-6 * np.maximum(np.abs(mean), 1), deviation, 1.0)
    return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()
