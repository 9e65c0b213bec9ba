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
    HeadShape,
    ModelDescription,
    read_description,
    read_weights,
)
from whoswho.backbone import network
from whoswho.backbone.compute import forward
from whoswho.backbone.network import Network, State
from whoswho.backbone.network.architectures import normalization
from whoswho.errors import UserError, one_line
from whoswho.inference.similarity import Centres
from whoswho.pictures import tensors

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """A model ready to answer."""

    network: Network  # see `build_network`
    description: ModelDescription
    centres: Centres

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in the order of the logits."""
        return self.description.labels

    @property
    def looks_at_faces(self) -> bool:
        """Whether its backbone answers for nothing but a face (images with a fourth channel)."""
        return normalization(self.network.backbone).channels == "RGBA"

    def answer(self, images: Sequence[Image.Image]) -> Answers:
        """What the model says of prepared pictures."""
        return self.judge(outputs(self.network, images))

    def judge(self, outputs: Outputs) -> Answers:
        """What the network's outputs say."""
        similarity = self.centres.similarity(outputs.features)
        return Answers(
            probabilities=softmax(outputs.logits, self.description.temperature),
            similarity=similarity,
            unknown=similarity < self.description.min_similarity,
            features=outputs.features,
        )


@dataclass(frozen=True)
class Answers:
    """What a model says of pictures.

    Attributes:
        probabilities: (pictures, labels).
        similarity: (pictures,), see `Centres.similarity`.
        unknown: (pictures,), whether the similarity is too low for any of the labels.
        features: (pictures, width), of the backbone.
    """

    probabilities: Float64
    similarity: Float64
    unknown: NDArray[np.bool_]
    features: NDArray[np.float32]


@dataclass(frozen=True)
class Outputs:
    """What a network gives for pictures: logits (pictures, labels), features (pictures, width)."""

    logits: Float64
    features: NDArray[np.float32]


def load_model(folder: Path, device: torch.device | None = None) -> Model:
    """The model in `folder`, on `device` (the processor where none is named).

    Raises:
        UserError: no model is there, its format is unknown here, or its files do not fit together.
    """
    description = read_description(folder)
    state = read_weights(folder)
    arch, count = description.arch, len(description.labels)
    try:
        net = build_network(arch, count, description.head, state, device)
        return Model(net, description, Centres.from_state(state))
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder / WEIGHTS}: does not fit {DESCRIPTION} beside it, which has {count} labels "
            f"and a {arch} ({one_line(error, 160)}); {AGAIN}"
        ) from None


def build_network(
    arch: str,
    labels: int,
    head_shape: HeadShape,
    state: State,
    device: torch.device | None = None,
) -> Network:
    """The network as it is served: in evaluation mode, batch norms folded into convolutions.

    Args:
        state: tensors by name, backbone.… and head.…; others are passed over.

    Raises:
        RuntimeError, KeyError, TypeError, ValueError: they do not fit the architecture.
    """
    body, width = network.backbone_from(arch, _below(state, "backbone."))
    head = network.build_head(width, labels, head_shape)
    head.load_state_dict(_below(state, "head."))
    net = Network(arch, forward.fold(body), head).eval().requires_grad_(False)
    return net.to(device or "cpu").to(memory_format=torch.channels_last)


def outputs(net: Network, images: Sequence[Image.Image]) -> Outputs:
    """What a network gives for prepared pictures."""
    device = next(net.parameters()).device
    with torch.inference_mode():
        batch = tensors.to_tensor(images, normalization(net.backbone))
        batch = batch.to(device, memory_format=torch.channels_last)
        features = net.backbone(batch)
        logits = net.head(features).cpu().numpy().astype(np.float64)
    return Outputs(logits, features.cpu().numpy())


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
