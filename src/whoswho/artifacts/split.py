"""The prepared pictures as preprocess left them: labels in order, and the rows of each split."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whoswho import paths, tables
from whoswho.errors import UserError


@dataclass(frozen=True)
class Example:
    """One prepared picture."""

    file: str  # the original, relative to data/
    sha256: str  # of the original
    group: str  # its look-alikes share it
    label: int  # index into the labels of the set
    path: Path  # the prepared picture


@dataclass(frozen=True)
class Dataset:
    """A prepared set; `labels` is the one order of labels that model and metrics keep."""

    folder: Path
    labels: tuple[str, ...]
    picture: dict[str, Any]  # the settings its pictures were prepared with
    examples: dict[str, tuple[Example, ...]]  # split -> pictures, in the order of split.csv

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """The splits that have pictures, in their customary order."""
        return tuple(split for split in paths.SPLITS if self.examples.get(split))

    def targets(self, split: str) -> NDArray[np.int64]:
        """The label index of each picture of a split."""
        return np.array([example.label for example in self.examples[split]], np.int64)


def load_dataset(folder: Path) -> Dataset:
    """Read artifacts/dataset.

    Raises:
        UserError: no dataset is there, or it lacks pictures to learn from or to validate on, or
            its table names a label that its list does not have.
    """
    facts = paths.read_json(folder / "dataset.json")
    table = folder / "split.csv"
    order = {label: index for index, label in enumerate(facts["labels"])}
    examples: dict[str, list[Example]] = {split: [] for split in paths.SPLITS}
    for row in tables.read(table, ("file", "sha256", "group", "label", "split", "path")):
        if row["label"] not in order or row["split"] not in examples:
            raise UserError(
                f"{table}: {row['file']}: label {row['label']!r} or split {row['split']!r} is "
                f"unknown to dataset.json; run `dvc repro -f -s preprocess`"
            )
        examples[row["split"]].append(
            Example(
                row["file"], row["sha256"], row["group"], order[row["label"]], folder / row["path"]
            )
        )
    for split in ("train", "validation"):
        if not examples[split]:
            raise UserError(
                f"{table}: no {split} pictures; check split in {paths.PARAMS} and data/"
            )
    return Dataset(
        folder,
        tuple(facts["labels"]),
        facts["picture"],
        {split: tuple(rows) for split, rows in examples.items()},
    )
