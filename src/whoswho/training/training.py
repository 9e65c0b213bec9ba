"""Training: epochs over a task, watched on validation, resumable, the named epoch kept."""

from __future__ import annotations

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
from whoswho.artifacts.backbone import source_digest
from whoswho.artifacts.features import Features, index_digest
from whoswho.artifacts.model import HeadShape, mean_and_std
from whoswho.artifacts.split import Dataset, dataset_digest
from whoswho.backbone import device as devices
from whoswho.backbone import seeds
from whoswho.backbone.network import State, Unfreeze
from whoswho.backbone.process_group import ProcessGroup
from whoswho.errors import UserError
from whoswho.training import optimizing, tasks
from whoswho.training.checkpoint import Checkpoint
from whoswho.training.optimizers import Optimizer
from whoswho.training.tasks import Task

Row = dict[str, float]  # epoch (from 1), train/loss, train/accuracy, validation/loss, …/accuracy


@dataclass(frozen=True)
class Fitted:
    """A trained network as tensors, and what it said about validation.

    Attributes:
        state: tensors by name, backbone.… and head.…
        history: a row an epoch.
        epoch: the one whose weights these are.
        repeats: that epoch's row of every training with a seed of its own, this one's first;
            `seed` in place of `epoch`.
        validation_logits: (pictures, labels).
        validation_targets: (pictures,) label indices.
    """

    arch: str
    labels: tuple[str, ...]
    shape: HeadShape
    state: State
    history: list[Row]
    epoch: int
    repeats: list[Row]
    validation_logits: NDArray[np.float32]
    validation_targets: NDArray[np.int64]


def inputs(dataset: Path, backbone: Path, features: Path) -> dict[str, str]:
    """The digests of what a training reads, by name: part of its model and of its key."""
    return {
        "dataset": dataset_digest(dataset),
        "backbone": source_digest(backbone),
        "features": index_digest(features),
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
    backbone: State,
    features: dict[str, Features] | None,
    train: params.Train,
    augment: params.Augment,
    unfreeze: Unfreeze,
    *,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[Row], None] = lambda row: None,
    say: Callable[[str], None] = print,
    process_group: ProcessGroup | None = None,
) -> Fitted:
    """Train on the training split, watch validation, return the network of the kept epoch.

    Args:
        features: the stored features of a frozen backbone; None where `unfreeze` is not 0.
        checkpoint: written after each epoch, before `on_epoch`; the caller removes it once the
            model is stored. One that is damaged or of another training is told to `say`.
        on_epoch: called once for each epoch in order, also for those that a checkpoint brought
            back: a caller that keeps a record of its own passes over what it has.
        process_group: the processes that train together; each calls this with the same arguments.

    Raises:
        UserError: the loss is not finite, memory does not suffice, the device is not there, or
            params contradict each other.
    """
    process_group = process_group or ProcessGroup()
    place = devices.pick(train.device)
    shape = HeadShape(tuple(train.head), train.dropout, train.standardize)
    if features is None and train.repeats > 1:
        raise UserError(
            f"train.repeats: {train.repeats} repeats need a frozen backbone, whose stored features "
            "make a training cost seconds; set backbone.unfreeze to 0, or repeats to 1"
        )
    if features is None and train.batch < process_group.world_size:
        raise UserError(
            f"train.batch: {train.batch} pictures cannot be shared by "
            f"{process_group.world_size} processes; set at least {process_group.world_size}"
        )
    if features is None and (known := len(dataset.examples["train"])) < process_group.world_size:
        raise UserError(
            f"{dataset.folder}: {known} training pictures cannot be shared by "
            f"{process_group.world_size} processes; set WHOSWHO_PROCESSES to at most {known}"
        )

    def begin(train: params.Train) -> Task:
        if features is not None:
            return tasks.head(dataset, features, shape, train, place)
        return tasks.whole(
            dataset, arch, backbone, shape, train, augment, unfreeze, place, process_group
        )

    with devices.using(place):
        task = begin(train)
        loop = _Loop(task, train, place, len(dataset.labels), process_group, say)
        history = loop.run(checkpoint, on_epoch)
        kept = loop.kept_epoch(history)
        logits = loop.said if loop.said is not None else loop.answers()
        repeats = [_repeat(train.seed, history[kept - 1])]
        for seed in range(train.seed + 1, train.seed + train.repeats):
            again = train.model_copy(update={"seed": seed})
            other = _Loop(begin(again), again, place, len(dataset.labels), process_group, say)
            rows = other.run(None, lambda row: None)
            repeats.append(_repeat(seed, rows[other.kept_epoch(rows) - 1]))
    state = {
        name: value.detach().cpu().contiguous() for name, value in task.module.state_dict().items()
    }
    if features is not None:
        state = {
            **{f"backbone.{name}": value for name, value in backbone.items()},
            **{f"head.{name}": value for name, value in state.items()},
        }
    return Fitted(arch, dataset.labels, shape, state, history, kept, repeats, logits, task.watched)


def sentence(fitted: Fitted) -> str:
    """`3 epochs, loss 0.812, accuracy 0.701, on validation 0.714`, of the kept epoch."""
    row = fitted.history[fitted.epoch - 1]
    said = f"{len(fitted.history)} epochs"
    if fitted.epoch != len(fitted.history):
        said += f", the best the {fitted.epoch}."
    said += (
        f", loss {row['train/loss']:.3f}, accuracy {row['train/accuracy']:.3f}, on validation "
        f"{row['validation/accuracy']:.3f}"
    )
    if len(fitted.repeats) > 1:
        mean, deviation = mean_and_std(fitted.repeats, "validation/accuracy")
        said += f" (over {len(fitted.repeats)} seeds {mean:.3f} ± {deviation:.3f})"
    return said


def _repeat(seed: int, row: Row) -> Row:
    return {"seed": seed, **{name: value for name, value in row.items() if name != "epoch"}}


class _Loop:
    """One training of a task."""

    def __init__(
        self,
        task: Task,
        train: params.Train,
        place: torch.device,
        labels: int,
        process_group: ProcessGroup,
        say: Callable[[str], None],
    ) -> None:
        self.task = task
        self.train = train
        self.place = place
        self.process_group = process_group
        self.say = say
        self.cost = optimizing.Loss(train, task.targets, labels)
        self.optimizer = Optimizer(train.optimizer, task.groups, train.weight_decay)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.module = process_group.data_parallel(task.module)
        # Small 16-bit gradients would vanish; others are untouched.
        self.scaler = torch.amp.GradScaler(place.type, enabled=task.dtype == torch.float16)
        self.best: State = {}
        self.said: NDArray[np.float32] | None = None  # by the best of this process's own epochs

    def run(self, checkpoint: Checkpoint | None, on_epoch: Callable[[Row], None]) -> list[Row]:
        """All epochs, or fewer where patience ends them.

        Leaves the kept epoch's weights, and what it said of validation unless a checkpoint
        brought it.
        """
        history = self._resume(checkpoint)
        for row in history:
            on_epoch(row)
        while len(history) < self.train.epochs and not self._is_out_of_patience(history):
            epoch = len(history)
            with seeds.seeded(
                seeds.derived(self.train.seed, epoch, "dropout", self.process_group.rank)
            ):
                loss, accuracy = self._train_epoch(epoch)
            row = {"epoch": epoch + 1, "train/loss": loss, "train/accuracy": accuracy}
            logits = self.answers()
            row["validation/loss"], row["validation/accuracy"] = self._judged(logits)
            history.append(row)
            learned = self._learned()
            if self.kept_epoch(history) == row["epoch"]:
                self.best, self.said = learned, logits
            if checkpoint is not None and self.process_group.is_main_process:
                checkpoint.write(self._snapshot(history, learned))
            on_epoch(row)
        self.task.module.load_state_dict(self.best, strict=False)
        return history

    def kept_epoch(self, history: Sequence[Row]) -> int:
        """The epoch (from 1) that `train.keep` names: the last, or the first of the best."""
        if self.train.keep == "last":
            return len(history)
        best = max if self.train.keep == "validation/accuracy" else min
        values = [row[self.train.keep] for row in history]
        return 1 + values.index(best(values))

    def answers(self) -> NDArray[np.float32]:
        """The logits of the validation pictures, (pictures, labels)."""
        self.task.module.eval()
        watched = np.arange(len(self.task.watched))
        chosen = self.process_group.shard(list(batched(watched, self.task.most)))
        found = []
        with torch.inference_mode(), optimizing.autocast(self.place, self.task.dtype):
            for x in self.task.validation(chosen):
                found.append(self.task.module(self._placed(x)).float().cpu().numpy())
        parts = self.process_group.all_gather(list(zip(chosen, found, strict=True)))
        rows = [pair for part in parts for pair in part]
        rows.sort(key=lambda pair: int(pair[0][0]))
        return np.concatenate([logits for _, logits in rows])

    def _train_epoch(self, epoch: int) -> tuple[float, float]:
        """One pass over the training pictures; mean loss and accuracy as they were on the way."""
        self.module.train()
        order = optimizing.order(self.train, epoch, self.task.targets)
        batches = no_small_batch(list(batched(order, self.train.batch)), self.task.least)
        steps = [
            batches[start : start + self.train.accumulate]
            for start in range(0, len(batches), self.train.accumulate)
        ]
        mine = [self.process_group.shard(batch) for batch in batches]
        incoming = zip(mine, self.task.inputs(mine, epoch), strict=True)
        total = right = weight = 0.0
        number = 0
        for place, step in enumerate(steps):
            self._set_rate(epoch * len(steps) + place, len(steps))
            own = self.cost.weight(self.task.targets[np.concatenate(step)])
            self.optimizer.zero_grad()
            for _ in step:
                number += 1
                chosen, x = next(incoming)
                loss, hits = self._batch(x, self.task.targets[chosen], own)
                if not math.isfinite(loss):
                    raise UserError(_not_finite(loss, x, epoch + 1, number, self.optimizer))
                total += loss * own
                right += hits
            self._move()
            weight += own
        assert next(incoming, None) is None
        return self.process_group.sum(total) / weight, self.process_group.sum(right) / len(order)

    def _batch(self, x: Tensor, targets: NDArray[np.int64], weight: float) -> tuple[float, float]:
        """Gradients of one batch's share of a step's loss; the share, and how many were right."""
        try:
            y = torch.from_numpy(targets).to(self.place)
            with optimizing.autocast(self.place, self.task.dtype):
                logits = _forward(self.module, self._placed(x))
            loss = self.cost.of(logits.float(), y) / weight
            # Gradients are averaged over the processes, and are to be summed.
            self.scaler.scale(loss * self.process_group.world_size).backward()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            if not devices.is_full(error):
                raise
            batch = self.train.batch
            advice = (
                f"try {batch // 2} with train.accumulate doubled, for steps of as many pictures"
                if batch // 2 >= self.task.least
                else "it is the fewest there can be: set a smaller picture.size, let fewer blocks "
                "learn (backbone.unfreeze), or set train.device: cpu"
            )
            raise UserError(
                f"train.batch: {batch} pictures at once do not fit into the memory of "
                f"{self.place}; {advice}"
            ) from None
        return loss.item(), (logits.argmax(1) == y).sum().item()

    def _move(self) -> None:
        if self.train.clip is not None:
            self.scaler.unscale_(self.optimizer)  # type: ignore[arg-type]
            parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self.train.clip)
        self.scaler.step(self.optimizer)  # type: ignore[arg-type]
        self.scaler.update()

    def _set_rate(self, step: int, steps: int) -> None:
        share = optimizing.rate(self.train, step, steps)
        for group, peak in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = peak * share

    def _judged(self, answers: NDArray[np.float32]) -> tuple[float, float]:
        """Mean loss and accuracy of the answers about validation, every picture alike."""
        logits, targets = torch.from_numpy(answers), torch.from_numpy(self.task.watched)
        loss = nn.functional.cross_entropy(logits, targets).item()
        return loss, (logits.argmax(1) == targets).double().mean().item()

    def _is_out_of_patience(self, history: Sequence[Row]) -> bool:
        waited = len(history) - self.kept_epoch(history) if history else 0
        return self.train.patience > 0 and waited >= self.train.patience

    def _placed(self, x: Tensor) -> Tensor:
        return x.to(self.place, non_blocking=True)

    def _learned(self) -> State:
        state = self.task.module.state_dict()
        return {name: state[name].detach().cpu().clone() for name in self.task.learning}

    def _snapshot(self, history: list[Row], learned: State) -> dict[str, Any]:
        state = {
            "module": learned,
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "history": history,
        }
        return state if self.kept_epoch(history) == len(history) else {**state, "best": self.best}

    def _resume(self, checkpoint: Checkpoint | None) -> list[Row]:
        state = checkpoint.read(self.say) if checkpoint is not None else None
        if state is None:
            return []
        self.task.module.load_state_dict(state["module"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:  # another device's epochs may have needed none
            self.scaler.load_state_dict(state["scaler"])
        self.best = state.get("best", state["module"])
        history: list[Row] = state["history"]
        self.say(f"training goes on after epoch {len(history)}")
        return history


def _forward(module: nn.Module, x: Tensor) -> Tensor:
    """Logits in training; a batch norm cannot learn from one picture and uses what it knows."""
    # Not those of several processes: they learn from all its pictures, and all must take part.
    norms = [m for m in module.modules() if type(m) is nn.BatchNorm2d and m.training]
    alone = norms if len(x) == 1 else []
    for norm in alone:
        norm.eval()
    logits: Tensor = module(x)
    for norm in alone:
        norm.train()
    return logits


def batched(order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """Cut an order into batches; the last may be smaller."""
    for start in range(0, len(order), size):
        yield order[start : start + size]


def no_small_batch(batches: Sequence[NDArray[np.int64]], least: int) -> list[NDArray[np.int64]]:
    """Join a last batch of fewer than `least` pictures to the one before: none is left out."""
    if len(batches) < 2 or len(batches[-1]) >= least or len(batches[-2]) < least:
        return list(batches)
    return [*batches[:-2], np.concatenate(batches[-2:])]


def _not_finite(value: float, x: Tensor, epoch: int, number: int, optimizer: Optimizer) -> str:
    if not bool(torch.isfinite(x).all()):
        cause = (
            "its inputs are not finite: check backbone.weights and run `dvc repro -f -s features`"
        )
    else:
        rates = " and ".join(f"{group['lr']:g}" for group in optimizer.param_groups)
        cause = f"the likely cause is a learning rate that is too high ({rates}): lower train.lr"
        if len(optimizer.param_groups) > 1:
            cause += " and train.backbone_lr"
    return (
        f"training: the loss is {value} in epoch {epoch}, batch {number}; {cause}; finished "
        "epochs are kept"
    )
