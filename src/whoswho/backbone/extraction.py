"""The features of every picture, computed once: what the head learns from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import islice, tee
from pathlib import Path
from typing import Never

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from whoswho.arches import FACES, LITE0
from whoswho.artifacts import features
from whoswho.artifacts.features import FeatureIndex, Float32
from whoswho.artifacts.model.backbone import load_backbone
from whoswho.artifacts.split import Dataset, Example
from whoswho.backbone import network
from whoswho.backbone.compute import forward
from whoswho.backbone.loading.loader import Indices, Loader, Pictures
from whoswho.backbone.loading.process_group import ProcessGroup
from whoswho.errors import UserError
from whoswho.params import Augment
from whoswho.pictures import tensors
from whoswho.wording import plural
from whoswho.workers import cluster

Chunk = tuple[Sequence[Example], Indices]  # pictures, and which of them are seen in which view
Remote = Callable[[Augment | None, Chunk], Float32]


def extract(
    dataset: Dataset,
    backbone: nn.Module,
    width: int,
    backbone_sha256: str,
    augment: Augment,
    out: Path,
    device: torch.device | None = None,
    process_group: ProcessGroup | None = None,
    weights: Path | None = None,
) -> FeatureIndex | None:
    """Run a frozen backbone over all pictures and views into the folder `out`.

    The training split has `augment.views` views of each picture, the others the picture itself.
    Of a process group each process computes its part into the same files, and the main one writes
    the index; what a picture gives does not depend on who computed it.

    Args:
        width: how many numbers the backbone gives a picture.
        weights: the backbone's folder. Where a cluster is named, its workers read it and compute
            what this process alone would compute on the processor.

    Returns:
        The index; None in other processes than the main one.
    """
    process_group = process_group or ProcessGroup()
    device = device or torch.device("cpu")
    forward_pass = forward.prepare(backbone, device)
    remote: Remote | None = None
    if weights is not None and is_for_cluster(device, process_group):
        remote = partial(
            _on_worker, weights=weights, sha256=backbone_sha256, precision=forward_pass.precision
        )
    views = {split: augment.views if split == "train" else 1 for split in dataset.splits}
    total = sum(count * len(dataset.examples[split]) for split, count in views.items())
    with tqdm(total=total, desc="features", unit="view", disable=None, leave=False) as bar:
        for split, count in views.items():
            shape = (count, len(dataset.examples[split]), width)
            values = _values(out, split, shape, process_group)
            pictures = Pictures(
                dataset.examples[split],
                augment if split == "train" else None,
                forward_pass.normalization,
            )
            _extract_split(pictures, forward_pass, device, values, process_group, bar, remote)
            _bring_together(values, forward_pass.batch, process_group)
            process_group.wait()
    if not process_group.is_main_process:
        return None
    return features.write_index(
        out,
        dataset,
        backbone_sha256,
        forward_pass.precision,
        faces_only=forward_pass.normalization.channels == "RGBA",
    )


def check_faces(dataset: Dataset, arch: str) -> int:
    """How many pictures show no face to a backbone that tells faces apart; 0 for another backbone.

    Raises:
        UserError: most of them: it is the wrong backbone for this set.
    """
    if arch not in FACES:
        return 0
    crops = [example.crop for split in dataset.splits for example in dataset.examples[split]]
    faceless = crops.count("whole")
    if 2 * faceless > len(crops):
        raise UserError(
            f"{dataset.folder}: {faceless} of {plural(len(crops), 'picture')} show no face, and "
            f"{arch} tells faces apart; if they are not of people, set clean.faces: any and "
            f"backbone.arch: {LITE0}"
        )
    return faceless


def _values(
    out: Path, split: str, shape: tuple[int, int, int], process_group: ProcessGroup
) -> Float32:
    """Where this process writes a split's features: the main one's file, which it makes.

    On another machine, whose disks that file need not lie on, one of its own, soon forgotten.
    """
    if process_group.is_main_process:
        features.create_values(out, split, shape)
    process_group.wait()
    if process_group.machine == 0:
        return features.writable_values(out, split)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.float32, "w+", shape=shape)


def _extract_split(
    pictures: Pictures,
    forward_pass: forward.Pass,
    device: torch.device,
    values: Float32,
    process_group: ProcessGroup,
    bar: tqdm[Never],
    remote: Remote | None,
) -> None:
    """Fill this process's part of `values`, (views, pictures, width)."""
    views = len(values)
    chunks = forward.chunks(views * len(pictures), forward_pass.batch)
    own_chunks = islice(chunks, process_group.rank, None, process_group.world_size)

    def indices(rows: range) -> Indices:
        return [divmod(row, views) for row in rows]  # views of a picture side by side

    def keep(rows: range, vectors: Float32) -> None:
        picture, view = np.divmod(rows, views)
        values[view, picture] = vectors
        bar.update(len(rows))

    def open_and_keep(rows: range) -> None:
        keep(rows, _vectors(pictures, indices(rows), forward_pass))

    if remote is not None:
        for_keep, for_workers = tee(own_chunks)
        function = partial(remote, pictures.augment)
        parts = cluster.stream(function, (_chunk(pictures, indices(r)) for r in for_workers))
        for rows, vectors in zip(for_keep, parts, strict=True):
            keep(rows, vectors)
    elif forward_pass.streams > 1:
        forward.each(own_chunks, open_and_keep, forward_pass.streams)
    else:
        for_store, for_loader = tee(own_chunks)
        batches = Loader(pictures, device).batches(map(indices, for_loader))
        for rows, batch in zip(for_store, batches, strict=True):
            keep(rows, forward_pass.run(batch).numpy())
    values.flush()  # type: ignore[attr-defined]


def _bring_together(values: Float32, batch: int, process_group: ProcessGroup) -> None:
    """Let the main process store what the processes of other machines have computed."""
    machines = process_group.all_gather(process_group.machine)
    if not any(machines):
        return
    views, pictures, width = values.shape
    for number, rows in enumerate(forward.chunks(views * pictures, batch)):
        rank = number % process_group.world_size
        picture, view = np.divmod(rows, views)
        if machines[rank] == 0:
            continue
        if process_group.rank == rank:
            process_group.send_to_main(np.array(values[view, picture]))
        elif process_group.is_main_process:
            values[view, picture] = process_group.receive(rank, (len(rows), width))
    values.flush()  # type: ignore[attr-defined]


def is_for_cluster(device: torch.device, process_group: ProcessGroup) -> bool:
    """Whether a cluster is named, whose workers compute on processors and in no group."""
    if not cluster.address():
        return False
    if device.type == "cpu" and process_group.world_size == 1:
        return True
    if process_group.is_main_process:
        here = f"on {device}" if device.type != "cpu" else "by the processes of this group"
        cluster.stays_here(f"features are computed {here}")
    return False


def _chunk(pictures: Pictures, rows: Indices) -> Chunk:
    """What a worker needs to know of a chunk: its own pictures, not all."""
    first, last = rows[0][0], rows[-1][0]
    return pictures.examples[first : last + 1], [(row - first, view) for row, view in rows]


def _on_worker(
    augment: Augment | None, chunk: Chunk, weights: Path, sha256: str, precision: str
) -> Float32:
    """The features of a chunk, (rows, width), as a cluster's worker computes them.

    Raises:
        UserError: it computes in another precision, or reads other weights.
    """
    forward_pass = _forward_pass(weights, sha256)
    if forward_pass.precision != precision:
        raise UserError(
            f"a worker computes in {forward_pass.precision} and this machine in {precision}: "
            "their features differ; let processors of one kind work together"
        )
    examples, indices = chunk
    pictures = Pictures(examples, augment, forward_pass.normalization)
    return _vectors(pictures, indices, forward_pass)


def _vectors(pictures: Pictures, indices: Indices, forward_pass: forward.Pass) -> Float32:
    """The features of a batch, (rows, width)."""
    batch = tensors.standardized(pictures.pixels(indices), pictures.normalization)
    vectors: Float32 = forward_pass.run(batch).numpy()
    return vectors


@lru_cache(maxsize=1)
def _forward_pass(weights: Path, sha256: str) -> forward.Pass:
    """The pass of the backbone in a folder, which a worker keeps for the next chunk."""
    state, source = load_backbone(weights)
    if source.sha256 != sha256:
        raise UserError(f"{weights}: a worker finds another backbone there")
    backbone, _ = network.backbone_from(source.arch, state)
    return forward.prepare(backbone, torch.device("cpu"))
