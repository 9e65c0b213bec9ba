"""What a version would carry, of a head trained on face vectors alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from support.repository import REPOSITORY
from whoswho.artifacts.features import Features
from whoswho.artifacts.model.description import FORMAT
from whoswho.artifacts.model.settings import PictureSettings
from whoswho.artifacts.predictions import PredictionRow
from whoswho.artifacts.split import Dataset, Example
from whoswho.evaluation.folds import Fold
from whoswho.labels import UNKNOWN
from whoswho.lifecycle.registry.gate import ComparedModel
from whoswho.params import Params, load_params
from whoswho.pictures import splitting
from whoswho.training.calibration import fit_centres, fit_min_similarity
from whoswho.training.cross_validation import Pool, cross_validate, train_fold
from whoswho.training.inputs import Recipe, TrainingData

SETTINGS = PictureSettings("face", 0.3, 224, 0.95, 0.08)


def judged(actual: str, predicted: str, told: str) -> PredictionRow:
    """A test picture, what the model takes it for, and what a user is told."""
    return PredictionRow("", "test", actual, predicted, 0.0, told == UNKNOWN, (), ())


def trained(name: str, vectors: NDArray[np.float32], labels: Sequence[str]) -> ComparedModel:
    """Split, train, cross-validate and test as the stages do, each vector a picture.

    Args:
        labels: of each vector; equal vectors are one picture, in whatever version.
    """
    params = load_params(REPOSITORY)
    digests = [hashlib.sha256(vector.tobytes()).hexdigest() for vector in vectors]
    data, rows = _data(params, vectors, labels, digests)
    # On face vectors 10 epochs tell people apart as well as 30 do.
    short = {"cv_repeats": 1, "epochs": 10, "device": "cpu"}
    train = params.train.model_copy(update=short)
    recipe = Recipe(train, params.augment, 0)
    validated = cross_validate(data, recipe)
    assert validated is not None
    learned, tested = rows["train"], rows["test"]
    numbers = np.array([data.dataset.labels.index(label) for label in labels])
    pool = Pool(vectors[np.newaxis], numbers, np.array(digests))
    logits = train_fold(data, recipe, pool, Fold(learned, tested)).validation_logits()
    similarity = fit_centres(pool.features(learned)).similarity(vectors[tested])
    limit = fit_min_similarity(validated.held_out.similarity, train.false_reject_rate)
    predicted = [data.dataset.labels[k] for k in logits.argmax(axis=1)]
    told = [UNKNOWN if s < limit else p for s, p in zip(similarity, predicted, strict=True)]
    test = {
        digests[row]: judged(labels[row], answer, shown)
        for row, answer, shown in zip(tested, predicted, told, strict=True)
    }
    right = {label: [j.predicted == label for j in test.values() if j.actual == label]
             for label in data.dataset.labels}  # fmt: skip
    return ComparedModel(
        name,
        str(FORMAT),
        labels=data.dataset.labels,
        train=frozenset(digests[row] for row in learned),
        test=test,
        recall={label: float(np.mean(hits)) if hits else None for label, hits in right.items()},
        strangers_caught=validated.metrics.get("unknown/strangers_caught"),
        likeness=validated.likeness,
    )


def _data(
    params: Params, vectors: NDArray[np.float32], labels: Sequence[str], digests: Sequence[str]
) -> tuple[TrainingData, dict[str, NDArray[np.int64]]]:
    names = tuple(sorted(set(labels)))
    pictures = list(zip(digests, labels, digests, strict=True))
    splits = splitting.assign(pictures, params.split.model_dump(), params.split.seed)
    examples: dict[str, tuple[Example, ...]] = {}
    features, rows = {}, {}
    for split in ("train", "validation", "test"):
        own = np.array([n for n, digest in enumerate(digests) if splits[digest] == split])
        examples[split] = tuple(
            Example(digests[n], digests[n], digests[n], names.index(labels[n]), Path())
            for n in own
        )
        targets = np.array([example.label for example in examples[split]], np.int64)
        features[split], rows[split] = Features(vectors[np.newaxis, own], targets), own
    dataset = Dataset(Path(), names, SETTINGS, examples)
    return TrainingData(dataset, "dlib_resnet29", {}, features), rows
