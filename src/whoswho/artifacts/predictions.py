"""artifacts/evaluation: everything that is judged once, for all that tell of it afterwards.

predictions.csv has a row a judged picture, per_label.csv a row a label of each judged split,
confusion_matrix.csv a row a label of the split that the model is judged on; evaluation.json says
which split that is and holds the metrics, attention.json heat maps of a few of its pictures,
robustness.csv a row a way in which pictures get worse, shortcuts.csv a row a label and way in
which it may be told without the face. The run of a registered version keeps the same files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whoswho import paths, tables
from whoswho.errors import UserError, one_line
from whoswho.labels import UNKNOWN

PREDICTIONS = "predictions.csv"
PER_LABEL = "per_label.csv"
CONFUSION = "confusion_matrix.csv"
SUMMARY = "evaluation.json"
ATTENTION = "attention.json"
ROBUSTNESS = "robustness.csv"
SHORTCUTS = "shortcuts.csv"
FILES = (PREDICTIONS, PER_LABEL, CONFUSION, SUMMARY, ATTENTION, ROBUSTNESS, SHORTCUTS)

# Ways in which a label may be told without the face, in words.
WAYS = {
    "surroundings": "what surrounds it",
    "file": "the file's size, shape, brightness and site",
}

# What people compare from run to run; the rest is in tables.
_HEADLINE = (
    "pictures",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "chance",
    "log_loss",
    "false_reject_rate",
)
# Of the recipe, whatever was judged.
_RECIPE = (
    "cv/accuracy",
    "cv/accuracy_deviation",
    "cv/accuracy_low",
    "cv/accuracy_high",
    "unknown/strangers_caught",
    "unknown/strangers_caught_worst",
    "unknown/false_reject_rate",
    "validation/accuracy",
    "validation/log_loss",
    "validation/accuracy_mean",
    "validation/accuracy_deviation",
)
_AGAIN = "run `dvc checkout`, or `dvc repro -f -s evaluate`"
_COLUMNS = ("file", "split", "actual", "predicted", "similarity", "unknown")
_PROBABILITY, _UNCALIBRATED, _PREDICTED = "probability/", "uncalibrated/", "predicted/"


@dataclass(frozen=True)
class PredictionRow:
    """One picture and what the model says of it.

    Attributes:
        file: relative to data/.
        similarity: to the nearest label's centre (`inference.similarity`), -1 to 1.
        unknown: it is too low: none of these people.
        probabilities: of every label, in the model's order.
        uncalibrated: the same without the temperature.
    """

    file: str
    split: str
    actual: str
    predicted: str
    similarity: float
    unknown: bool
    probabilities: tuple[float, ...]
    uncalibrated: tuple[float, ...]

    @property
    def right(self) -> bool:
        """Whether the likeliest label is the picture's."""
        return self.actual == self.predicted

    @property
    def told(self) -> str:
        """What a user is told: the predicted label, or `unknown`."""
        return UNKNOWN if self.unknown else self.predicted

    @property
    def probability(self) -> float:
        """Of the predicted label, which is the likeliest."""
        return max(self.probabilities)

    @property
    def uncalibrated_probability(self) -> float:
        """Of the predicted label without the temperature, which changes no order."""
        return max(self.uncalibrated)


@dataclass(frozen=True)
class LabelScore:
    """How a label fares in a split; None where a quantity is not defined."""

    label: str
    split: str
    precision: float | None  # not defined for a label never predicted
    recall: float | None  # not defined for a label without pictures
    f1: float | None  # not defined for a label without pictures
    support: int  # pictures


@dataclass(frozen=True)
class RobustnessRow:
    """How a model fares where pictures get worse in one way.

    Attributes:
        strength: of the change, in words.
        pictures: of the judged split, that it was made to.
        without_face: of them, that a model of faces has no answer to.
        unchanged: accuracy on the same pictures as they are.
        unknown: fraction answered unknown, changed.
    """

    change: str
    strength: str
    pictures: int
    without_face: int
    unchanged: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    unknown: float


@dataclass(frozen=True)
class ShortcutRow:
    """How well a label is told without the face, in cross-validation; see `evaluation.shortcuts`.

    Attributes:
        way: surroundings, or file.
        pictures: of the label.
        told: fraction of them that are given the label.
        chance: fraction of the other labels' pictures that are given it.
        low: lower end of the interval of `told` - `chance`.
    """

    way: str
    label: str
    pictures: int
    told: float
    chance: float
    low: float


@dataclass(frozen=True)
class Evaluation:
    """What evaluate found.

    Attributes:
        judged: the split the model is judged on: test, or validation where there is no test.
        labels: in the model's order.
        metrics: `split/quantity` -> number.
        pictures: of every split but train, in the order of split.csv.
        scores: a row a label of each of these splits, also where the split lacks the label.
        confusion: pictures of the judged split, (actual label, predicted label).
        heat_maps: file -> (height, width), 0 to 1: what counted for the answer to a few pictures
            of the judged split.
        robustness: a row a change that was made to its pictures.
        shortcuts: a row a way and label of the whole set.
    """

    judged: str
    labels: tuple[str, ...]
    metrics: Mapping[str, float]
    pictures: tuple[PredictionRow, ...]
    scores: tuple[LabelScore, ...]
    confusion: NDArray[np.int64]
    heat_maps: Mapping[str, NDArray[np.float64]]
    robustness: tuple[RobustnessRow, ...] = ()
    shortcuts: tuple[ShortcutRow, ...] = ()

    @property
    def judged_pictures(self) -> list[PredictionRow]:
        """The pictures of the split that the model is judged on."""
        return [picture for picture in self.pictures if picture.split == self.judged]

    @property
    def headline(self) -> dict[str, float]:
        """What people compare: metrics of the judged split, of cross-validation and validation."""
        names = (*(f"{self.judged}/{name}" for name in _HEADLINE), *_RECIPE)
        return {name: self.metrics[name] for name in names if name in self.metrics}

    def metric(self, name: str) -> float:
        """A metric of the split that the model is judged on.

        Raises:
            UserError: evaluate did not measure it, or somebody took it out of its file.
        """
        return self.measured(f"{self.judged}/{name}")

    def measured(self, key: str) -> float:
        """A metric by its whole name.

        Raises:
            UserError: as `metric`.
        """
        if key not in self.metrics:
            raise UserError(f"{paths.EVALUATION / SUMMARY}: {key} is not in it; {_AGAIN}")
        return self.metrics[key]

    @property
    def shortcut_labels(self) -> dict[str, list[ShortcutRow]]:
        """The labels that are told without the face above chance, by way."""
        by_label: dict[str, list[ShortcutRow]] = {}
        for row in self.shortcuts:
            if row.low > 0:
                by_label.setdefault(row.way, []).append(row)
        return by_label

    def recall(self, split: str) -> dict[str, float | None]:
        """The recall of each label in a split; empty where the split was not judged."""
        return {score.label: score.recall for score in self.scores if score.split == split}


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Write everything into `folder` (an empty one, such as paths.fresh_folder gives)."""
    labels = evaluation.labels
    columns = [start + label for start in (_PROBABILITY, _UNCALIBRATED) for label in labels]
    rows = (_cells(picture, columns) for picture in evaluation.pictures)
    tables.write(folder / PREDICTIONS, (*_COLUMNS, *columns), rows)
    tables.write_rows(folder / PER_LABEL, LabelScore, evaluation.scores)
    names = [_PREDICTED + label for label in labels]
    counts = (
        {"actual": label, **dict(zip(names, row, strict=True))}
        for label, row in zip(labels, evaluation.confusion.tolist(), strict=True)
    )
    tables.write(folder / CONFUSION, ("actual", *names), counts)
    summary = {"judged": evaluation.judged, "metrics": dict(evaluation.metrics)}
    paths.write_json(folder / SUMMARY, summary)
    maps = {file: np.round(heat, 4).tolist() for file, heat in evaluation.heat_maps.items()}
    paths.write_json(folder / ATTENTION, maps)
    tables.write_rows(folder / ROBUSTNESS, RobustnessRow, evaluation.robustness)
    tables.write_rows(folder / SHORTCUTS, ShortcutRow, evaluation.shortcuts)


def read_evaluation(folder: Path) -> Evaluation:
    """What `write_evaluation` wrote.

    Raises:
        UserError: a file is absent or damaged.
    """
    try:
        return _read_evaluation(folder)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"{folder}: damaged ({one_line(error)}); {_AGAIN}") from None


def _read_evaluation(folder: Path) -> Evaluation:
    summary = paths.read_json(folder / SUMMARY)
    confusion = tables.read(folder / CONFUSION, ("actual",))
    labels = tuple(row.pop("actual") for row in confusion)
    columns = [start + label for start in (_PROBABILITY, _UNCALIBRATED) for label in labels]
    pictures = tables.read(folder / PREDICTIONS, (*_COLUMNS, *columns))
    judged, metrics = summary["judged"], summary["metrics"]
    if judged not in paths.SPLITS:
        raise ValueError(f"{SUMMARY}: judged on {judged!r}, no split")
    counts = np.array([list(map(int, row.values())) for row in confusion], np.int64)
    if len(set(labels)) < 1 or counts.shape != (len(set(labels)),) * 2:
        raise ValueError(f"{CONFUSION}: not one row and one column of numbers for each label")
    heat_maps = {
        file: np.array(heat, np.float64)
        for file, heat in paths.read_json(folder / ATTENTION).items()
    }
    if any(heat.ndim != 2 or not heat.size for heat in heat_maps.values()):
        raise ValueError(f"{ATTENTION}: a heat map is no table of numbers")
    return Evaluation(
        judged=judged,
        labels=labels,
        metrics={name: _number(value, name) for name, value in metrics.items()},
        pictures=tuple(_prediction_row(row, labels) for row in pictures),
        scores=tuple(tables.read_rows(folder / PER_LABEL, LabelScore)),
        confusion=counts,
        heat_maps=heat_maps,
        robustness=tuple(tables.read_rows(folder / ROBUSTNESS, RobustnessRow)),
        shortcuts=tuple(tables.read_rows(folder / SHORTCUTS, ShortcutRow)),
    )


def _number(value: object, name: str) -> float:
    """A metric as a number, whole ones left whole."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{SUMMARY}: {name} is no number")
    paths.finite(str(value))
    return value


def _cells(picture: PredictionRow, columns: Sequence[str]) -> dict[str, object]:
    cells = {name: getattr(picture, name) for name in _COLUMNS}
    numbers = zip(columns, (*picture.probabilities, *picture.uncalibrated), strict=True)
    return {**cells, "unknown": int(picture.unknown), **dict(numbers)}


def _prediction_row(row: tables.Row, labels: Sequence[str]) -> PredictionRow:
    probabilities, uncalibrated = (
        tuple(paths.finite(row[start + label]) for label in labels)
        for start in (_PROBABILITY, _UNCALIBRATED)
    )
    if row["split"] not in paths.SPLITS or {row["actual"], row["predicted"]} - set(labels):
        raise ValueError(f"{PREDICTIONS}: {row['file']}: a split or label that is none")
    cells = tables.from_cells(PredictionRow, row)
    return PredictionRow(**cells, probabilities=probabilities, uncalibrated=uncalibrated)
