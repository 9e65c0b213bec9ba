"""The features of every picture, computed once and kept: what the head learns from.

artifacts/features holds, for each split, one memory-mapped file (views, pictures, width) of 32-bit
numbers, and two tables: index.json says what was computed with what, index.csv which row is which
picture. Where the trunk is fine-tuned there is nothing to keep, and index.json alone says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Never

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from tqdm import tqdm

from whoswho import paths, tables
from whoswho.errors import UserError
from whoswho.learning import forward, views
from whoswho.learning.dataset import Dataset, Example
from whoswho.params import Augment

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


def extract(
    dataset: Dataset,
    trunk: nn.Module,
    width: int,
    trunk_sha256: str,
    augment: Augment,
    out: Path,
    device: torch.device | None = None,
) -> dict[str, Any]:
    """Run a frozen trunk over all pictures and views into the folder `out`; returns the index.

    The training split has `augment.views` views of each picture, the others the picture itself.
    """
    ready = forward.prepare(trunk, device or torch.device("cpu"))
    index: dict[str, Any] = {
        "frozen": True,
        "trunk": trunk_sha256,
        "width": width,
        "precision": ready.precision,
        "splits": {},
    }
    total = sum(
        len(dataset.examples[split]) * (augment.views if split == "train" else 1)
        for split in dataset.splits
    )
    with tqdm(total=total, desc="features", unit="view", disable=None, leave=False) as bar:
        for split in dataset.splits:
            path = out / f"{split}.npy"
            count = augment.views if split == "train" else 1
            drawn = augment if split == "train" else None
            _extract_split(dataset.examples[split], count, drawn, ready, width, path, bar)
            index["splits"][split] = {
                "views": count,
                "pictures": len(dataset.examples[split]),
                "sha256": paths.sha256(path),
            }
    tables.write(out / ROWS, _ROW_COLUMNS, _rows(dataset))
    paths.write_json(out / INDEX, index)
    return index


def leave_empty(augment: Augment, out: Path) -> None:
    """Write the index of a fine-tuned trunk: no features are kept.

    It holds the augmentation, which then is train's to apply: so train runs again when it changes.
    """
    paths.write_json(out / INDEX, {"frozen": False, "augment": augment.model_dump(), "splits": {}})


def load(folder: Path, dataset: Dataset, trunk_sha256: str) -> dict[str, Features]:
    """The stored features of each split.

    Raises:
        UserError: a file is damaged, or was computed from other pictures or by another trunk.
    """
    index = paths.read_json(folder / INDEX)
    if not index["frozen"]:
        raise UserError(f"{folder}: holds no features, the trunk was to be fine-tuned; {_AGAIN}")
    if index["trunk"] != trunk_sha256:
        raise UserError(f"{folder}: features of another trunk; {_AGAIN}")
    if tables.read(folder / ROWS, _ROW_COLUMNS) != _rows(dataset):
        raise UserError(
            f"{folder / ROWS}: features of other pictures than {dataset.folder}; {_AGAIN}"
        )
    loaded: dict[str, Features] = {}
    for split, facts in index["splits"].items():
        path = folder / f"{split}.npy"
        shape = (facts["views"], facts["pictures"], index["width"])
        loaded[split] = Features(_open(path, facts["sha256"], shape), dataset.targets(split))
    return loaded


def open_prepared(path: Path) -> Image.Image:
    """A prepared picture.

    Raises:
        UserError: it is absent or damaged; only a hand in artifacts/ does that.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise UserError(
            f"{path}: cannot be read ({error}); run `dvc checkout`, or "
            "`dvc repro -f -s preprocess`"
        ) from None


def _extract_split(
    examples: Sequence[Example],
    count: int,
    augment: Augment | None,
    ready: forward.Pass,
    width: int,
    path: Path,
    bar: tqdm[Never],
) -> None:
    from whoswho.pictures import prepare

    shape = (count, len(examples), width)
    values = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)

    def work(numbers: range) -> None:
        seen: list[Image.Image] = []
        opened: dict[int, Image.Image] = {}
        for number in numbers:
            # Views of a picture lie side by side in a batch, so it is decoded once.
            place, view = divmod(number, count)
            if place not in opened:
                opened = {place: open_prepared(examples[place].path)}
            image = opened[place]
            if augment is not None:
                image = views.apply(image, views.draw(augment, examples[place].sha256, view))
            seen.append(image)
        features = ready.run(prepare.to_tensor(seen)).numpy()
        for number, row in zip(numbers, features, strict=True):
            place, view = divmod(number, count)
            values[view, place] = row
        bar.update(len(numbers))

    forward.each(forward.chunks(count * len(examples), ready.batch), work, ready.streams)
    values.flush()


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
