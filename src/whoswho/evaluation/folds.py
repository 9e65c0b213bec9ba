"""Folds for cross-validation: look-alikes on one side, labels spread evenly.

They are those of scikit-learn's StratifiedGroupKFold, shuffled, to the picture; importing it takes
longer than a head takes to learn.
"""

from __future__ import annotations

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
    count = min(count, len(set(groups)), int(np.bincount(targets).max()))
    if count < 2:
        return []
    fold_of = _fold_of(targets, groups, count, seed)
    folds = []
    for fold in range(count):
        train, held_out = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        known = np.unique(targets[train])
        held_out = held_out[np.isin(targets[held_out], known)]
        if len(known) > 1 and len(held_out):
            folds.append(Fold(train, held_out))
    return folds


def _fold_of(targets: Rows, groups: Sequence[str], count: int, seed: int) -> Rows:
    """The fold, from 0, of each picture.

    Groups of unevenly spread labels come first, others as shuffled; each goes where the labels'
    fractions then differ least between the folds, of equal places into the smallest.
    """
    _, label, in_label = np.unique(targets, return_inverse=True, return_counts=True)
    names, group = np.unique(groups, return_inverse=True)
    shuffled = np.arange(len(names))
    np.random.RandomState(seed).shuffle(shuffled)
    in_group = np.zeros((len(names), len(in_label)))
    np.add.at(in_group, (group, label), 1)
    in_fold = np.zeros((count, len(in_label)))
    fold_of = np.zeros(len(names), np.int64)
    for index in np.argsort(-np.std(in_group[shuffled], axis=1), kind="stable"):
        chosen, least, smallest = 0, np.inf, np.inf
        own = in_group[shuffled[index]]
        for fold in range(count):
            in_fold[fold] += own
            uneven = float(np.mean(np.std(in_fold / in_label, axis=0)))
            in_fold[fold] -= own
            size = float(in_fold[fold].sum())
            if uneven < least or (np.isclose(uneven, least) and size < smallest):
                chosen, least, smallest = fold, uneven, size
        in_fold[chosen] += own
        fold_of[shuffled[index]] = chosen
    return fold_of[group]
