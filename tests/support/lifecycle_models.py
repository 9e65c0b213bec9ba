"""A real model folder of a small network, written by the code that training uses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from whoswho.inference.similarity import Centres

NAMES = ("장원영", "O'Neil", "None")
PICTURE = {
    "crop": "whole", "margin": 0.3, "size": 64, "face_probability": 0.9, "min_face_size": 0.06,
}  # fmt: skip


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
    _, width = network.backbone_outline(arch)
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
        picture=PictureSettings.from_json(PICTURE),
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
