"""Folds for cross-validation: look-alikes on one side, labels spread evenly."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Fold:
    """Rows to learn from, and rows held out whose labels are among those learned."""

    train: Rows
    held_out: Rows


def split_folds(targets: Rows, groups: Sequence[str], count: int, seed: int) -> list[Fold]:
    """At most `count` folds, each picture held out once.

    A label that lies in one group alone is held out nowhere: nothing would be left to know it by.

    Args:
        targets: (pictures,), label indices.
        groups: (pictures,); look-alikes share one.

    Returns:
        folds that have something to hold out and two labels to learn.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    count = min(count, len(set(groups)), int(np.bincount(targets).max()))
    if count < 2:
        return []
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    folds = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that labels are smaller than the folds
        for train, held_out in splitter.split(targets, targets, groups):
            known = np.unique(targets[train])
            held_out = held_out[np.isin(targets[held_out], known)]
            if len(known) > 1 and len(held_out):
                folds.append(Fold(train, held_out))
    return folds
