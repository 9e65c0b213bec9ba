"""A real model folder of a small network, written by the code that training uses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
    folder: Path, labels: Sequence[str], *, min_similarity: float = -1.0, seed: int = 0
) -> Path:
    """resnet18 with a random backbone and head; every label has its chance."""
    from whoswho.artifacts.model.backbone import BackboneSource
    from whoswho.artifacts.model.description import HeadShape, ModelDescription, save_model
    from whoswho.artifacts.model.settings import PictureSettings
    from whoswho.backbone import network

    backbone = network.random_backbone("resnet18", seed)
    shape = HeadShape((8,), 0.0, True)
    head = network.build_head(512, len(labels), shape, seed)
    state = {f"backbone.{name}": value for name, value in backbone.items()}
    state |= {f"head.{name}": value for name, value in head.state_dict().items()}
    state |= make_centres(512, len(labels)).to_state()
    description = ModelDescription(
        arch="resnet18",
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
        backbone=BackboneSource(
            arch="resnet18", entry="random", sha256="0" * 64, origin=f"seed {seed}"
        ),
    )
    epoch = {
        "epoch": 1, "train/loss": 1.0, "train/accuracy": 0.5,
        "validation/loss": 1.0, "validation/accuracy": 0.5,
    }  # fmt: skip
    save_model(folder, state, description, [epoch])
    return folder
