"""Whether a picture shows one of the people a model knows: its likeness to their centres.

A picture's features are scaled by the mean and deviation of the training features; its similarity
is the cosine of the angle to the nearest label's centre, the mean of the label's scaled features:
the nearest class mean of T. Mensink et al. 2013 (IEEE TPAMI 35(11)) with the cosine in place of
the distance. docs/training.md says what it was chosen from and by which measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_PREFIX = "centres."


@dataclass(frozen=True)
class Centres:
    """Where a model's people lie in the space of its features.

    Attributes:
        mean, deviation: (width,), of the training features; no deviation is zero.
        directions: (labels, width), unit vectors; zero for a label that is the mean itself.
    """

    mean: Float32
    deviation: Float32
    directions: Float32

    def similarity(self, features: NDArray[np.floating]) -> Float64:
        """The cosine to the nearest centre, -1 to 1, of features (pictures, width)."""
        cosines: Float64 = self.directed(features) @ self.directions.T
        nearest: Float64 = cosines.max(axis=1)
        return nearest

    def directed(self, features: NDArray[np.floating]) -> Float64:
        """Features (pictures, width), scaled and at length 1: their products are cosines."""
        return unit((np.asarray(features, np.float64) - self.mean) / self.deviation)

    def to_state(self) -> dict[str, Tensor]:
        """As tensors by name, as weights.safetensors holds them."""
        import torch

        return {
            _PREFIX + name: torch.from_numpy(getattr(self, name)).contiguous()
            for name in ("mean", "deviation", "directions")
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Centres:
        """From what `to_state` gave, among other tensors.

        Raises:
            KeyError: one of them is absent.
        """
        return cls(*(state[_PREFIX + n].numpy() for n in ("mean", "deviation", "directions")))


def unit(vectors: Float64) -> Float64:
    """Each row at length 1; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)
