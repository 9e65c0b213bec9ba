"""Training: the head on stored features, or head and upper trunk on pictures.

Everything drawn by chance is drawn from the seed and the epoch, so an epoch is the same whether it
follows the one before it in this process or is the first after an interruption.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from whoswho import params, paths
from whoswho.errors import UserError
from whoswho.learning import device as devices
from whoswho.learning import feature_files, network
from whoswho.learning.checkpoint import Checkpoint
from whoswho.learning.dataset import Dataset
from whoswho.learning.network import HeadShape, Network, State, Unfreeze, seeded

Row = dict[str, float]  # epoch (from 1), train/loss, train/accuracy, validation/loss, …/accuracy
Batch = tuple[Tensor, Tensor]

METRICS = ("train/loss", "train/accuracy", "validation/loss", "validation/accuracy")


@dataclass(frozen=True)
class Fitted:
    """A trained network as tensors, and what it said about validation."""

    arch: str
    labels: tuple[str, ...]
    shape: HeadShape
    state: State  # trunk.… and head.…
    history: list[Row]
    validation_logits: NDArray[np.float32]  # (pictures, labels)
    validation_targets: NDArray[np.int64]


@dataclass(frozen=True)
class _Task:
    """What the loop needs to know about either way of training."""

    module: nn.Module
    groups: list[dict[str, Any]]  # parameters by learning rate
    learning: tuple[str, ...]  # names in the module's state that training changes
    train: Callable[[int], Iterator[Batch]]  # epoch (from 0) -> batches
    validation: Callable[[], Iterator[Batch]]


def inputs(dataset: Path, backbone: Path, features: Path) -> dict[str, str]:
    """The digests of what a training reads, by name: part of its model and of its key."""
    return {
        "dataset": paths.digest(
            *(paths.sha256(dataset / n) for n in ("dataset.json", "split.csv"))
        ),
        "backbone": paths.sha256(backbone / "source.json"),
        "features": paths.sha256(features / feature_files.INDEX),
    }


def key(
    inputs: dict[str, str], train: params.Train, augment: params.Augment, unfreeze: Unfreeze
) -> str:
    """The digest of everything a training depends on."""
    settings = (train.model_dump_json(), augment.model_dump_json(), repr(unfreeze))
    return paths.digest(*(f"{name}={value}" for name, value in sorted(inputs.items())), *settings)


def fit(
    dataset: Dataset,
    arch: str,
    trunk: State,
    features: dict[str, feature_files.Features] | None,
    train: params.Train,
    augment: params.Augment,
    unfreeze: Unfreeze,
    *,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[Row], None] = lambda row: None,
    say: Callable[[str], None] = print,
) -> Fitted:
    """Train on the training split, watch validation, return the network of the last epoch.

    Args:
        features: the stored features of a frozen trunk; None where `unfreeze` is not 0.
        checkpoint: written after each epoch, before `on_epoch`; the caller removes it once the
            model is stored. One that is damaged or of another training is told to `say`.
        on_epoch: called once for each epoch in order, also for those that a checkpoint brought
            back: a caller that keeps a record of its own passes over what it has.

    Raises:
        UserError: the loss is not finite, memory does not suffice, the device is not there.
    """
    place = devices.pick(train.device)
    shape = HeadShape(tuple(train.head), train.dropout, train.standardize)
    with devices.repeatable(place):
        if features is not None:
            task = _head_task(dataset, features, shape, train, place)
        else:
            task = _network_task(dataset, arch, trunk, shape, train, augment, unfreeze, place)
        history = _loop(task, train, place, checkpoint, on_epoch, say)
        logits, targets = _answers(task, place)
    state = {name: value.detach().cpu() for name, value in task.module.state_dict().items()}
    if features is not None:
        state = {
            **{f"trunk.{name}": value for name, value in trunk.items()},
            **{f"head.{name}": value for name, value in state.items()},
        }
    return Fitted(arch, dataset.labels, shape, state, history, logits, targets)


def _loop(
    task: _Task,
    train: params.Train,
    place: torch.device,
    checkpoint: Checkpoint | None,
    on_epoch: Callable[[Row], None],
    say: Callable[[str], None],
) -> list[Row]:
    optimizer = torch.optim.Adam(task.groups, lr=train.lr, weight_decay=train.weight_decay)
    history = _resume(task.module, optimizer, checkpoint, say)
    for row in history:
        on_epoch(row)
    for epoch in range(len(history), train.epochs):
        with seeded(derived_seed(train.seed, epoch, "dropout")):
            loss, accuracy = _train_epoch(task, optimizer, place, epoch)
        row = {"epoch": epoch + 1, "train/loss": loss, "train/accuracy": accuracy}
        row["validation/loss"], row["validation/accuracy"] = _validate(task, place)
        history.append(row)
        if checkpoint is not None:
            state = task.module.state_dict()
            checkpoint.write(
                {
                    "module": {name: state[name].cpu() for name in task.learning},
                    "optimizer": optimizer.state_dict(),
                    "history": history,
                }
            )
        on_epoch(row)
    return history


def _resume(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    checkpoint: Checkpoint | None,
    say: Callable[[str], None],
) -> list[Row]:
    state = checkpoint.read(say) if checkpoint is not None else None
    if state is None:
        return []
    module.load_state_dict(state["module"], strict=False)
    optimizer.load_state_dict(state["optimizer"])
    history: list[Row] = state["history"]
    say(f"training goes on after epoch {len(history)}")
    return history


def _train_epoch(
    task: _Task, optimizer: torch.optim.Optimizer, place: torch.device, epoch: int
) -> tuple[float, float]:
    """One pass over the training pictures; mean loss and accuracy as they were on the way."""
    task.module.train()
    total = right = seen = 0.0
    for number, (x, y) in enumerate(task.train(epoch), start=1):
        try:
            logits, y = _forward(task.module, x.to(place)), y.to(place)
            loss = nn.functional.cross_entropy(logits, y)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        except torch.OutOfMemoryError:
            raise UserError(
                f"train.batch: {len(y)} pictures a step do not fit into the memory of {place}; "
                f"try {max(len(y) // 2, 1)}"
            ) from None
        value = loss.item()
        if not math.isfinite(value):
            raise UserError(_not_finite(value, x, epoch + 1, number, optimizer))
        total += value * len(y)
        right += (logits.argmax(1) == y).sum().item()
        seen += len(y)
    return total / seen, right / seen


def _forward(module: nn.Module, x: Tensor) -> Tensor:
    """Logits in training; a batch norm cannot learn from one picture and uses what it knows."""
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d) and m.training]
    alone = norms if len(x) == 1 else []
    for norm in alone:
        norm.eval()
    logits: Tensor = module(x)
    for norm in alone:
        norm.train()
    return logits


def _validate(task: _Task, place: torch.device) -> tuple[float, float]:
    """Mean loss and accuracy over validation, in evaluation mode."""
    logits, targets = (torch.from_numpy(array) for array in _answers(task, place))
    loss = nn.functional.cross_entropy(logits, targets).item()
    return loss, (logits.argmax(1) == targets).double().mean().item()


def _answers(task: _Task, place: torch.device) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The logits of validation, and the actual labels."""
    task.module.eval()
    logits, targets = [], []
    with torch.inference_mode():
        for x, y in task.validation():
            logits.append(task.module(x.to(place)).float().cpu())
            targets.append(y)
    return torch.cat(logits).numpy(), torch.cat(targets).numpy()


def _head_task(
    dataset: Dataset,
    features: dict[str, feature_files.Features],
    shape: HeadShape,
    train: params.Train,
    place: torch.device,
) -> _Task:
    """The head alone; epoch e learns from stored view e modulo views."""
    known = features["train"]
    width = known.values.shape[2]
    head = network.build_head(width, len(dataset.labels), shape, train.seed)
    if shape.standardize:
        _standardize(head, *moments(known.values[v] for v in range(len(known.values))))
    head.to(place)

    def batches(epoch: int) -> Iterator[Batch]:
        view = known.values[epoch % len(known.values)]
        for chosen in batched(shuffled(train.seed, epoch, len(known.targets)), train.batch):
            yield torch.from_numpy(view[chosen]), torch.from_numpy(known.targets[chosen])

    def validation() -> Iterator[Batch]:
        watched = features["validation"]
        for chosen in batched(np.arange(len(watched.targets)), 1024):
            yield (
                torch.from_numpy(watched.values[0, chosen]),
                torch.from_numpy(watched.targets[chosen]),
            )

    groups = [{"params": list(head.parameters())}]
    return _Task(head, groups, tuple(head.state_dict()), batches, validation)


def _network_task(
    dataset: Dataset,
    arch: str,
    trunk: State,
    shape: HeadShape,
    train: params.Train,
    augment: params.Augment,
    unfreeze: Unfreeze,
    place: torch.device,
) -> _Task:
    """Head and upper trunk on pictures; epoch e draws view e modulo views of each."""
    from whoswho.learning import pictures

    copied = {name: value.clone() for name, value in trunk.items()}
    body, width = network.trunk_from(arch, copied)
    head = network.build_head(width, len(dataset.labels), shape, train.seed)
    if shape.standardize:
        _standardize(head, *moments(pictures.trunk_features(dataset, body, augment, place)))
    net = Network(arch, body, head)
    net.freeze(unfreeze)
    net.to(place)
    examples = dataset.examples["train"]

    def batches(epoch: int) -> Iterator[Batch]:
        order = shuffled(train.seed, epoch, len(examples))
        chosen = no_lone_picture(list(batched(order, train.batch)))
        yield from pictures.batches(examples, chosen, place, augment, epoch % augment.views)

    def validation() -> Iterator[Batch]:
        watched = dataset.examples["validation"]
        chosen = list(batched(np.arange(len(watched)), train.batch))
        yield from pictures.batches(watched, chosen, place)

    frozen = net.frozen_names()
    groups = [
        {"params": [p for p in body.parameters() if p.requires_grad], "lr": train.trunk_lr},
        {"params": list(head.parameters()), "lr": train.lr},
    ]
    learning = tuple(name for name in net.state_dict() if name not in frozen)
    return _Task(net, groups, learning, batches, validation)


def moments(blocks: Iterator[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each column over all rows of the blocks, in double precision."""
    total = squares = np.zeros(1)
    rows = 0
    for block in blocks:
        for start in range(0, len(block), 4096):  # a block may be larger than memory
            values = np.asarray(block[start : start + 4096], np.float64)
            total = total + values.sum(axis=0)
            squares = squares + (values**2).sum(axis=0)
            rows += len(values)
    mean = total / rows
    deviation = np.sqrt(np.maximum(squares / rows - mean**2, 0))
    if not (np.isfinite(mean).all() and np.isfinite(deviation).all()):
        raise UserError(
            "artifacts/features: hold numbers that are not finite, so the trunk's weights are not "
            "sound; check backbone.weights, then `dvc repro -f -s backbone && dvc repro`"
        )
    # A feature that never varies tells nothing; dividing by its deviation would make noise of it.
    deviation = np.where(deviation > 1e-6 * np.maximum(np.abs(mean), 1), deviation, 1.0)
    return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()


def derived_seed(*parts: object) -> int:
    """A seed of its own for each combination of parts."""
    text = ":".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def shuffled(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """The order of the pictures in an epoch."""
    generator = np.random.Generator(np.random.PCG64(derived_seed(seed, epoch, "order")))
    return generator.permutation(count)


def batched(order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """Cut an order into batches; the last may be smaller."""
    for start in range(0, len(order), size):
        yield order[start : start + size]


def no_lone_picture(batches: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Join a last batch of one picture to the batch before it.

    A batch norm that learns cannot take statistics from one picture, and no picture is left out.
    """
    if len(batches) < 2 or len(batches[-1]) > 1 or len(batches[-2]) < 2:
        return list(batches)
    return [*batches[:-2], np.concatenate(batches[-2:])]


def _standardize(head: nn.Sequential, mean: Tensor, deviation: Tensor) -> None:
    layer = head.get_submodule("standardize")
    layer.load_state_dict({"mean": mean, "deviation": deviation})


def _not_finite(
    value: float, x: Tensor, epoch: int, number: int, optimizer: torch.optim.Optimizer
) -> str:
    if not bool(torch.isfinite(x).all()):
        cause = (
            "its inputs are not finite: check backbone.weights and run `dvc repro -f -s features`"
        )
    else:
        rates = " and ".join(f"{group['lr']:g}" for group in optimizer.param_groups)
        cause = f"the likely cause is a learning rate that is too high ({rates}): lower train.lr"
        if len(optimizer.param_groups) > 1:
            cause += " and train.trunk_lr"
    return (
        f"training: the loss is {value} in epoch {epoch}, batch {number}; {cause}; finished "
        "epochs are kept"
    )
