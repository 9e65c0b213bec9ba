"""What a run is about, read once from its artifacts for the tables, the page and the card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whoswho import paths, tables
from whoswho.artifacts.decisions import CleaningCounts, Decision, count_decisions, read_decisions
from whoswho.artifacts.model.description import (
    HISTORY_COLUMNS,
    HistoryRow,
    ModelDescription,
    read_description,
    read_history,
)
from whoswho.artifacts.predictions import (
    Evaluation,
    LabelScore,
    PredictionRow,
    read_evaluation,
)
from whoswho.artifacts.split import Dataset, Example, load_dataset
from whoswho.artifacts.suspects import SuspectList, read_suspects
from whoswho.errors import UserError, one_line
from whoswho.params import Augment

CLEANING = ("label", "reason", "count")
MEASURES = ("split", "measure", "value")
MOST_SEEN = 36  # training pictures on a sheet
PREDICTIONS = ("file", "actual", "predicted", "split")


@dataclass(frozen=True)
class RunReport:
    """Everything the report tells of."""

    workspace: Path
    decisions: Sequence[Decision]
    dataset: Dataset
    model: ModelDescription
    history: Sequence[HistoryRow]
    evaluation: Evaluation
    suspects: SuspectList | None

    @cached_property
    def cleaning(self) -> CleaningCounts:
        """How many pictures cleaning kept and dropped."""
        return count_decisions(self.decisions)

    @property
    def kept_pictures(self) -> Path:
        """The folder that a decision's `picture` lies in."""
        return self.workspace / paths.CLEAN / "pictures"

    @cached_property
    def prepared(self) -> dict[str, Path]:
        """The pictures as the network saw them, by file."""
        rows = self.dataset.examples.values()
        return {example.file: example.path for examples in rows for example in examples}

    @cached_property
    def mistakes(self) -> list[PredictionRow]:
        """The wrong predictions on the judged split, the surest first."""
        wrong = [picture for picture in self.evaluation.judged_pictures if not picture.right]
        return sorted(wrong, key=lambda picture: (-picture.probability, picture.file))

    @property
    def explained(self) -> list[tuple[PredictionRow, NDArray[np.float64]]]:
        """Predictions with what counted for their answer, (height, width) of a heat map."""
        by_file = {picture.file: picture for picture in self.evaluation.judged_pictures}
        return [(by_file[file], heat) for file, heat in self.evaluation.heat_maps.items()]

    @property
    def training_batch(self) -> list[tuple[Example, int]]:
        """Training pictures, as many as a batch has but at most MOST_SEEN, each with the number
        of one of the views that training draws; the first by their files' hashes.
        """
        batch, views = int(self.model.params["train.batch"]), self.augment.views
        examples = self.dataset.examples["train"]
        chosen = sorted(examples, key=lambda example: (example.sha256, example.file))
        return [
            (example, index % views)
            for index, example in enumerate(chosen[: min(batch, MOST_SEEN)])
        ]

    @cached_property
    def augment(self) -> Augment:
        """How training changed its pictures."""
        section = "augment."
        params = self.model.params
        inside = [name for name in params if name.startswith(section)]
        return Augment.model_validate({n.removeprefix(section): params[n] for n in inside})

    @property
    def rejected(self) -> int:
        """Pictures of known people on the judged split that the model calls unknown."""
        return sum(picture.unknown for picture in self.evaluation.judged_pictures)

    @cached_property
    def counts(self) -> dict[str, Counter[str]]:
        """Pictures by split and label."""
        return {split: self.dataset.counts(split) for split in self.dataset.splits}

    @property
    def missing(self) -> list[tuple[str, str]]:
        """(split, label) for every label without a picture in a split of the set."""
        return [
            (split, label)
            for split, counts in self.counts.items()
            for label in self.model.labels
            if not counts[label]
        ]

    @property
    def whole(self) -> int:
        """Pictures used whole because no face was found on them."""
        rows = self.dataset.examples.values()
        return sum(example.crop == "whole" for examples in rows for example in examples)


def read_run(workspace: Path) -> RunReport:
    """Read the artifacts of a finished run.

    Raises:
        UserError: one is absent or damaged, or they are not of one run.
    """
    report = RunReport(
        workspace=workspace,
        decisions=read_decisions(workspace / paths.CLEAN),
        dataset=load_dataset(workspace / paths.DATASET),
        model=read_description(workspace / paths.MODEL),
        history=read_history(workspace / paths.MODEL),
        evaluation=read_evaluation(workspace / paths.EVALUATION),
        suspects=read_suspects(workspace / paths.SUSPECTS),
    )
    _check(report)
    return report


def _check(report: RunReport) -> None:
    """See that the artifacts are of one run."""
    labels = report.model.labels
    evaluation, folder = report.evaluation, report.workspace / paths.EVALUATION
    again = "run `dvc checkout`, or `dvc repro -f -s evaluate`"
    if {*labels} != {*report.dataset.labels} or not report.history:
        raise UserError(
            f"{report.workspace / paths.MODEL}: not the model of the set in "
            f"{report.workspace / paths.DATASET}; run `dvc checkout`, or `dvc repro -f -s train`"
        )
    if labels != evaluation.labels or not evaluation.judged_pictures:
        raise UserError(f"{folder}: not of the model's labels, or of no picture; {again}")
    for picture in evaluation.pictures:
        if picture.file not in report.prepared:
            raise UserError(f"{folder}: {picture.file} is not in the dataset; {again}")
    if unknown := evaluation.heat_maps.keys() - {row.file for row in evaluation.judged_pictures}:
        raise UserError(f"{folder}: {min(unknown)} has a heat map and no answer; {again}")
    try:
        _ = report.training_batch
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{report.workspace / paths.MODEL}: its params are not whole ({one_line(error)}); "
            "run `dvc checkout`, or `dvc repro -f -s train`"
        ) from None


def write_tables(report: RunReport, folder: Path) -> None:
    """Write metrics.json, what people compare from run to run, and all else as CSV."""
    evaluation = report.evaluation
    paths.write_json(folder / "metrics.json", evaluation.headline)
    names = ((key.partition("/"), value) for key, value in evaluation.metrics.items())
    measures = [
        {"split": split, "measure": measure, "value": value}
        for (split, _, measure), value in names
    ]
    tables.write(folder / "measures.csv", MEASURES, measures)
    tables.write_rows(folder / "per_label.csv", LabelScore, evaluation.scores)
    tables.write(folder / "history.csv", HISTORY_COLUMNS, report.history)
    tables.write(folder / "cleaning.csv", CLEANING, report.cleaning.rows())
    predictions = [
        {name: getattr(picture, name) for name in PREDICTIONS}
        for picture in evaluation.judged_pictures
    ]
    tables.write(folder / "predictions.csv", PREDICTIONS, predictions)
