"""The stored features as files, read without the backbone that made them.

artifacts/features holds, for each split, one memory-mapped file (views, pictures, width) of 32-bit
numbers, and two tables: index.json says what was computed with what, index.csv which row is which
picture. Where the backbone is fine-tuned there is nothing to keep, and index.json alone says so.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from whoswho import paths, tables
from whoswho.artifacts.split import Dataset
from whoswho.errors import UserError

Float32 = NDArray[np.float32]

_INDEX = "index.json"
_ROWS = "index.csv"
_ROW_COLUMNS = ("split", "row", "sha256", "label", "problem")
_NO_FACE = "no face to align"
_AGAIN = "run `dvc checkout`, or `dvc repro -f -s features`"


@dataclass(frozen=True)
class Features:
    """The stored features of one split."""

    values: Float32  # (views, pictures, width), memory-mapped
    targets: NDArray[np.int64]  # (pictures,), indices into the labels of the set


class SplitIndex(BaseModel, frozen=True, extra="forbid"):
    """The file of one split."""

    views: int
    pictures: int
    sha256: str


class FeatureIndex(BaseModel, frozen=True, extra="forbid"):
    """What was computed with what, as index.json holds it."""

    frozen: bool  # False: the backbone is fine-tuned, and there are no features
    faces_only: bool = False  # the features of a picture without a face are zeros
    backbone: str = ""  # sha256 of its tensors
    precision: str = ""  # bf16 or fp32
    splits: dict[str, SplitIndex] = {}
    augment: dict[str, Any] = {}  # of a fine-tuned backbone, where train applies it


def create_values(folder: Path, split: str, shape: tuple[int, int, int]) -> Float32:
    """A new file of a split's features, (views, pictures, width), all zeros, open for writing."""
    path = _file(folder, split)
    values = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    if hasattr(os, "posix_fallocate"):
        # Its room is taken now: written through memory, a full disk would end the process.
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return values


def writable_values(folder: Path, split: str) -> Float32:
    """The features of a split as `create_values` made them, open for writing."""
    return np.lib.format.open_memmap(_file(folder, split), mode="r+")


def write_index(
    folder: Path,
    dataset: Dataset,
    backbone_sha256: str,
    precision: str,
    *,
    faces_only: bool = False,
) -> FeatureIndex:
    """Say what the files in `folder` hold: their digests, and which row is which picture.

    Args:
        faces_only: the backbone looks at nothing but faces; a picture without one is a row with
            its problem, its features zeros.
    """
    splits = {}
    for split in dataset.splits:
        path = _file(folder, split)
        views, pictures, _ = np.load(path, mmap_mode="r").shape
        splits[split] = SplitIndex(views=views, pictures=pictures, sha256=paths.sha256(path))
    index = FeatureIndex(
        frozen=True,
        faces_only=faces_only,
        backbone=backbone_sha256,
        precision=precision,
        splits=splits,
    )
    tables.write(folder / _ROWS, _ROW_COLUMNS, _rows(dataset, faces_only))
    paths.write_json(folder / _INDEX, index.model_dump(exclude_defaults=True))
    return index


def write_empty_index(folder: Path, augment: dict[str, Any]) -> None:
    """Say that the backbone is fine-tuned and no features are kept.

    The augmentation is train's to apply then: it is in the index so that train, which reads it,
    runs again when it changes.
    """
    index = FeatureIndex(frozen=False, augment=augment)
    paths.write_json(folder / _INDEX, index.model_dump(exclude_defaults=True))


def read_index(folder: Path) -> FeatureIndex:
    """What the files in `folder` hold.

    Raises:
        UserError: index.json is absent, or not as this version writes it.
    """
    path = folder / _INDEX
    return paths.validated(FeatureIndex, paths.read_json(path), path, _AGAIN)


def load_features(
    folder: Path, dataset: Dataset, backbone_sha256: str | None = None
) -> dict[str, Features]:
    """The stored features of each split.

    Args:
        backbone_sha256: the backbone they must have been computed by; None takes any.

    Raises:
        UserError: a file is damaged, or was computed from other pictures or by another backbone.
    """
    index = read_index(folder)
    if not index.frozen:
        raise UserError(
            f"{folder}: holds no features, the backbone was to be fine-tuned; {_AGAIN}"
        )
    if backbone_sha256 not in (None, index.backbone):
        raise UserError(f"{folder}: features of another backbone; {_AGAIN}")
    if tables.read(folder / _ROWS, _ROW_COLUMNS) != _rows(dataset, index.faces_only):
        raise UserError(
            f"{folder / _ROWS}: features of other pictures than {dataset.folder}; {_AGAIN}"
        )
    features = {}
    for split, stored in index.splits.items():
        path = _file(folder, split)
        if not path.is_file() or paths.sha256(path) != stored.sha256:
            raise UserError(f"{path}: absent or damaged; {_AGAIN}")
        features[split] = Features(np.load(path, mmap_mode="r"), dataset.targets(split))
    return features


def index_digest(folder: Path) -> str:
    """The SHA-256 of index.json, which names the digests of all features."""
    return paths.sha256(folder / _INDEX)


def _file(folder: Path, split: str) -> Path:
    return folder / f"{split}.npy"


def _rows(dataset: Dataset, faces_only: bool) -> list[tables.Row]:
    return [
        {
            "split": split,
            "row": str(row),
            "sha256": example.sha256,
            "label": dataset.labels[example.label],
            "problem": _NO_FACE if faces_only and example.face is None else "",
        }
        for split in dataset.splits
        for row, example in enumerate(dataset.examples[split])
    ]
