"""artifacts/model: a trained model as three files, none of which runs.

weights.safetensors holds backbone, head and the labels' centres, model.json says how to build and
use them, history.csv tells how it was trained. The format has a number, and another format is
refused.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from whoswho import paths, tables
from whoswho.artifacts.model.backbone import BackboneSource
from whoswho.artifacts.model.settings import PictureSettings
from whoswho.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 3
WEIGHTS = "weights.safetensors"
DESCRIPTION = "model.json"
HISTORY = "history.csv"
METRICS = ("train/loss", "train/accuracy", "validation/loss", "validation/accuracy")
HISTORY_COLUMNS = ("epoch", *METRICS)

HistoryRow = dict[str, int | float]  # HISTORY_COLUMNS; epochs count from 1

_NEWER = "newer code wrote it: bring this repository up to date (git pull)"
_OLDER = "train and register it anew with `dvc repro`"
AGAIN = "run `dvc checkout`, or `dvc repro -f -s train`"


@dataclass(frozen=True)
class HeadShape:
    """What the head looks like."""

    widths: tuple[int, ...]  # of the hidden layers
    dropout: float  # before the last layer
    standardize: bool  # begin by scaling features by their training mean and deviation


class ModelDescription(BaseModel, frozen=True, extra="forbid"):
    """model.json.

    Attributes:
        labels: in the order of the logits.
        epoch: the one of history.csv whose weights these are.
        repeats: that epoch's metrics of every training with a seed of its own, the model's first:
            METRICS and `seed`.
        picture: how its pictures were prepared, and are to be.
        min_similarity: below this similarity to every label's centre (`inference.similarity`) the
            answer is "none of these people".
        cross_validation: metrics of the recipe on held-out pictures (`cv/...`, `unknown/...`);
            empty where the backbone was fine-tuned, for lack of stored features.
        likeness: label -> the similarity to its centre that a fifth of its held-out pictures lie
            below: little where other people are among them; empty as `cross_validation`.
        params: the params that training read, flat.
        inputs: digests of what was learned from, by name.
        backbone: where the backbone comes from.
    """

    arch: str
    labels: tuple[str, ...]
    head: HeadShape
    epoch: int
    repeats: tuple[HistoryRow, ...]
    picture: PictureSettings
    temperature: float
    min_similarity: float
    cross_validation: dict[str, float]
    likeness: dict[str, float] = {}
    params: dict[str, Any]
    inputs: dict[str, str]
    backbone: BackboneSource

    @property
    def untrained_note(self) -> str:
        """What to say of answers from a random backbone, with the cure; empty of a trained one."""
        return self.backbone.untrained_note(self.picture.crop)

    @property
    def repeat_metrics(self) -> dict[str, float]:
        """Mean and standard deviation of the validation metrics over the repeats, as metrics.

        Empty where there was one training. A difference between two runs within the deviation is
        none.
        """
        if len(self.repeats) < 2:
            return {}
        metrics: dict[str, float] = {"validation/repeats": len(self.repeats)}
        for name in ("validation/loss", "validation/accuracy"):
            mean, deviation = mean_and_std(self.repeats, name)
            metrics[f"{name}_mean"], metrics[f"{name}_deviation"] = mean, deviation
        return metrics


def save_model(
    folder: Path,
    state: Mapping[str, Tensor],
    description: ModelDescription,
    history: Sequence[HistoryRow],
) -> None:
    """Write a model into `folder` (an empty one, such as paths.fresh_folder gives).

    Args:
        state: tensors by name, backbone.…, head.… and centres.…
    """
    from safetensors.torch import save_file

    save_file({name: value.contiguous() for name, value in state.items()}, folder / WEIGHTS)
    write_description(folder, description)
    tables.write(folder / HISTORY, HISTORY_COLUMNS, history)


def write_description(folder: Path, description: ModelDescription) -> None:
    """Write model.json."""
    paths.write_json(folder / DESCRIPTION, {"format": FORMAT, **description.model_dump()})


def read_description(folder: Path) -> ModelDescription:
    """All of model.json.

    Raises:
        UserError: it is absent, no JSON, of another format, or incomplete.
    """
    path = folder / DESCRIPTION
    content = paths.read_json(path)
    number = content.pop("format", None) if isinstance(content, dict) else None
    if number != FORMAT:
        raise UserError(
            f"{path}: its format is {number}, this code reads format {FORMAT}; "
            f"{other_format(number)}"
        )
    return paths.validated(ModelDescription, content, path, AGAIN)


def other_format(number: object) -> str:
    """What to do about a model of another format."""
    return _NEWER if str(number).isdecimal() and int(str(number)) > FORMAT else _OLDER


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of backbone and head by name, on the processor.

    Raises:
        UserError: they are absent or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / WEIGHTS
    try:
        state: dict[str, Tensor] = load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: not there; {AGAIN}") from None
    except SafetensorError as error:
        raise UserError(f"{path}: damaged ({error}); {AGAIN}") from None
    return state


def read_history(folder: Path) -> list[HistoryRow]:
    """One row an epoch; a metric that was not measured is absent from its row.

    Raises:
        UserError: the table is absent, or a cell is no number.
    """
    rows = tables.read(folder / HISTORY, HISTORY_COLUMNS)
    try:
        return [
            {
                name: int(cell) if name == "epoch" else paths.finite(cell)
                for name, cell in row.items()
                if cell != ""
            }
            for row in rows
        ]
    except ValueError as error:
        raise UserError(f"{folder / HISTORY}: damaged ({error}); {AGAIN}") from None


def model_digest(folder: Path) -> str:
    """What names a model for good: the SHA-256 over its weights and its description."""
    whole = hashlib.sha256()
    for name in (WEIGHTS, DESCRIPTION):
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path}: not there; {AGAIN}")
        whole.update(bytes.fromhex(paths.sha256(path)))
    return whole.hexdigest()


def mean_and_std(rows: Sequence[HistoryRow], metric: str) -> tuple[float, float]:
    """Mean and standard deviation (of a sample; 0 of a single row) of a metric."""
    values = [row[metric] for row in rows]
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0
