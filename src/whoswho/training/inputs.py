"""What a training depends on: its data, its recipe, and the digests that name both."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from whoswho import params, paths
from whoswho.artifacts.features import Features, index_digest
from whoswho.artifacts.model.backbone import source_digest
from whoswho.artifacts.model.description import HeadShape
from whoswho.artifacts.split import Dataset, dataset_digest
from whoswho.backbone.network import State, Unfreeze


@dataclass(frozen=True)
class TrainingData:
    """What is learned from.

    Attributes:
        backbone: tensors by name, as they were before this training.
        features: split -> the stored features of a frozen backbone; None where it is fine-tuned.
    """

    dataset: Dataset
    arch: str
    backbone: State
    features: dict[str, Features] | None


@dataclass(frozen=True)
class Recipe:
    """How it is learned: the params that a training reads."""

    train: params.Train
    augment: params.Augment
    unfreeze: Unfreeze

    @property
    def head_shape(self) -> HeadShape:
        """The head that is trained."""
        return HeadShape(tuple(self.train.head), self.train.dropout, self.train.standardize)

    def flat(self) -> dict[str, object]:
        """The params, named as in params.yaml."""
        sections = {"augment": self.augment, "train": self.train}
        return {"backbone.unfreeze": self.unfreeze} | {
            f"{name}.{key}": value
            for name, section in sections.items()
            for key, value in section.model_dump().items()
        }


def input_digests(workspace: Path) -> dict[str, str]:
    """The digests of what a training reads, by name; part of its model and of its key."""
    return {
        "dataset": dataset_digest(workspace / paths.DATASET),
        "backbone": source_digest(workspace / paths.BACKBONE),
        "features": index_digest(workspace / paths.FEATURES),
    }


def training_key(digests: dict[str, str], recipe: Recipe) -> str:
    """The digest of everything a training depends on."""
    return paths.digest(json.dumps([digests, recipe.flat()], sort_keys=True))
