"""In what order and in which batches an epoch goes through the training pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from whoswho import params
from whoswho.backbone.network.seeds import generator

Rows = NDArray[np.int64]  # numbers of pictures in their split
Batches = Sequence[Rows]


def epoch_steps(
    train: params.Train, epoch: int, targets: NDArray[np.int64], min_batch: int
) -> list[list[Rows]]:
    """The batches of an epoch, `train.accumulate` of them for each step of the optimizer."""
    batches = join_small_batch(
        split_batches(epoch_order(train, epoch, targets), train.batch), min_batch
    )
    starts = range(0, len(batches), train.accumulate)
    return [batches[start : start + train.accumulate] for start in starts]


def epoch_order(train: params.Train, epoch: int, targets: NDArray[np.int64]) -> Rows:
    """The pictures of an epoch in the order they are learned from.

    With `balance: sampler` each label comes equally often: its pictures are gone through again
    and again, in a new order each time, until it has its part.
    """
    rng = generator(train.seed, epoch, "order")
    if train.balance != "sampler":
        return rng.permutation(len(targets))
    labels = np.unique(targets)
    quota = math.ceil(len(targets) / len(labels))
    rows = []
    for label in labels:
        own = np.flatnonzero(targets == label)
        rounds = [rng.permutation(own) for _ in range(math.ceil(quota / len(own)))]
        rows.append(np.concatenate(rounds)[:quota])
    return rng.permutation(np.concatenate(rows))


def split_batches(rows: Rows, size: int) -> list[Rows]:
    """Batches of `size` rows; the last may be smaller."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def join_small_batch(batches: list[Rows], min_batch: int) -> list[Rows]:
    """Join a last batch of fewer than `min_batch` rows to the one before: none is left out."""
    if len(batches) < 2 or len(batches[-1]) >= min_batch or len(batches[-2]) < min_batch:
        return batches
    return [*batches[:-2], np.concatenate(batches[-2:])]
