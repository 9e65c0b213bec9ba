"""The stored features as files, read without the trunk that made them.

artifacts/features holds, for each split, one memory-mapped file (views, pictures, width) of 32-bit
numbers, and two tables: index.json says what was computed with what, index.csv which row is which
picture. Where the trunk is fine-tuned there is nothing to keep, and index.json alone says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whoswho import paths, tables
from whoswho.errors import UserError
from whoswho.learning.dataset import Dataset

INDEX = "index.json"
ROWS = "index.csv"

Float32 = NDArray[np.float32]

_ROW_COLUMNS = ("split", "row", "sha256", "label")
_AGAIN = "run `dvc checkout`, or `dvc repro -f -s features`"


@dataclass(frozen=True)
class Features:
    """The stored features of one split."""

    values: Float32  # (views, pictures, width), memory-mapped
    targets: NDArray[np.int64]  # (pictures,), indices into the labels of the set


def split_file(folder: Path, split: str) -> Path:
    """The file of a split's numbers."""
    return folder / f"{split}.npy"


def write_index(folder: Path, index: dict[str, Any], dataset: Dataset | None = None) -> None:
    """Write what was computed with what, and which row is which picture of `dataset`."""
    if dataset is not None:
        tables.write(folder / ROWS, _ROW_COLUMNS, _rows(dataset))
    paths.write_json(folder / INDEX, index)


def are_kept(folder: Path) -> bool:
    """Whether there are features; there are none where the trunk is fine-tuned."""
    return bool(paths.read_json(folder / INDEX)["frozen"])


def load(folder: Path, dataset: Dataset, trunk_sha256: str | None = None) -> dict[str, Features]:
    """The stored features of each split.

    Args:
        trunk_sha256: the trunk they must have been computed by; None takes any.

    Raises:
        UserError: a file is damaged, or was computed from other pictures or by another trunk.
    """
    index = paths.read_json(folder / INDEX)
    if not index["frozen"]:
        raise UserError(f"{folder}: holds no features, the trunk was to be fine-tuned; {_AGAIN}")
    if trunk_sha256 is not None and index["trunk"] != trunk_sha256:
        raise UserError(f"{folder}: features of another trunk; {_AGAIN}")
    if tables.read(folder / ROWS, _ROW_COLUMNS) != _rows(dataset):
        raise UserError(
            f"{folder / ROWS}: features of other pictures than {dataset.folder}; {_AGAIN}"
        )
    loaded: dict[str, Features] = {}
    for split, facts in index["splits"].items():
        path = split_file(folder, split)
        shape = (facts["views"], facts["pictures"], index["width"])
        loaded[split] = Features(_open(path, facts["sha256"], shape), dataset.targets(split))
    return loaded


def _rows(dataset: Dataset) -> list[tables.Row]:
    return [
        {
            "split": split,
            "row": str(row),
            "sha256": example.sha256,
            "label": dataset.labels[example.label],
        }
        for split in dataset.splits
        for row, example in enumerate(dataset.examples[split])
    ]


def _open(path: Path, sha256: str, shape: tuple[int, int, int]) -> Float32:
    damaged = f"{path}: absent or damaged; {_AGAIN}"
    if not path.is_file() or paths.sha256(path) != sha256:
        raise UserError(damaged)
    values: Float32 = np.load(path, mmap_mode="r")
    if values.shape != shape or values.dtype != np.float32:
        raise UserError(damaged)
    return values
