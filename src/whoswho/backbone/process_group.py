"""Several processes that train one network together, as torchrun starts them.

Each takes its part of every batch; gradients, batch norms and answers are joined, so that the
result is that of one process with the same batch, but for rounding.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn

from whoswho import paths
from whoswho.backbone import device as devices
from whoswho.errors import UserError
from whoswho.pictures import workers

PROCESSES = "WHOSWHO_PROCESSES"
# What gloo and NCCL say where a process waits for one that is gone.
_LOST = r"Connection (closed|reset) by peer|Broken pipe|remote process exited"

Item = TypeVar("Item")
Items = TypeVar("Items", list[Any], NDArray[np.int64])


@dataclass(frozen=True)
class ProcessGroup:
    """The processes at work, and which of them this is."""

    rank: int = 0
    size: int = 1

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    def part(self, items: Items) -> Items:
        """This process's share of a list or an array."""
        share: Items = items[self.rank :: self.size]
        return share

    def gathered(self, value: Item) -> list[Item]:
        """The value of each process, by rank, in all of them."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Until all have come here."""
        if self.size > 1:
            distributed.barrier()

    def total(self, value: float) -> float:
        """The sum of all processes' values."""
        return sum(self.gathered(value))

    @contextmanager
    def fresh_folder(self, folder: Path) -> Iterator[Path]:
        """`paths.fresh_folder` for all: the leading process makes it and puts it into place."""
        if not self.is_main_process:
            self.wait()
            yield paths.partial_folder(folder)
            self.wait()
            return
        with paths.fresh_folder(folder) as partial:
            self.wait()
            yield partial
            self.wait()

    def share_gradients(self, module: nn.Module) -> nn.Module:
        """The module with its gradients summed over the processes."""
        if self.size == 1:
            return module
        return nn.parallel.DistributedDataParallel(module, gradient_as_bucket_view=True)


def inside() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def run(stage: Callable[[ProcessGroup], None], device: str) -> None:
    """Run a stage in this process alone, or in as many as WHOSWHO_PROCESSES asks for.

    The number is no knob of params.yaml: how many processors a machine has changes no result.
    Where torchrun started this process by hand (on several machines), its team is joined.

    Args:
        device: as train.device names it; each process has a GPU of its own, or none has.
    """
    wanted = os.environ.get(PROCESSES, "1")
    if not wanted.isdigit() or int(wanted) < 1:
        raise UserError(f"{PROCESSES}: {wanted!r} is not a number of processes; set 1, 2, …")
    if inside():
        with _joined(device) as team:
            stage(team)
    elif wanted == "1":
        stage(ProcessGroup())
    else:
        _check_gpus(device, int(wanted))
        _launch(int(wanted))


def _check_gpus(device: str, processes: int) -> None:
    kind = devices.kind(device)
    gpus = torch.cuda.device_count() if kind == "cuda" else 1
    if kind != "cpu" and processes > gpus:
        raise UserError(
            f"{PROCESSES}: {processes} processes here, but {gpus} GPU{'s' * (gpus > 1)}; set at "
            "most one a GPU, or train.device: cpu"
        )


def is_first() -> bool:
    """Whether this process does what cannot be shared: it is alone, or torchrun's first."""
    return not inside() or os.environ.get("RANK") == "0"


@contextmanager
def _joined(device: str) -> Iterator[ProcessGroup]:
    """The team that torchrun started this process for."""
    _check_gpus(device, int(os.environ["LOCAL_WORLD_SIZE"]))
    on_gpus = devices.kind(device) == "cuda"
    if on_gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo")
    team = ProcessGroup(distributed.get_rank(), distributed.get_world_size())
    try:
        with (
            Path(os.devnull).open("w") as nowhere,
            nullcontext() if team.is_main_process else redirect_stdout(nowhere),
        ):
            yield team
    except RuntimeError as error:
        if not re.search(_LOST, str(error)):
            raise
        raise SystemExit(2) from None  # another process ended; it or the launcher says why
    finally:
        distributed.destroy_process_group()


def _launch(processes: int) -> None:
    """Run this program again as torchrun does, `processes` times on this machine."""
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, workers.cores() // processes)))
    # What a process has to say of its failure it says itself.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    logging.getLogger("torch.distributed.run").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        run_id="whoswho",
        max_restarts=0,
    )
    try:
        # As this process was called, not as its module calls itself: src/stage.py finds the code.
        elastic_launch(config, sys.executable)(*sys.orig_argv[1:])
    except ChildFailedError as error:
        # What the system ends cannot say why, and what waits for it has nothing to say.
        if any(failure.exitcode == -signal.SIGKILL for failure in error.failures.values()):
            raise UserError(
                f"{PROCESSES}: one of {processes} processes was ended from outside, likely for "
                "want of memory; set fewer"
            ) from None
        first = error.get_first_failure()[1]
        raise SystemExit(first.exitcode if first.exitcode > 0 else 1) from None
    except SignalException as stopped:
        raise SystemExit(128 + int(stopped.sigval)) from None


class _Total(torch.autograd.Function):
    """A tensor summed over the processes; its gradient is what all of them make of it."""

    @staticmethod
    def forward(_ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        return _Total.forward(_ctx, gradient)


def _total(values: Tensor) -> Tensor:
    total: Tensor = _Total.apply(values)
    return total


class SyncBatchNorm2d(nn.BatchNorm2d):
    """A batch norm that learns from the whole batch, whichever processes hold its pictures.

    torch's SyncBatchNorm does so on GPUs alone. Mean and variance are those of all pictures
    (Ioffe and Szegedy 2015, arXiv:1502.03167).
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise maps (batch, channels, height, width)."""
        if not self.training:
            return super().forward(maps)
        wide = maps.float()
        count = wide.new_tensor([wide.numel() / wide.shape[1]])
        sums = _total(torch.cat([wide.sum((0, 2, 3)), count]))
        total = sums[-1]
        mean = sums[:-1] / total
        # In a second round: squares of what is far from 0 would hide how little it varies.
        apart = (wide - mean[:, None, None]).square().sum((0, 2, 3))
        variance = _total(apart) / total
        with torch.no_grad():
            momentum = self.momentum or 0.1
            unbiased = variance * total / (total - 1)
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(unbiased, momentum)
            self.num_batches_tracked.add_(1)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        said: Tensor = wide * scale[:, None, None] + shift[:, None, None]
        return said.to(maps.dtype)


def join_norms(module: nn.Module) -> None:
    """Let every batch norm that learns take its statistics from all processes' pictures."""
    for norm in module.modules():
        if type(norm) is nn.BatchNorm2d:
            norm.__class__ = SyncBatchNorm2d
