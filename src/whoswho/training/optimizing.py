"""How what learns is moved: its learning rate over time, what a mistake costs, in what order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from whoswho import params
from whoswho.backbone import device as devices
from whoswho.backbone.seeds import generator


def rate(train: params.Train, step: int, steps: int) -> float:
    """The share of the learning rate that holds in a step.

    It rises in a line over the warm-up (Goyal et al. 2017, arXiv:1706.02677) and then, with the
    cosine schedule, falls towards 0 (Loshchilov and Hutter 2017, arXiv:1608.03983, without
    restarts).

    Args:
        step: from 0, over all epochs.
        steps: in an epoch.
    """
    warm = train.warmup * steps
    if step < warm:
        return (step + 1) / (warm + 1)
    if train.schedule == "constant":
        return 1.0
    return (1 + math.cos(math.pi * (step - warm) / max(train.epochs * steps - warm, 1))) / 2


class Loss:
    """What mistakes cost: cross-entropy, softened and weighted as params say.

    Sums and their weights are kept apart, so that a step's loss is the same mean over its
    pictures however many parts they were passed through the network in.
    """

    def __init__(self, train: params.Train, targets: NDArray[np.int64], labels: int) -> None:
        self.smoothing = train.label_smoothing
        self.weights = torch.ones(labels)
        if train.balance == "weights":
            # n / (labels x count): each label weighs as much as any other (King and Zeng 2001,
            # as in scikit-learn's "balanced").
            counts = np.bincount(targets, minlength=labels)
            present = (counts > 0).sum()
            probabilities = len(targets) / (present * np.maximum(counts, 1))
            self.weights = torch.from_numpy(probabilities).float()

    def of(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The sum over pictures of their weighted losses."""
        return nn.functional.cross_entropy(
            logits,
            targets,
            weight=self.weights.to(logits.device),
            label_smoothing=self.smoothing,
            reduction="sum",
        )

    def weight(self, targets: NDArray[np.int64]) -> float:
        """What the sum is divided by to be a mean."""
        return float(self.weights.numpy()[targets].sum(dtype=np.float64))


def order(train: params.Train, epoch: int, targets: NDArray[np.int64]) -> NDArray[np.int64]:
    """The pictures of an epoch in the order they are learned from.

    With `balance: sampler` each label comes equally often: its pictures are gone through again
    and again, in a new order each time, until it has its share.
    """
    count = len(targets)
    draw = generator(train.seed, epoch, "order")
    if train.balance != "sampler":
        return draw.permutation(count)
    present = np.unique(targets)
    quota = math.ceil(count / len(present))
    chosen = []
    for label in present:
        own = np.flatnonzero(targets == label)
        rounds = [draw.permutation(own) for _ in range(math.ceil(quota / len(own)))]
        chosen.append(np.concatenate(rounds)[:quota])
    return draw.permutation(np.concatenate(chosen))


def precision(place: torch.device, wanted: str) -> torch.dtype:
    """The numbers a backbone that learns computes in on `place`."""
    named = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if wanted != "auto":
        return named[wanted]
    if devices.has_bf16(place):
        return torch.bfloat16
    return torch.float16 if place.type == "cuda" else torch.float32


@contextmanager
def autocast(place: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Compute in `dtype` what can be; parameters and losses stay 32-bit."""
    if dtype == torch.float32:
        yield
        return
    with torch.autocast(place.type, dtype):
        yield
