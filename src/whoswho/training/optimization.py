"""Optimizer, learning rate schedule and loss, as params say."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from whoswho import params
from whoswho.backbone.compute.device import has_bf16

MOMENTUM = 0.9  # that of torchvision's own training recipes


def build_optimizer(train: params.Train, groups: list[dict[str, Any]]) -> Optimizer:
    """The optimizer of parameter groups {"params": [...], "lr": ...}."""
    if train.optimizer == "sgd":
        return without_compiler(SGD)(groups, weight_decay=train.weight_decay, momentum=MOMENTUM)
    kind = without_compiler(AdamW if train.optimizer == "adamw" else Adam)
    return kind(groups, weight_decay=train.weight_decay)


@cache
def without_compiler(kind: type[Optimizer]) -> Callable[..., Optimizer]:
    """An optimizer of torch that computes the same and never imports torch's compiler.

    torch wraps its methods to tell the compiler that it must leave them alone, and imports it to
    do so, which takes longer than a head takes to learn.
    """
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(kind, name)) for name in names}
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), methods)


def build_scheduler(train: params.Train, optimizer: Optimizer, epoch_steps: int) -> LambdaLR:
    """The schedule of the optimizer's learning rates, to be stepped with every step of it."""
    return LambdaLR(optimizer, lambda step: lr_factor(train, step, epoch_steps))


def lr_factor(train: params.Train, step: int, epoch_steps: int) -> float:
    """What the learning rates are multiplied by in a step (from 0, over all epochs).

    It rises in a line over the warm-up (Goyal et al. 2017, arXiv:1706.02677) and then, with the
    cosine schedule, falls towards 0 (Loshchilov and Hutter 2017, arXiv:1608.03983, without
    restarts).
    """
    warmup = train.warmup * epoch_steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if train.schedule == "constant":
        return 1.0
    progress = (step - warmup) / max(train.epochs * epoch_steps - warmup, 1)
    return (1 + math.cos(math.pi * progress)) / 2


class Loss:
    """Cross-entropy, smoothed and weighted as params say.

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
            weights = len(targets) / (present * np.maximum(counts, 1))
            self.weights = torch.from_numpy(weights).float()

    def sum(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The sum over pictures of their weighted losses."""
        return nn.functional.cross_entropy(
            logits,
            targets,
            weight=self.weights.to(logits.device),
            label_smoothing=self.smoothing,
            reduction="sum",
        )

    def weight(self, targets: NDArray[np.int64]) -> float:
        """What the sum over these pictures is divided by to be a mean."""
        return float(self.weights.numpy()[targets].sum(dtype=np.float64))


def training_dtype(device: torch.device, precision: str) -> torch.dtype:
    """What the forward pass of a backbone that learns computes in, as train.precision says."""
    named = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if precision != "auto":
        return named[precision]
    if has_bf16(device):
        return torch.bfloat16
    return torch.float16 if device.type == "cuda" else torch.float32
