"""The features of every picture, computed once: what the head learns from."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any, Never

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from whoswho import paths
from whoswho.artifacts.features import Float32, feature_file, write_feature_index
from whoswho.artifacts.split import Dataset
from whoswho.backbone import forward
from whoswho.backbone.loader import Loader, Pictures, Wanted
from whoswho.backbone.process_group import ProcessGroup
from whoswho.params import Augment
from whoswho.pictures import prepare


def extract(
    dataset: Dataset,
    backbone: nn.Module,
    width: int,
    backbone_sha256: str,
    augment: Augment,
    out: Path,
    device: torch.device | None = None,
    process_group: ProcessGroup | None = None,
) -> dict[str, Any]:
    """Run a frozen backbone over all pictures and views into the folder `out`; returns the index.

    The training split has `augment.views` views of each picture, the others the picture itself.
    Of a team each process computes its shard into the same files, and the leading one writes the
    index; what a picture gives does not depend on who computed it.
    """
    process_group = process_group or ProcessGroup()
    place = device or torch.device("cpu")
    ready = forward.prepare(backbone, place)
    index: dict[str, Any] = {
        "frozen": True,
        "backbone": backbone_sha256,
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
            path = feature_file(out, split)
            count = augment.views if split == "train" else 1
            shard = _shard(path, (count, len(dataset.examples[split]), width), process_group)
            pictures = Pictures(dataset.examples[split], augment if split == "train" else None)
            _extract_split(pictures, ready, place, shard, process_group, bar)
            process_group.wait()
            index["splits"][split] = {
                "views": count,
                "pictures": len(dataset.examples[split]),
                "sha256": paths.sha256(path),
            }
    if process_group.is_main_process:
        write_feature_index(out, index, dataset)
    return index


def leave_empty(augment: Augment, out: Path) -> None:
    """Write the index of a fine-tuned backbone: no features are kept.

    It holds the augmentation, which then is train's to apply: so train runs again when it changes.
    """
    write_feature_index(out, {"frozen": False, "augment": augment.model_dump(), "splits": {}})


def _shard(path: Path, shape: tuple[int, int, int], process_group: ProcessGroup) -> Float32:
    """The file of a split, made by the leading process and open in all."""
    if process_group.is_main_process:
        np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    process_group.wait()
    return np.lib.format.open_memmap(path, mode="r+")


def _extract_split(
    pictures: Pictures,
    ready: forward.Pass,
    place: torch.device,
    values: Float32,
    process_group: ProcessGroup,
    bar: tqdm[Never],
) -> None:
    count = len(values)
    rows = count * len(pictures.examples)
    chunks = islice(
        forward.chunks(rows, ready.batch), process_group.rank, None, process_group.size
    )

    def wanted(numbers: range) -> Wanted:
        return [divmod(number, count) for number in numbers]  # views of a picture side by side

    def keep(numbers: range, x: Tensor) -> None:
        features = ready.run(x).numpy()
        for (number, view), row in zip(wanted(numbers), features, strict=True):
            values[view, number] = row
        bar.update(len(numbers))

    def see_and_keep(numbers: range) -> None:
        keep(numbers, prepare.standardized(pictures.seen(wanted(numbers))))

    if ready.streams > 1:
        forward.each(chunks, see_and_keep, ready.streams)
    else:
        mine = list(chunks)
        batches = Loader(pictures, place).batches(map(wanted, mine))
        for numbers, x in zip(mine, batches, strict=True):
            keep(numbers, x)
    values.flush()  # type: ignore[attr-defined]
