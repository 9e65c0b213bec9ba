"""The training loop: epochs over a task, measured on validation, resumable."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from whoswho import params
from whoswho.artifacts.model.description import HistoryRow
from whoswho.backbone.compute import device as devices
from whoswho.backbone.loading.process_group import ProcessGroup
from whoswho.backbone.network import State, seeds
from whoswho.errors import UserError
from whoswho.training.batches import Rows, epoch_steps, split_batches
from whoswho.training.checkpoint import Checkpoint
from whoswho.training.data import Task
from whoswho.training.optimization import Loss, build_optimizer, build_scheduler

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


class Trainer:
    """One training of a task."""

    def __init__(
        self,
        task: Task,
        train: params.Train,
        device: torch.device,
        process_group: ProcessGroup,
    ) -> None:
        self.task = task
        self.train = train
        self.device = device
        self.process_group = process_group
        self.loss = Loss(train, task.targets, task.labels)
        self.optimizer = build_optimizer(train, task.groups)
        self.scheduler = build_scheduler(train, self.optimizer, len(self._steps(0)))
        self.module = process_group.data_parallel(task.module)
        # Small 16-bit gradients would vanish; others are untouched.
        self.scaler = torch.amp.GradScaler(device.type, enabled=task.dtype == torch.float16)
        self.stateful: dict[str, Any] = {
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "scaler": self.scaler,
        }
        self.best: State = {}  # the trainable tensors of the best epoch so far

    def run(
        self,
        checkpoint: Checkpoint | None = None,
        on_epoch: Callable[[HistoryRow], None] = lambda row: None,
    ) -> list[HistoryRow]:
        """Train all epochs, or fewer where patience ends them; leave the kept epoch's weights.

        Returns:
            a row an epoch; `on_epoch` was called with each, in order.
        """
        history = self._resume(checkpoint)
        for finished in history:
            on_epoch(finished)
        while len(history) < self.train.epochs and not self._is_out_of_patience(history):
            epoch = len(history)
            row: HistoryRow = {"epoch": epoch + 1}
            row["train/loss"], row["train/accuracy"] = self.train_epoch(epoch)
            row["validation/loss"], row["validation/accuracy"] = self.validate()
            if not math.isfinite(row["validation/loss"]):
                raise UserError(self._not_finite(row["validation/loss"], epoch + 1, "validation"))
            history.append(row)
            state = self._trainable_state()
            if kept_epoch(history, self.train.keep) == epoch + 1:
                self.best = state
            if checkpoint is not None and self.process_group.is_main_process:
                checkpoint.write(self._snapshot(history, state))
            on_epoch(row)
        self.task.module.load_state_dict(self.best, strict=False)
        return history

    def train_epoch(self, epoch: int) -> tuple[float, float]:
        """One pass over the training pictures; mean loss and accuracy as they were on the way."""
        self.module.train()
        steps = self._steps(epoch)
        batches = [self.process_group.shard(batch) for step in steps for batch in step]
        incoming = zip(batches, self.task.inputs("train", batches, epoch), strict=True)
        loss_sum = correct = weight_sum = 0.0
        number = 0
        seed = seeds.derived(self.train.seed, epoch, "dropout", self.process_group.rank)
        with seeds.seeded(seed):
            for step in steps:
                weight = self.loss.weight(self.task.targets[np.concatenate(step)])
                self.optimizer.zero_grad()
                for _ in step:
                    number += 1
                    rows, x = next(incoming)
                    loss, right = self._backward(x, self.task.targets[rows], weight)
                    if not math.isfinite(loss):
                        where = f"batch {number}"
                        finite = bool(torch.isfinite(x).all())
                        raise UserError(self._not_finite(loss, epoch + 1, where, finite))
                    loss_sum += loss * weight
                    correct += right
                self._optimizer_step()
                weight_sum += weight
            assert next(incoming, None) is None
        pictures = sum(len(batch) for step in steps for batch in step)
        total = self.process_group.sum
        return total(loss_sum) / weight_sum, total(correct) / pictures

    def validate(self) -> tuple[float, float]:
        """Mean loss and accuracy on the validation pictures, every picture alike."""
        logits = torch.from_numpy(self.validation_logits())
        targets = torch.from_numpy(self.task.validation_targets)
        loss = nn.functional.cross_entropy(logits, targets).item()
        return loss, (logits.argmax(1) == targets).double().mean().item()

    def validation_logits(self) -> NDArray[np.float32]:
        """The logits of the validation pictures (pictures, labels), in all processes."""
        self.task.module.eval()
        rows = np.arange(len(self.task.validation_targets))
        batches = self.process_group.shard(split_batches(rows, self.task.validation_batch))
        with torch.inference_mode(), self._autocast():
            logits = [
                self.task.module(x).float().cpu().numpy()
                for x in self.task.inputs("validation", batches, 0)
            ]
        parts = self.process_group.all_gather(list(zip(batches, logits, strict=True)))
        by_row = sorted((pair for part in parts for pair in part), key=lambda pair: pair[0][0])
        return np.concatenate([logits for _, logits in by_row])

    def _steps(self, epoch: int) -> list[list[Rows]]:
        return epoch_steps(self.train, epoch, self.task.targets, self.task.min_batch)

    def _backward(
        self, x: Tensor, targets: NDArray[np.int64], weight: float
    ) -> tuple[float, float]:
        """Add the gradients of a batch of a step of `weight`.

        Returns:
            what the batch adds to the step's mean loss, and how many pictures were right.
        """
        with self._memory_errors():
            y = torch.from_numpy(targets).to(self.device)
            with self._autocast():
                logits = forward(self.module, x)
            loss = self.loss.sum(logits.float(), y) / weight
            # Gradients are averaged over the processes, and are to be summed.
            self.scaler.scale(loss * self.process_group.world_size).backward()  # type: ignore[no-untyped-call]
        return loss.item(), (logits.argmax(1) == y).sum().item()

    def _optimizer_step(self) -> None:
        if self.train.clip is not None:
            self.scaler.unscale_(self.optimizer)
            parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self.train.clip)
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.scaler.get_scale() >= scale:  # else 16 bits did not hold the gradients: no step
            self.scheduler.step()

    def _autocast(self) -> torch.autocast:
        """Compute in the task's dtype what can be; parameters and losses stay 32-bit."""
        dtype = self.task.dtype
        return torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32)

    def _is_out_of_patience(self, history: Sequence[HistoryRow]) -> bool:
        waited = len(history) - kept_epoch(history, self.train.keep) if history else 0
        return self.train.patience > 0 and waited >= self.train.patience

    def _trainable_state(self) -> State:
        state = self.task.module.state_dict()
        return {name: state[name].detach().cpu().clone() for name in self.task.trainable}

    def _snapshot(self, history: list[HistoryRow], state: State) -> dict[str, Any]:
        parts = {name: part.state_dict() for name, part in self.stateful.items()}
        snapshot = {"history": history, "module": state, **parts}
        return snapshot if self.best is state else {**snapshot, "best": self.best}

    def _resume(self, checkpoint: Checkpoint | None) -> list[HistoryRow]:
        snapshot = None
        if checkpoint is not None and self.process_group.is_main_process:
            snapshot = checkpoint.read()
        # Another machine may have no checkpoint, or an older one.
        snapshot = self.process_group.from_main(snapshot)
        if snapshot is None:
            return []
        self.task.module.load_state_dict(snapshot["module"], strict=False)
        for name, part in self.stateful.items():
            if snapshot[name]:  # of the scaler: another device's epochs may have needed none
                part.load_state_dict(snapshot[name])
        self.best = snapshot.get("best", snapshot["module"])
        history: list[HistoryRow] = snapshot["history"]
        print(f"training goes on after epoch {len(history)}")
        return history

    @contextmanager
    def _memory_errors(self) -> Iterator[None]:
        """Say in one line, with what to try, that a batch does not fit into the memory."""
        try:
            yield
        except RuntimeError as error:
            if not devices.is_full(error):
                raise
            batch, half = self.train.batch, self.train.batch // 2
            advice = (
                f"try {half} with train.accumulate doubled, for steps of as many pictures"
                if half >= self.task.min_batch
                else "it is the fewest there can be: set a smaller picture.size, let fewer blocks "
                "learn (backbone.unfreeze), or set train.device: cpu"
            )
            raise UserError(
                f"train.batch: {batch} pictures at once do not fit into the memory of "
                f"{self.device}; {advice}"
            ) from None

    def _not_finite(self, loss: float, epoch: int, where: str, finite_inputs: bool = True) -> str:
        groups = self.optimizer.param_groups
        rates = " and ".join(f"{group['lr']:g}" for group in groups)
        cause = f"the likely cause is a learning rate that is too high ({rates}): lower train.lr"
        if len(groups) > 1:
            cause += " and train.backbone_lr"
        if not finite_inputs:
            cause = "its inputs are not finite: check backbone.weights and run "
            cause += "`dvc repro -f -s features`"
        return (
            f"training: the loss is {loss} in epoch {epoch}, {where}; {cause}; finished "
            "epochs are kept"
        )


def kept_epoch(history: Sequence[HistoryRow], keep: str) -> int:
    """The epoch (from 1) that `train.keep` names: the last, or the first of the best."""
    if keep == "last":
        return len(history)
    best = max if keep == "validation/accuracy" else min
    values = [row[keep] for row in history]
    return 1 + values.index(best(values))


def forward(module: nn.Module, x: Tensor) -> Tensor:
    """Logits in training; a batch norm cannot learn from one picture and uses what it knows."""
    # Not those of several processes: they learn from all its pictures, and all must take part.
    norms = [m for m in module.modules() if type(m) in _NORMS and m.training]
    alone = norms if len(x) == 1 else []
    for norm in alone:
        norm.eval()
    logits: Tensor = module(x)
    for norm in alone:
        norm.train()
    return logits
