"""A model folder as a network that answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from whoswho.artifacts.model.description import (
    AGAIN,
    DESCRIPTION,
    WEIGHTS,
    ModelDescription,
    read_description,
    read_weights,
)
from whoswho.backbone import network
from whoswho.backbone.compute import forward
from whoswho.backbone.network import Network, State
from whoswho.backbone.network.architectures import normalization
from whoswho.errors import UserError, one_line
from whoswho.pictures import tensors

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """A model ready to answer."""

    network: Network  # in evaluation mode, each batch norm folded into its convolution
    description: ModelDescription

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in the order of the logits."""
        return self.description.labels

    def logits(self, images: Sequence[Image.Image]) -> Float64:
        """The network's output for prepared pictures, (pictures, labels)."""
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            batch = tensors.to_tensor(images, normalization(self.network.backbone))
            batch = batch.to(device, memory_format=torch.channels_last)
            logits: Float64 = self.network(batch).cpu().numpy().astype(np.float64)
        return logits

    def probabilities(self, images: Sequence[Image.Image]) -> Float64:
        """How likely each label is for each prepared picture, (pictures, labels)."""
        return softmax(self.logits(images), self.description.temperature)


def load_model(folder: Path, device: torch.device | None = None) -> Model:
    """The model in `folder`, on `device` (the processor where none is named).

    Raises:
        UserError: no model is there, its format is unknown here, or its files do not fit together.
    """
    description = read_description(folder)
    state = read_weights(folder)
    arch, count = description.arch, len(description.labels)
    try:
        body, width = network.backbone_from(arch, _below(state, "backbone."))
        head = network.build_head(width, count, description.head)
        head.load_state_dict(_below(state, "head."))
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder / WEIGHTS}: does not fit {DESCRIPTION} beside it, which has {count} labels "
            f"and a {arch} ({one_line(error, 160)}); {AGAIN}"
        ) from None
    net = Network(arch, forward.fold(body), head).eval().requires_grad_(False)
    net.to(device or "cpu").to(memory_format=torch.channels_last)
    return Model(net, description)


def softmax(logits: NDArray[np.floating], temperature: float) -> Float64:
    """Probabilities from logits (pictures, labels) over a temperature, in double precision."""
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: Float64 = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def _below(state: State, prefix: str) -> State:
    """The tensors whose names start with `prefix`, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in state.items()
        if name.startswith(prefix)
    }
