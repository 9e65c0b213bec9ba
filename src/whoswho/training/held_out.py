"""A trained model calibrated on pictures that were held out of its training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whoswho.artifacts.features import Features
from whoswho.artifacts.split import Dataset
from whoswho.backbone.compute import device as devices
from whoswho.evaluation.served import served_outputs
from whoswho.inference.model import build_network
from whoswho.inference.similarity import Centres
from whoswho.training.calibration import (
    HeldOut,
    fit_centres,
    fit_min_similarity,
    fit_temperature,
)
from whoswho.training.cross_validation import cross_validate
from whoswho.training.fit import Fitted
from whoswho.training.inputs import Recipe, TrainingData


@dataclass(frozen=True)
class Calibration:
    """What was fitted on held-out pictures; see `ModelDescription`.

    Attributes:
        metrics, likeness: of cross-validation; empty where there was none.
    """

    centres: Centres
    temperature: float
    min_similarity: float
    metrics: dict[str, float]
    likeness: dict[str, float]

    @property
    def sentence(self) -> str:
        """`, cross-validated 0.812`; empty where nothing was."""
        accuracy = self.metrics.get("cv/accuracy")
        return "" if accuracy is None else f", cross-validated {accuracy:.3f}"


def calibrate(data: TrainingData, recipe: Recipe, fitted: Fitted) -> Calibration:
    """Temperature and least similarity of a trained model, and where its people lie.

    They rest on cross-validation where features are stored, on the validation pictures where the
    backbone was fine-tuned or no picture can be spared.
    """
    validated = None if data.features is None else cross_validate(data, recipe)
    if data.features is not None and validated is not None:
        centres, held_out = fit_centres(data.features["train"]), validated.held_out
    else:
        centres, held_out = _on_validation(data, recipe, fitted)
    rate = recipe.train.false_reject_rate
    return Calibration(
        centres,
        fit_temperature(held_out.logits, held_out.targets),
        fit_min_similarity(held_out.similarity, rate),
        validated.metrics if validated else {},
        validated.likeness if validated else {},
    )


def _on_validation(data: TrainingData, recipe: Recipe, fitted: Fitted) -> tuple[Centres, HeldOut]:
    """The centres of the training pictures and the answers to those of validation, as served."""
    dataset: Dataset = data.dataset
    device = devices.pick(recipe.train.device)
    with devices.using(device):
        labels = len(dataset.labels)
        network = build_network(data.arch, labels, fitted.head, fitted.state, device)
        train, validation = (
            served_outputs(network, dataset, split) for split in ("train", "validation")
        )
    centres = fit_centres(Features(train.features[np.newaxis], dataset.targets("train")))
    similarity = centres.similarity(validation.features)
    return centres, HeldOut(validation.logits, similarity, dataset.targets("validation"))
