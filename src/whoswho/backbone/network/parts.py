"""Modules of a network that others look for by their class."""

from __future__ import annotations

from typing import Self

from torch import nn


class FrozenBatchNorm(nn.BatchNorm2d):
    """The batch norm of a frozen block: its statistics are weights, so no train() changes them."""

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whoever asks and from however far above."""
        return super().train(False)


class NormThenActivation(nn.Sequential):
    """A batch norm that belongs to the convolution before it, and the activation after both."""
