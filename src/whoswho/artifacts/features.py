"""The stored features as files, read without the backbone that made them.

artifacts/features holds, for each split, one memory-mapped file (views, pictures, width) of 32-bit
numbers, and two tables: index.json says what was computed with what, index.csv which row is which
picture. Where the backbone is fine-tuned there is nothing to keep, and index.json alone says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whoswho import paths, tables
from whoswho.errors import UserError
from whoswho.artifacts.split import Dataset

FEATURE_INDEX = "index.json"
FEATURE_ROWS = "index.csv"

Float32 = NDArray[np.float32]

_ROW_COLUMNS = ("split", "row", "sha256", "label")
_AGAIN = "run `dvc checkout`, or `dvc repro -f -s features`"


@dataclass(frozen=True)
class Features:
    """The stored features of one split."""

    values: Float32  # (views, pictures, width), memory-mapped
    targets: NDArray[np.int64]  # (pictures,), indices into the labels of the set


def feature_file(folder: Path, split: str) -> Path:
    """The file of a split's numbers."""
    return folder / f"{split}.npy"


def write_feature_index(folder: Path, index: dict[str, Any], dataset: Dataset | None = None) -> None:
    """Write what was computed with what, and which row is which picture of `dataset`."""
    if dataset is not None:
        tables.write(folder / FEATURE_ROWS, _ROW_COLUMNS, _rows(dataset))
    paths.write_json(folder / FEATURE_INDEX, index)


def has_features(folder: Path) -> bool:
    """Whether there are features; there are none where the backbone is fine-tuned."""
    return bool(paths.read_json(folder / FEATURE_INDEX)["frozen"])


def load_features(folder: Path, dataset: Dataset, backbone_sha256: str | None = None) -> dict[str, Features]:
    """The stored features of each split.

    Args:
        backbone_sha256: the backbone they must have been computed by; None takes any.

    Raises:
        UserError: a file is damaged, or was computed from other pictures or by another backbone.
    """
    index = paths.read_json(folder / FEATURE_INDEX)
    if not index["frozen"]:
        raise UserError(f"{folder}: holds no features, the backbone was to be fine-tuned; {_AGAIN}")
    if backbone_sha256 is not None and index["backbone"] != backbone_sha256:
        raise UserError(f"{folder}: features of another backbone; {_AGAIN}")
    if tables.read(folder / FEATURE_ROWS, _ROW_COLUMNS) != _rows(dataset):
        raise UserError(
            f"{folder / FEATURE_ROWS}: features of other pictures than {dataset.folder}; {_AGAIN}"
        )
    loaded: dict[str, Features] = {}
    for split, facts in index["splits"].items():
        path = feature_file(folder, split)
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
