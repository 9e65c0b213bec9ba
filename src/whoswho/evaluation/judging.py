"""Judging a model as it will be served: from pictures, by the code that answers elsewhere too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from whoswho.artifacts.model.description import ModelDescription
from whoswho.artifacts.predictions import Evaluation, LabelScore, PredictionRow
from whoswho.artifacts.split import Dataset, dataset_digest, open_prepared
from whoswho.backbone import network
from whoswho.backbone.network.architectures import normalization
from whoswho.errors import UserError
from whoswho.evaluation import attention, measures, robustness
from whoswho.evaluation.measures import Float64
from whoswho.evaluation.served import served_outputs
from whoswho.inference.model import Answers, Model, load_model, softmax
from whoswho.params import Evaluate
from whoswho.pictures import tensors

MOST_EXPLAINED = 24  # labels; explaining one picture takes about half a second on one core


def judge(
    folder: Path, dataset: Dataset, params: Evaluate, device: torch.device | None = None
) -> Evaluation:
    """What the model in `folder` makes of all pictures that it was not trained on.

    Args:
        device: where the model answers; None is the processor.

    Raises:
        UserError: the set is not the one that the model was trained on, or a file of either is
            absent or damaged.
    """
    model = load_model(folder, device)
    _check_trained_on(model.description, dataset)
    splits = [split for split in dataset.splits if split != "train"]
    judged = splits[-1]
    metrics = model.description.repeat_metrics | model.description.cross_validation
    pictures: list[PredictionRow] = []
    scores: list[LabelScore] = []
    drawing = {"seed": params.seed, "bootstrap": params.bootstrap}
    for split in splits:
        outputs = served_outputs(model.network, dataset, split)
        answers, uncalibrated = model.judge(outputs), softmax(outputs.logits, 1.0)
        actual = dataset.targets(split)
        numbers = measures.measure(actual, answers, uncalibrated, **drawing, bins=params.bins)
        metrics.update((f"{split}/{name}", value) for name, value in numbers.items())
        confusion = measures.confusion(actual, answers.probabilities)
        scores += measures.per_label(confusion, model.labels, split)
        pictures += _rows(dataset, split, answers, uncalibrated)
        if split == judged:
            judged_confusion = confusion
            heat_maps = explained(model, dataset, split, answers.probabilities)
            worse = robustness.measure(model, dataset, split, answers, params.altered, **drawing)
    return Evaluation(
        judged,
        model.labels,
        metrics,
        tuple(pictures),
        tuple(scores),
        judged_confusion,
        heat_maps,
        tuple(worse),
    )


def explained(
    model: Model, dataset: Dataset, split: str, probabilities: Float64
) -> dict[str, NDArray[np.float64]]:
    """What counted for the answer to every label's first picture by file name: file -> heat map.

    Of at most MOST_EXPLAINED labels; see `attention.heat_maps`. None of a backbone that is no
    network of torch: there is nothing to follow back.
    """
    if not network.learns(model.network.backbone):
        return {}
    examples = dataset.examples[split]
    first: dict[int, int] = {}
    for index in sorted(range(len(examples)), key=lambda index: examples[index].file):
        first.setdefault(examples[index].label, index)
    chosen = [first[label] for label in sorted(first)][:MOST_EXPLAINED]
    images = [open_prepared(examples[index].path) for index in chosen]
    answers = probabilities[chosen].argmax(axis=1).tolist()
    inputs = tensors.to_tensor(images, normalization(model.network.backbone))
    maps = attention.heat_maps(model.network, inputs, answers)
    return {
        examples[index].file: heat.astype(np.float64)
        for index, heat in zip(chosen, maps, strict=True)
    }


def _check_trained_on(description: ModelDescription, dataset: Dataset) -> None:
    if description.labels != dataset.labels:
        raise UserError(
            f"{dataset.folder}: its labels ({', '.join(dataset.labels)}) are not those of the "
            f"model ({', '.join(description.labels)}); run `dvc repro` to train on this set"
        )
    if description.inputs.get("dataset") != dataset_digest(dataset.folder):
        raise UserError(
            f"{dataset.folder}: other pictures or splits than the model was trained on; "
            "run `dvc repro -f -s train` to train on this set"
        )


def _rows(
    dataset: Dataset, split: str, answers: Answers, uncalibrated: Float64
) -> list[PredictionRow]:
    return [
        PredictionRow(
            example.file,
            split,
            actual=dataset.labels[example.label],
            predicted=dataset.labels[int(answers.probabilities[row].argmax())],
            similarity=float(answers.similarity[row]),
            unknown=bool(answers.unknown[row]),
            probabilities=tuple(answers.probabilities[row].tolist()),
            uncalibrated=tuple(uncalibrated[row].tolist()),
        )
        for row, example in enumerate(dataset.examples[split])
    ]
