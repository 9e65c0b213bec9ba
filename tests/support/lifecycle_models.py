"""A real model folder of a small network, written by the code that training uses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from whoswho.inference.similarity import Centres

NAMES = ("장원영", "O'Neil", "None")
PICTURE = {
    "crop": "whole", "margin": 0.3, "size": 64, "face_probability": 0.9, "min_face_size": 0.06,
}  # fmt: skip


def picture_of(label: int) -> Image.Image:
    """A prepared picture that a model which was taught (`teach`) names as this label."""
    pixels = np.random.default_rng(label).integers(0, 256, (8, 8, 3), np.uint8)
    return Image.fromarray(pixels).resize((PICTURE["size"],) * 2, Image.Resampling.NEAREST)


def teach(folder: Path) -> Path:
    """Give the model in `folder` a head, and centres, that are sure of `picture_of` each label."""
    import torch

    from whoswho.artifacts.model import description
    from whoswho.artifacts.model.description import HeadShape
    from whoswho.inference import model as answering
    from whoswho.inference.similarity import Centres, unit

    known = answering.load_model(folder)
    count = len(known.labels)
    values = answering.outputs(known.network, [picture_of(k) for k in range(count)]).features
    weight = np.linalg.lstsq(values.astype(np.float64), 20.0 * np.eye(count), rcond=None)[0].T
    state = description.read_weights(folder)
    width, shape = values.shape[1], HeadShape((), 0.0, False)
    state = {name: value for name, value in state.items() if not name.startswith("head.")}
    state["head.labels.weight"] = torch.from_numpy(weight.astype(np.float32))
    state["head.labels.bias"] = torch.zeros(count)
    zeros, ones = np.zeros(width, np.float32), np.ones(width, np.float32)
    state |= Centres(zeros, ones, unit(values.astype(np.float64)).astype(np.float32)).to_state()
    changed = known.description.model_copy(update={"head": shape})
    description.save_model(folder, state, changed, description.read_history(folder))
    return folder


def make_centres(width: int, labels: int) -> Centres:
    """One direction for each label, at random."""
    from whoswho.inference.similarity import Centres, unit

    vectors = np.random.default_rng(0).standard_normal((labels, width))
    zeros, ones = np.zeros(width, np.float32), np.ones(width, np.float32)
    return Centres(zeros, ones, unit(vectors).astype(np.float32))


def make_model(
    folder: Path,
    labels: Sequence[str],
    *,
    min_similarity: float = -1.0,
    seed: int = 0,
    backbone: dict[str, Any] | None = None,
    arch: str = "resnet18",
) -> Path:
    """A backbone (a random one where none is given) and a random head; any label may win."""
    from whoswho.artifacts.model.backbone import BackboneSource
    from whoswho.artifacts.model.description import HeadShape, ModelDescription, save_model
    from whoswho.artifacts.model.settings import PictureSettings
    from whoswho.backbone import network

    backbone = backbone or network.random_backbone(arch, seed)
    shape = HeadShape((8,), 0.0, True)
    _, width = network.architectures.on_meta(arch)
    head = network.build_head(width, len(labels), shape, seed)
    state = {f"backbone.{name}": value for name, value in backbone.items()}
    state |= {f"head.{name}": value for name, value in head.state_dict().items()}
    state |= make_centres(width, len(labels)).to_state()
    description = ModelDescription(
        arch=arch,
        labels=tuple(labels),
        head=shape,
        epoch=1,
        repeats=(),
        picture=PictureSettings(**PICTURE),
        temperature=1.0,
        min_similarity=min_similarity,
        cross_validation={},
        params={"train.lr": 0.001},
        inputs={"dataset": "x"},
        backbone=BackboneSource(arch=arch, entry="random", sha256="0" * 64, origin=f"seed {seed}"),
    )
    epoch = {
        "epoch": 1, "train/loss": 1.0, "train/accuracy": 0.5,
        "validation/loss": 1.0, "validation/accuracy": 0.5,
    }  # fmt: skip
    save_model(folder, state, description, [epoch])
    return folder
