"""The features of every picture, computed once: what the head learns from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Never

import numpy as np
import torch
from PIL import Image
from torch import nn
from tqdm import tqdm

from whoswho import paths
from whoswho.errors import UserError
from whoswho.learning import feature_files, forward, views
from whoswho.learning.dataset import Dataset, Example
from whoswho.learning.feature_files import Float32
from whoswho.learning.team import Team
from whoswho.params import Augment


def extract(
    dataset: Dataset,
    trunk: nn.Module,
    width: int,
    trunk_sha256: str,
    augment: Augment,
    out: Path,
    device: torch.device | None = None,
    crew: Team | None = None,
) -> dict[str, Any]:
    """Run a frozen trunk over all pictures and views into the folder `out`; returns the index.

    The training split has `augment.views` views of each picture, the others the picture itself.
    Of a team each process computes its shard into the same files, and the leading one writes the
    index; what a picture gives does not depend on who computed it.
    """
    crew = crew or Team()
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
            path = feature_files.split_file(out, split)
            count = augment.views if split == "train" else 1
            drawn = augment if split == "train" else None
            shard = _shard(path, (count, len(dataset.examples[split]), width), crew)
            _extract_split(dataset.examples[split], drawn, ready, shard, crew, bar)
            crew.wait()
            index["splits"][split] = {
                "views": count,
                "pictures": len(dataset.examples[split]),
                "sha256": paths.sha256(path),
            }
    if crew.leads:
        feature_files.write_index(out, index, dataset)
    return index


def leave_empty(augment: Augment, out: Path) -> None:
    """Write the index of a fine-tuned trunk: no features are kept.

    It holds the augmentation, which then is train's to apply: so train runs again when it changes.
    """
    feature_files.write_index(
        out, {"frozen": False, "augment": augment.model_dump(), "splits": {}}
    )


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


def _shard(path: Path, shape: tuple[int, int, int], crew: Team) -> Float32:
    """The file of a split, made by the leading process and open in all."""
    if crew.leads:
        np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    crew.wait()
    return np.lib.format.open_memmap(path, mode="r+")


def _extract_split(
    examples: Sequence[Example],
    augment: Augment | None,
    ready: forward.Pass,
    values: Float32,
    crew: Team,
    bar: tqdm[Never],
) -> None:
    from whoswho.pictures import prepare

    count = len(values)

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

    chunks = forward.chunks(count * len(examples), ready.batch)
    forward.each(islice(chunks, crew.rank, None, crew.size), work, ready.streams)
    values.flush()  # type: ignore[attr-defined]
