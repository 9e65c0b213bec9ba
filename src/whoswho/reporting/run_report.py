"""What a run is about, read once from its artifacts for the tables, the page and the card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whoswho import paths, tables
from whoswho.artifacts import decisions
from whoswho.artifacts.backbone import BackboneSource
from whoswho.artifacts.overlaps import Overlap
from whoswho.artifacts.split import load_dataset
from whoswho.errors import UserError
from whoswho.reporting.cleaning_counts import CleaningCounts, count_decisions

PER_LABEL = ("label", "split", "precision", "recall", "f1", "support")
CLEANING = ("label", "reason", "count")
PREDICTIONS = ("file", "actual", "predicted", "split")


@dataclass(frozen=True)
class Score:
    """How one label fares in one split; None where a quantity is not defined."""

    label: str
    split: str
    precision: float | None  # not defined for a label never predicted
    recall: float | None  # not defined for a label without pictures
    f1: float | None  # not defined for a label without pictures
    support: int  # pictures


@dataclass(frozen=True)
class Prediction:
    """One judged picture and the model's answer."""

    file: str  # relative to data/
    split: str
    actual: str
    predicted: str
    probability: float  # of the answer, with the temperature
    uncalibrated: float  # the same without it
    unknown: bool  # below the threshold: the model says that it is none of these people
    picture: Path  # as the network saw it

    @property
    def right(self) -> bool:
        """Whether the answer is the label."""
        return self.actual == self.predicted


@dataclass(frozen=True)
class RunReport:
    """Everything the report says, as plain values."""

    labels: Sequence[str]  # in the model's order
    judged_split: str  # test, or validation where there is no test
    all_predictions: Sequence[Prediction]  # of every split that was predicted
    metrics: Mapping[str, float]
    history: Sequence[tables.Row]
    cleaning: CleaningCounts
    pictures: Mapping[str, Counter[str]]  # split -> label -> pictures
    whole: int  # pictures used whole, because no face was found on them
    crop: str  # face or whole, as asked for
    ready_split: bool  # the set came split in folders
    overlaps: Sequence[Overlap]
    model: Mapping[str, Any]  # model.json
    backbone: BackboneSource  # where its weights come from
    attention: Mapping[str, Sequence[Sequence[float]]]  # file -> heat map, 0 to 1

    @property
    def predictions(self) -> list[Prediction]:
        """Those on the judged split."""
        return [row for row in self.all_predictions if row.split == self.judged_split]

    @property
    def mistakes(self) -> list[Prediction]:
        """The wrong predictions, the surest first."""
        wrong = [prediction for prediction in self.predictions if not prediction.right]
        return sorted(wrong, key=lambda prediction: (-prediction.probability, prediction.file))

    @property
    def explained(self) -> list[tuple[Prediction, NDArray[np.float64]]]:
        """Predictions with what counted for their answer, (height, width) of a heat map."""
        by_file = {prediction.file: prediction for prediction in self.predictions}
        return [(by_file[file], np.array(heat)) for file, heat in self.attention.items()]

    @property
    def rejected(self) -> int:
        """Pictures of known people that the model calls unknown."""
        return sum(prediction.unknown for prediction in self.predictions)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Counts [actual, predicted] of the judged split, in the labels' order."""
        return confusion(self.labels, self.predictions)

    @property
    def scores(self) -> list[Score]:
        """Every label's row in every judged split."""
        seen = {row.split for row in self.all_predictions}
        splits = [split for split in paths.SPLITS if split in seen]
        return [
            score
            for split in splits
            for score in per_label(
                self.labels, split, [a for a in self.all_predictions if a.split == split]
            )
        ]

    @property
    def missing(self) -> list[tuple[str, str]]:
        """(split, label) for every label without a picture in a split of the set."""
        return [
            (split, label)
            for split, counts in self.pictures.items()
            for label in self.labels
            if not counts[label]
        ]

    @property
    def untrained(self) -> bool:
        """Whether the backbone has random weights, good for trying the pipeline only."""
        return self.backbone.untrained

    def metric(self, name: str) -> float | None:
        """A measure of the judged split, None where it was not measured."""
        return self.metrics.get(f"{self.judged_split}/{name}")


def gather(workspace: Path) -> RunReport:
    """Read the artifacts of a finished run."""
    model = paths.read_json(workspace / paths.MODEL / "model.json")
    dataset = load_dataset(workspace / paths.DATASET)
    labels = list(model["labels"])
    examples = [example for split in dataset.splits for example in dataset.examples[split]]
    where = {example.file: example.path for example in examples}
    answers = _answers(
        workspace / paths.EVALUATION / "predictions.csv",
        labels,
        where,
        float(model["temperature"]),
    )
    crop = str(model["picture"]["crop"])
    return RunReport(
        labels=labels,
        judged_split="test" if any(answer.split == "test" for answer in answers) else "validation",
        all_predictions=answers,
        metrics=paths.read_json(workspace / paths.EVALUATION / "metrics.json"),
        history=tables.read(workspace / paths.MODEL / "history.csv", ("epoch",)),
        cleaning=count_decisions(decisions.read_decisions(workspace / paths.CLEAN)),
        pictures={split: dataset.counts(split) for split in dataset.splits},
        whole=sum(example.crop == "whole" for example in examples) if crop == "face" else 0,
        crop=crop,
        ready_split=dataset.ready_split,
        overlaps=dataset.overlaps,
        model=model,
        backbone=BackboneSource.model_validate(model["backbone"]),
        attention=paths.read_json(workspace / paths.EVALUATION / "attention.json"),
    )


def confusion(labels: Sequence[str], answers: Iterable[Prediction]) -> NDArray[np.int64]:
    """Counts [actual, predicted], every label with its row and column."""
    place = {label: i for i, label in enumerate(labels)}
    matrix = np.zeros((len(labels), len(labels)), np.int64)
    for answer in answers:
        matrix[place[answer.actual], place[answer.predicted]] += 1
    return matrix


def per_label(labels: Sequence[str], split: str, answers: Iterable[Prediction]) -> list[Score]:
    """One row a label, in the labels' order, also where the split lacks it."""
    matrix = confusion(labels, answers)
    scores = []
    for i, label in enumerate(labels):
        right, support, named = (
            int(matrix[i, i]), int(matrix[i].sum()), int(matrix[:, i].sum())
        )  # fmt: skip
        scores.append(
            Score(
                label,
                split,
                precision=right / named if named else None,
                recall=right / support if support else None,
                f1=2 * right / (support + named) if support else None,
                support=support,
            )
        )
    return scores


def write_tables(report: RunReport, folder: Path) -> None:
    """Write metrics.json, and history, per_label, cleaning and predictions as CSV."""
    paths.write_json(folder / "metrics.json", report.metrics)
    epochs = list(report.history[0]) if report.history else ["epoch"]
    tables.write(folder / "history.csv", epochs, report.history)
    tables.write(
        folder / "per_label.csv",
        PER_LABEL,
        ({name: getattr(score, name) for name in PER_LABEL} for score in report.scores),
    )
    tables.write(folder / "cleaning.csv", CLEANING, report.cleaning.rows())
    tables.write(
        folder / "predictions.csv",
        PREDICTIONS,
        ({name: getattr(row, name) for name in PREDICTIONS} for row in report.predictions),
    )


def _answers(
    path: Path, labels: Sequence[str], where: Mapping[str, Path], temperature: float
) -> list[Prediction]:
    columns = [f"probability/{label}" for label in labels]
    answers = []
    for row in tables.read(path, ("file", "split", "actual", "predicted", "unknown", *columns)):
        if row["file"] not in where:
            raise UserError(
                f"{path}: {row['file']} is not in the dataset; run `dvc repro -f -s evaluate`"
            )
        probabilities = np.array([float(row[column]) for column in columns])
        given = labels.index(row["predicted"])
        answers.append(
            Prediction(
                row["file"],
                row["split"],
                row["actual"],
                row["predicted"],
                probability=float(probabilities[given]),
                uncalibrated=float(without_temperature(probabilities, temperature)[given]),
                unknown=row["unknown"] == "1",
                picture=where[row["file"]],
            )
        )
    return answers


def without_temperature(
    probabilities: NDArray[np.float64], temperature: float
) -> NDArray[np.float64]:
    """The softmax of z from the softmax of z / temperature: its power, made to sum to one."""
    logs = temperature * np.log(np.maximum(probabilities, 1e-300))
    powers = np.exp(logs - logs.max())
    return np.asarray(powers / powers.sum(), np.float64)
