"""Judging a model as it will be served: from pictures, by the code that answers elsewhere too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from whoswho.errors import UserError
from whoswho.evaluation.measures import Float64, Int64

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

    from whoswho.artifacts.split import Dataset
    from whoswho.inference.model_folder import Model

ATTENTION = "attention.json"
MOST_EXPLAINED = 24  # labels; explaining one picture takes about half a second on one core

_BATCH = 16
_COLUMNS = ("file", "split", "actual", "predicted", "unknown")
_PROBABILITY = "probability/"


@dataclass(frozen=True)
class Answers:
    """What a model says about one split, picture by picture in the order of split.csv."""

    split: str
    actual: Int64  # (pictures,) indices into the labels of the model
    probabilities: Float64  # (pictures, labels) probabilities
    probabilities_uncalibrated: Float64  # before the temperature


def predict(model: Model, images: Sequence[Image]) -> Float64:
    """How likely each label is for each prepared picture, (pictures, labels)."""
    return model.probabilities(images)


def answer(model: Model, dataset: Dataset, split: str) -> Answers:
    """Ask `model` about all pictures of a split."""
    from whoswho.backbone.loader import open_prepared
    from whoswho.training import calibration

    if model.labels != dataset.labels:
        raise UserError(
            f"{dataset.folder}: its labels ({', '.join(dataset.labels)}) are not those of the "
            f"model ({', '.join(model.labels)}); run `dvc repro` to train on this set"
        )
    examples = dataset.examples[split]
    logits = []
    with tqdm(total=len(examples), desc=split, unit="picture", disable=None, leave=False) as bar:
        for start in range(0, len(examples), _BATCH):
            images = [open_prepared(e.path) for e in examples[start : start + _BATCH]]
            logits.append(model.logits(images))
            bar.update(len(images))
    said = np.concatenate(logits)
    return Answers(
        split,
        dataset.targets(split),
        calibration.probabilities(said, model.temperature),
        calibration.probabilities(said, 1.0),
    )


def table(
    answers: Answers, dataset: Dataset, threshold: float
) -> tuple[list[str], list[dict[str, object]]]:
    """Header and rows of predictions.csv."""
    header = [*_COLUMNS, *(_PROBABILITY + label for label in dataset.labels)]
    rows: list[dict[str, object]] = []
    for example, probabilities in zip(
        dataset.examples[answers.split], answers.probabilities, strict=True
    ):
        row: dict[str, object] = {
            "file": example.file,
            "split": answers.split,
            "actual": dataset.labels[example.label],
            "predicted": dataset.labels[int(probabilities.argmax())],
            "unknown": int(probabilities.max() < threshold),
        }
        row.update(
            (_PROBABILITY + label, float(share))
            for label, share in zip(dataset.labels, probabilities, strict=True)
        )
        rows.append(row)
    return header, rows


def attention(model: Model, dataset: Dataset, answers: Answers) -> dict[str, list[list[float]]]:
    """What counted for the answer to every label's first picture by file name: file -> heat map.

    Of at most MOST_EXPLAINED labels; see `attention.heat_maps`.
    """
    from whoswho.backbone.loader import open_prepared
    from whoswho.evaluation import attention
    from whoswho.pictures import prepare

    first: dict[int, int] = {}
    examples = dataset.examples[answers.split]
    for place in sorted(range(len(examples)), key=lambda place: examples[place].file):
        first.setdefault(examples[place].label, place)
    chosen = [first[label] for label in sorted(first)][:MOST_EXPLAINED]
    maps = attention.heat_maps(
        model.network,
        prepare.to_tensor([open_prepared(examples[place].path) for place in chosen]),
        [int(answers.probabilities[place].argmax()) for place in chosen],
    )
    return {
        examples[place].file: [[round(float(heat), 4) for heat in row] for row in one]
        for place, one in zip(chosen, maps, strict=True)
    }
