"""A whole training: the loop, its repeats with other seeds, the network that comes of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch

from whoswho.artifacts.model.description import HeadShape, HistoryRow, mean_and_std
from whoswho.backbone.compute import device as devices
from whoswho.backbone.loading.process_group import ProcessGroup
from whoswho.backbone.network import State
from whoswho.training.checkpoint import Checkpoint
from whoswho.training.data import head_task, network_task
from whoswho.training.inputs import Recipe, TrainingData
from whoswho.training.loop import Trainer, kept_epoch


@dataclass(frozen=True)
class Fitted:
    """A trained network as tensors, and how it came about.

    Attributes:
        state: tensors by name, backbone.… and head.…
        history: a row an epoch.
        epoch: the one whose weights these are.
        repeats: that epoch's row of every training with a seed of its own, this one's first;
            `seed` in place of `epoch`.
    """

    head: HeadShape
    state: State
    history: list[HistoryRow]
    epoch: int
    repeats: list[HistoryRow]

    @property
    def sentence(self) -> str:
        """`3 epochs, loss 0.812, accuracy 0.701, on validation 0.714`, of the kept epoch."""
        row = self.history[self.epoch - 1]
        text = f"{len(self.history)} epochs"
        if self.epoch != len(self.history):
            text += f", the best the {self.epoch}."
        text += f", loss {row['train/loss']:.3f}, accuracy {row['train/accuracy']:.3f}"
        text += f", on validation {row['validation/accuracy']:.3f}"
        if len(self.repeats) > 1:
            mean, deviation = mean_and_std(self.repeats, "validation/accuracy")
            text += f" (over {len(self.repeats)} seeds {mean:.3f} ± {deviation:.3f})"
        return text


def fit(
    data: TrainingData,
    recipe: Recipe,
    *,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[HistoryRow], None] = lambda row: None,
    process_group: ProcessGroup | None = None,
) -> Fitted:
    """Train on the training split, measure on validation, return the network of the kept epoch.

    Args:
        checkpoint: written after each epoch, before `on_epoch`; the caller removes it once the
            model is stored. One that is damaged or of another training is told of.
        on_epoch: called once for each epoch in order, also for those that a checkpoint brought
            back: a caller that keeps a record of its own passes over what it has.
        process_group: the processes that train together; each calls this with the same arguments.

    Raises:
        UserError: the loss is not finite, memory does not suffice, the device is not there, or
            params contradict each other.
    """
    device = devices.pick(recipe.train.device)

    group = process_group or ProcessGroup()

    def trainer(recipe: Recipe) -> Trainer:
        if data.features is not None:
            task = head_task(data, recipe, device)
        else:
            task = network_task(data, recipe, device, group)
        return Trainer(task, recipe.train, device, group)

    head_alone = data.features is not None
    with devices.using(device), devices.one_thread() if head_alone else nullcontext():
        first = trainer(recipe)
        history = first.run(checkpoint, on_epoch)
        epoch = kept_epoch(history, recipe.train.keep)
        repeats = [_repeat(recipe, history)]
        for seed in range(recipe.train.seed + 1, recipe.train.seed + recipe.train.repeats):
            other = replace(recipe, train=recipe.train.model_copy(update={"seed": seed}))
            repeats.append(_repeat(other, trainer(other).run()))
    state = _whole_state(data, first.task.module)
    return Fitted(recipe.head_shape, state, history, epoch, repeats)


def _repeat(recipe: Recipe, history: list[HistoryRow]) -> HistoryRow:
    """The kept epoch's row of a training, with its seed in place of the epoch."""
    row = history[kept_epoch(history, recipe.train.keep) - 1]
    metrics = {name: value for name, value in row.items() if name != "epoch"}
    return {"seed": recipe.train.seed, **metrics}


def _whole_state(data: TrainingData, module: torch.nn.Module) -> State:
    """The state of backbone and head, also where the head alone was trained."""
    trained = {
        name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()
    }
    if data.features is None:
        return trained
    backbone = {f"backbone.{name}": value for name, value in data.backbone.items()}
    return backbone | {f"head.{name}": value for name, value in trained.items()}
