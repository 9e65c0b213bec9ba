"""What the loop trains on what: the head on stored features, or the network on pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from whoswho import params
from whoswho.backbone import network
from whoswho.backbone.loading import loader
from whoswho.backbone.loading.process_group import ProcessGroup, sync_batch_norms
from whoswho.backbone.network import Network, Unfreeze, architectures
from whoswho.errors import UserError
from whoswho.training.batches import Batches
from whoswho.training.inputs import Recipe, TrainingData
from whoswho.training.optimization import training_dtype
from whoswho.training.standardization import feature_mean_and_std


@dataclass(frozen=True)
class Task:
    """What the loop needs to know about either way of training.

    Attributes:
        module: the network, or its head alone.
        groups: the optimizer's parameter groups, each with its learning rate.
        trainable: names in the module's state that training changes.
        dtype: what a forward pass computes in.
        labels: how many there are.
        targets: label index of each training picture; validation_targets of each validation one.
        inputs: split, batches of its pictures and the epoch (from 0) -> a tensor a batch.
        min_batch: the fewest pictures a training batch may have.
        validation_batch: how many validation pictures are passed through at once.
    """

    module: nn.Module
    groups: list[dict[str, Any]]
    trainable: tuple[str, ...]
    dtype: torch.dtype
    labels: int
    targets: NDArray[np.int64]
    validation_targets: NDArray[np.int64]
    inputs: Callable[[str, Batches, int], Iterator[Tensor]]
    min_batch: int
    validation_batch: int


def head_task(data: TrainingData, recipe: Recipe, device: torch.device) -> Task:
    """The head alone, on stored features; epoch e learns from view e modulo views."""
    features = data.features
    assert features is not None
    train, validation = features["train"], features["validation"]
    labels = len(data.dataset.labels)
    views, _, width = train.values.shape
    head = network.build_head(width, labels, recipe.head_shape, recipe.train.seed)
    _standardize(head, recipe, (train.values[view] for view in range(views)), ProcessGroup())
    head.to(device)

    def inputs(split: str, batches: Batches, epoch: int) -> Iterator[Tensor]:
        values = features[split].values
        view = values[epoch % len(values)]
        return (torch.from_numpy(view[batch]).to(device) for batch in batches)

    return Task(
        module=head,
        groups=[{"params": list(head.parameters()), "lr": recipe.train.lr}],
        trainable=tuple(head.state_dict()),
        dtype=torch.float32,  # a head is small: nothing is to be gained by rounding
        labels=labels,
        targets=train.targets,
        validation_targets=validation.targets,
        inputs=inputs,
        min_batch=1,
        validation_batch=1024,
    )


def network_task(
    data: TrainingData, recipe: Recipe, device: torch.device, process_group: ProcessGroup
) -> Task:
    """Head and upper backbone, on pictures; epoch e draws view e modulo views of each.

    Raises:
        UserError: params, pictures and processes contradict each other.
    """
    dataset, train, augment = data.dataset, recipe.train, recipe.augment
    examples = dataset.examples
    _check_fine_tuning(data, train, process_group)
    copied = {name: value.clone() for name, value in data.backbone.items()}
    backbone, width = network.backbone_from(data.arch, copied)
    head = network.build_head(width, len(dataset.labels), recipe.head_shape, train.seed)
    features = loader.backbone_features(dataset, backbone, augment, device, process_group)
    _standardize(head, recipe, features, process_group)
    net = Network(data.arch, backbone, head)
    net.freeze(recipe.unfreeze)
    if process_group.world_size > 1:
        sync_batch_norms(net, device)
    net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    normalization = architectures.normalization(backbone)
    loaders = {
        split: loader.Loader(loader.Pictures(examples[split], views, normalization), device)
        for split, views in (("train", augment), ("validation", None))
    }

    def inputs(split: str, batches: Batches, epoch: int) -> Iterator[Tensor]:
        view = epoch % augment.views  # validation pictures have none
        return loaders[split].batches([(row, view) for row in batch.tolist()] for batch in batches)

    frozen = net.frozen_names()
    head_group = {"params": list(head.parameters()), "lr": train.lr}
    return Task(
        module=net,
        groups=[*_backbone_groups(net, recipe.unfreeze, train), head_group],
        trainable=tuple(name for name in net.state_dict() if name not in frozen),
        dtype=training_dtype(device, train.precision),
        labels=len(dataset.labels),
        targets=dataset.targets("train"),
        validation_targets=dataset.targets("validation"),
        inputs=inputs,
        # A batch norm that learns cannot take statistics from one picture.
        min_batch=max(2, process_group.world_size),
        validation_batch=train.batch,
    )


def _check_fine_tuning(
    data: TrainingData, train: params.Train, process_group: ProcessGroup
) -> None:
    pictures, processes = len(data.dataset.examples["train"]), process_group.world_size
    if train.repeats > 1:
        raise UserError(
            f"train.repeats: {train.repeats} repeats need a frozen backbone, whose stored "
            "features make a training cost seconds; set backbone.unfreeze to 0, or repeats to 1"
        )
    if train.batch < processes:
        raise UserError(
            f"train.batch: {train.batch} pictures cannot be shared by {processes} processes; set "
            f"at least {processes}"
        )
    if pictures < processes:
        raise UserError(
            f"{data.dataset.folder}: {pictures} training pictures cannot be shared by {processes} "
            f"processes; set WHOSWHO_PROCESSES to at most {pictures}"
        )
    network.check_size(data.arch, data.dataset.picture.size)


def _backbone_groups(
    net: Network, unfreeze: Unfreeze, train: params.Train
) -> list[dict[str, Any]]:
    """The backbone's blocks that learn, each at `backbone_decay` times the rate of the next above.

    What lies lower is more general and needs less change (Howard and Ruder 2018,
    arXiv:1801.06146, discriminative fine-tuning).
    """
    groups: list[dict[str, Any]] = []
    grouped: set[int] = set()
    lr = train.backbone_lr
    for depth, block in enumerate(reversed(network.trainable_blocks(net.backbone, unfreeze))):
        parameters = [p for _, part in block for p in part.parameters()]
        grouped |= set(map(id, parameters))
        groups.append({"params": parameters, "lr": lr * train.backbone_decay**depth})
    # A few networks keep parameters of their own beside their parts, at the input.
    groups[-1]["params"] += [
        p for p in net.backbone.parameters() if p.requires_grad and id(p) not in grouped
    ]
    return groups[::-1]


def _standardize(
    head: nn.Sequential,
    recipe: Recipe,
    features: Iterator[NDArray[np.float32]],
    process_group: ProcessGroup,
) -> None:
    """Let the head begin by standardising features (rows, width), where the recipe says so."""
    if recipe.train.standardize:
        mean, deviation = feature_mean_and_std(features, process_group)
        state = {"mean": mean, "deviation": deviation}
        head.get_submodule("standardize").load_state_dict(state)
