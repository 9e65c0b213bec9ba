"""What a run is about, read once from its artifacts for the tables, the page and the card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whoswho import paths, tables
from whoswho.artifacts import decisions
from whoswho.artifacts.backbone import BackboneSource
from whoswho.artifacts.model import (
    HISTORY_COLUMNS,
    HistoryRow,
    ModelDescription,
    read_description,
    read_history,
)
from whoswho.artifacts.overlaps import Overlap
from whoswho.artifacts.predictions import (
    Evaluation,
    LabelScore,
    PredictionRow,
    read_evaluation,
)
from whoswho.artifacts.split import load_dataset
from whoswho.errors import UserError
from whoswho.reporting.cleaning_counts import CleaningCounts, count_decisions

CLEANING = ("label", "reason", "count")
PREDICTIONS = ("file", "actual", "predicted", "split")


@dataclass(frozen=True)
class RunReport:
    """Everything the report says, as plain values."""

    model: ModelDescription
    evaluation: Evaluation
    prepared: Mapping[str, Path]  # file -> the picture as the network saw it
    history: Sequence[HistoryRow]
    cleaning: CleaningCounts
    pictures: Mapping[str, Counter[str]]  # split -> label -> pictures
    whole: int  # pictures used whole, because no face was found on them
    crop: str  # face or whole, as asked for
    ready_split: bool  # the set came split in folders
    overlaps: Sequence[Overlap]

    @property
    def labels(self) -> Sequence[str]:
        """In the model's order."""
        return self.model.labels

    @property
    def backbone(self) -> BackboneSource:
        """Where its weights come from."""
        return self.model.backbone

    @property
    def judged_split(self) -> str:
        """The split the model is judged on: test, or validation where there is no test."""
        return self.evaluation.judged

    @property
    def predictions(self) -> list[PredictionRow]:
        """Those on the judged split."""
        return self.evaluation.judged_pictures

    @property
    def mistakes(self) -> list[PredictionRow]:
        """The wrong predictions, the surest first."""
        wrong = [prediction for prediction in self.predictions if not prediction.right]
        return sorted(wrong, key=lambda prediction: (-prediction.probability, prediction.file))

    @property
    def explained(self) -> list[tuple[PredictionRow, NDArray[np.float64]]]:
        """Predictions with what counted for their answer, (height, width) of a heat map."""
        by_file = {prediction.file: prediction for prediction in self.predictions}
        return [(by_file[file], heat) for file, heat in self.evaluation.heat_maps.items()]

    @property
    def rejected(self) -> int:
        """Pictures of known people that the model calls unknown."""
        return sum(prediction.unknown for prediction in self.predictions)

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


def gather(workspace: Path) -> RunReport:
    """Read the artifacts of a finished run."""
    model = read_description(workspace / paths.MODEL)
    evaluation = read_evaluation(workspace / paths.EVALUATION)
    dataset = load_dataset(workspace / paths.DATASET)
    examples = [example for split in dataset.splits for example in dataset.examples[split]]
    prepared = {example.file: example.path for example in examples}
    for prediction in evaluation.pictures:
        if prediction.file not in prepared:
            raise UserError(
                f"{workspace / paths.EVALUATION}: {prediction.file} is not in the dataset; run "
                "`dvc repro -f -s evaluate`"
            )
    crop = model.picture.crop
    return RunReport(
        model=model,
        evaluation=evaluation,
        prepared=prepared,
        history=read_history(workspace / paths.MODEL),
        cleaning=count_decisions(decisions.read_decisions(workspace / paths.CLEAN)),
        pictures={split: dataset.counts(split) for split in dataset.splits},
        whole=sum(example.crop == "whole" for example in examples) if crop == "face" else 0,
        crop=crop,
        ready_split=dataset.ready_split,
        overlaps=dataset.overlaps,
    )


def write_tables(report: RunReport, folder: Path) -> None:
    """Write metrics.json, and history, per_label, cleaning and predictions as CSV."""
    paths.write_json(folder / "metrics.json", report.evaluation.headline)
    tables.write(folder / "history.csv", HISTORY_COLUMNS, report.history)
    tables.write_rows(folder / "per_label.csv", LabelScore, report.evaluation.scores)
    tables.write(folder / "cleaning.csv", CLEANING, report.cleaning.rows())
    tables.write(
        folder / "predictions.csv",
        PREDICTIONS,
        ({name: getattr(row, name) for name in PREDICTIONS} for row in report.predictions),
    )
