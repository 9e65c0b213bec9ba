"""What the networks are made of: modules that others look for by their class, and a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from torch import Tensor, nn

from whoswho.artifacts.model.settings import Normalization

State = dict[str, Tensor]


@dataclass(frozen=True)
class Other:
    """An architecture that is not torchvision's.

    Attributes:
        build: makes the network without its head.
        width: how many numbers it gives a picture.
        weights: the names of its weights in backbone.weights, the default first.
        heads: starts of the names of the head's tensors in a weights file.
        normalization: of its pictures.
        renamed: brings the names of a weights file to those of the network.
    """

    build: Callable[[], nn.Module]
    width: int
    weights: tuple[str, ...]
    heads: tuple[str, ...]
    normalization: Normalization
    renamed: Callable[[State], State] = lambda state: state


class FrozenBatchNorm(nn.BatchNorm2d):
    """The batch norm of a frozen block: its statistics are weights, so no train() changes them."""

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whoever asks and from however far above."""
        return super().train(False)


class NormThenActivation(nn.Sequential):
    """A batch norm that belongs to the convolution before it, and the activation after both."""
