"""What is trained on what: the head on stored features, or head and upper backbone on pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from whoswho import params
from whoswho.artifacts.features import Features
from whoswho.artifacts.model import HeadShape
from whoswho.artifacts.split import Dataset
from whoswho.backbone import network
from whoswho.backbone.network import Network, State, Unfreeze
from whoswho.backbone.process_group import ProcessGroup, sync_batch_norms
from whoswho.errors import UserError
from whoswho.training import optimizing

Chosen = Sequence[NDArray[np.int64]]  # batches, as numbers of pictures in their split


@dataclass(frozen=True)
class Task:
    """What the loop needs to know about either way of training.

    Attributes:
        module: the network, or its head alone.
        groups: parameters by learning rate.
        learning: names in the module's state that training changes.
        dtype: what a forward pass computes in.
        targets, watched: label indices of the training and the validation pictures.
        inputs: batches of training pictures and the epoch (from 0) -> a tensor a batch.
        validation: the same for validation pictures, as they are.
        least: the fewest pictures a batch may have.
        most: how many validation pictures are passed through at once.
    """

    module: nn.Module
    groups: list[dict[str, Any]]
    learning: tuple[str, ...]
    dtype: torch.dtype
    targets: NDArray[np.int64]
    watched: NDArray[np.int64]
    inputs: Callable[[Chosen, int], Iterator[Tensor]]
    validation: Callable[[Chosen], Iterator[Tensor]]
    least: int
    most: int


def head(
    dataset: Dataset,
    features: dict[str, Features],
    shape: HeadShape,
    train: params.Train,
    place: torch.device,
) -> Task:
    """The head alone; epoch e learns from stored view e modulo views."""
    known, watched = features["train"], features["validation"]
    module = network.build_head(known.values.shape[2], len(dataset.labels), shape, train.seed)
    if shape.standardize:
        _standardize(module, *mean_and_std(known.values[v] for v in range(len(known.values))))
    module.to(place)

    def inputs(chosen: Chosen, epoch: int) -> Iterator[Tensor]:
        view = known.values[epoch % len(known.values)]
        return (torch.from_numpy(view[batch]) for batch in chosen)

    def validation(chosen: Chosen) -> Iterator[Tensor]:
        return (torch.from_numpy(watched.values[0, batch]) for batch in chosen)

    return Task(
        module,
        [{"params": list(module.parameters()), "lr": train.lr}],
        tuple(module.state_dict()),
        torch.float32,  # a head is small: nothing is to be gained by rounding
        known.targets,
        watched.targets,
        inputs,
        validation,
        least=1,
        most=1024,
    )


def whole(
    dataset: Dataset,
    arch: str,
    backbone: State,
    shape: HeadShape,
    train: params.Train,
    augment: params.Augment,
    unfreeze: Unfreeze,
    place: torch.device,
    process_group: ProcessGroup,
) -> Task:
    """Head and upper backbone on pictures; epoch e draws view e modulo views of each."""
    from whoswho.backbone import loader

    network.check_size(arch, dataset.picture.size)
    copied = {name: value.clone() for name, value in backbone.items()}
    body, width = network.backbone_from(arch, copied)
    answers = network.build_head(width, len(dataset.labels), shape, train.seed)
    if shape.standardize:
        _standardize(
            answers,
            *mean_and_std(
                loader.backbone_features(dataset, body, augment, place, process_group),
                process_group,
            ),
        )
    net = Network(arch, body, answers)
    net.freeze(unfreeze)
    if process_group.world_size > 1:
        sync_batch_norms(net, place)
    net.to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    known = loader.Loader(loader.Pictures(dataset.examples["train"], augment), place)
    watched = loader.Loader(loader.Pictures(dataset.examples["validation"]), place)

    def inputs(chosen: Chosen, epoch: int) -> Iterator[Tensor]:
        view = epoch % augment.views
        return known.batches([(number, view) for number in batch.tolist()] for batch in chosen)

    def validation(chosen: Chosen) -> Iterator[Tensor]:
        return watched.batches([(number, 0) for number in batch.tolist()] for batch in chosen)

    frozen = net.frozen_names()
    upper = {"params": list(answers.parameters()), "lr": train.lr}
    return Task(
        net,
        [*_backbone_groups(net, unfreeze, train), upper],
        tuple(name for name in net.state_dict() if name not in frozen),
        optimizing.precision(place, train.precision),
        dataset.targets("train"),
        dataset.targets("validation"),
        inputs,
        validation,
        # A batch norm that learns cannot take statistics from one picture.
        least=max(2, process_group.world_size),
        most=train.batch,
    )


def _backbone_groups(
    net: Network, unfreeze: Unfreeze, train: params.Train
) -> list[dict[str, Any]]:
    """The backbone's blocks that learn, each at `backbone_decay` times the rate of the one above it.

    What lies lower is more general and needs less change (Howard and Ruder 2018,
    arXiv:1801.06146, discriminative fine-tuning).
    """
    learning = network.trainable_blocks(net.backbone, unfreeze)
    groups = []
    grouped: set[int] = set()
    for depth, block in enumerate(reversed(learning)):
        own = [p for _, part in block for p in part.parameters()]
        grouped |= set(map(id, own))
        groups.append({"params": own, "lr": train.backbone_lr * train.backbone_decay**depth})
    # A few networks keep parameters of their own beside their parts, at the input.
    rest = [p for p in net.backbone.parameters() if p.requires_grad and id(p) not in grouped]
    if rest:
        groups[-1]["params"] += rest  # type: ignore[operator]
    return groups[::-1]


def mean_and_std(
    blocks: Iterator[NDArray[np.float32]], process_group: ProcessGroup | None = None
) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each column over all rows of the blocks, in double precision.

    Of a team's processes each has blocks of its own, and all get the same answer.
    """
    # Number of rows, sums and sums of squares.
    found = [np.zeros(1), np.zeros(1), np.zeros(1)]
    for block in blocks:
        for start in range(0, len(block), 4096):  # a block may be larger than memory
            values = np.asarray(block[start : start + 4096], np.float64)
            here = (np.array([len(values)]), values.sum(axis=0), (values**2).sum(axis=0))
            found = [before + more for before, more in zip(found, here, strict=True)]
    parts = (process_group or ProcessGroup()).all_gather(found)
    rows, total, squares = (sum(column, np.zeros(1)) for column in zip(*parts, strict=True))
    mean = total / rows
    deviation = np.sqrt(np.maximum(squares / rows - mean**2, 0))
    if not (np.isfinite(mean).all() and np.isfinite(deviation).all()):
        raise UserError(
            "artifacts/features: the backbone gives numbers that are not finite, so its weights are "
            "not sound; check backbone.weights, then `dvc repro -f -s backbone && dvc repro`"
        )
    # A feature that never varies tells nothing; dividing by its deviation would make noise of it.
    deviation = np.where(deviation > 1e-6 * np.maximum(np.abs(mean), 1), deviation, 1.0)
    return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()


def _standardize(head: nn.Sequential, mean: Tensor, deviation: Tensor) -> None:
    layer = head.get_submodule("standardize")
    layer.load_state_dict({"mean": mean, "deviation": deviation})
