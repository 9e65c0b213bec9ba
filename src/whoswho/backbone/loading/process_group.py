"""Several processes that train one network together, as torchrun starts them.

Each takes its part of every batch; gradients, statistics of batch norms and results are joined, so
that the outcome is that of one process with the same batch, but for rounding.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
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
from whoswho.backbone.compute import device as devices
from whoswho.errors import UserError
from whoswho.wording import plural
from whoswho.workers import pool
from whoswho.workers.installation import installation

PROCESSES = "WHOSWHO_PROCESSES"
# What gloo and NCCL say where a process waits for one that is gone.
_LOST = r"Connection (closed|reset) by peer|Broken pipe|remote process exited"

Item = TypeVar("Item")
Items = TypeVar("Items", list[Any], NDArray[np.int64])


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that run a stage together, and which of them this is."""

    rank: int = 0
    world_size: int = 1
    machine: int = 0  # which of several this process runs on; the main process runs on 0

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    def shard(self, items: Items) -> Items:
        """This process's part of a list or an array."""
        shard: Items = items[self.rank :: self.world_size]
        return shard

    def all_gather(self, value: Item) -> list[Item]:
        """The value of each process, by rank, in all of them."""
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        distributed.all_gather_object(values, value)
        return values

    def sum(self, value: float) -> float:
        """The sum of all processes' values, the same in all of them."""
        return sum(self.all_gather(value))

    def from_main(self, value: Item) -> Item:
        """The main process's value, in all of them."""
        if self.world_size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values)
        return values[0]

    def send_to_main(self, values: NDArray[np.float32]) -> None:
        """Send what the main process takes with `receive`."""
        distributed.send(torch.from_numpy(values), 0)

    def receive(self, rank: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The array of that shape that the process `rank` sends next."""
        values = torch.empty(shape)
        distributed.recv(values, rank)
        return values.numpy()

    def check_same(self, what: str, value: str) -> None:
        """See that all processes have the same value, on several machines too.

        Raises:
            UserError: they do not.
        """
        values = self.all_gather((value, socket.gethostname()))
        differing = [host for other, host in values if other != values[0][0]]
        if differing:
            raise UserError(
                f"{what} on {differing[0]} is another than on {values[0][1]}; bring all machines "
                "to the same commit and data (git pull, dvc pull), then start all again"
            )

    def wait(self) -> None:
        """Return once all processes have called this."""
        if self.world_size > 1:
            distributed.barrier()

    @contextmanager
    def fresh_folder(self, folder: Path) -> Iterator[Path]:
        """`paths.fresh_folder` for all: the main process makes it and puts it into place."""
        partial = paths.partial_folder(folder)
        with paths.fresh_folder(folder) if self.is_main_process else nullcontext(partial):
            self.wait()
            yield partial
            self.wait()

    def data_parallel(self, module: nn.Module) -> nn.Module:
        """The module with its gradients averaged over the processes."""
        if self.world_size == 1:
            return module
        return nn.parallel.DistributedDataParallel(module, gradient_as_bucket_view=True)


def is_main_process() -> bool:
    """Whether this process is alone or the first that torchrun started."""
    return not _in_torchrun() or os.environ.get("RANK") == "0"


def run(stage: Callable[[ProcessGroup], None], device: str) -> None:
    """Run a stage in this process alone, or in as many as WHOSWHO_PROCESSES asks for.

    The number is no key of params.yaml: how many processors a machine has changes no result.
    Where torchrun started this process by hand (on several machines), its group is joined.

    Args:
        device: as train.device names it; each process has a GPU of its own, or none has.

    Raises:
        UserError: WHOSWHO_PROCESSES is no number, or there are more processes than GPUs.
    """
    processes = os.environ.get(PROCESSES, "1")
    if not processes.isdigit() or int(processes) < 1:
        raise UserError(f"{PROCESSES}: {processes!r} is not a number of processes; set 1, 2, …")
    if _in_torchrun():
        with _joined(device) as group:
            stage(group)
    elif int(processes) == 1:
        stage(ProcessGroup())
    else:
        _check_gpus(device, int(processes))
        _launch(int(processes))


def _in_torchrun() -> bool:
    """Whether torchrun started this process among others."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def _check_gpus(device: str, processes: int) -> None:
    kind = devices.kind(device)
    gpus = torch.cuda.device_count() if kind == "cuda" else 1
    if kind != "cpu" and processes > gpus:
        raise UserError(
            f"{PROCESSES}: {processes} processes here, but {plural(gpus, 'GPU')}; set at most one "
            "a GPU, or train.device: cpu"
        )


@contextmanager
def _joined(device: str) -> Iterator[ProcessGroup]:
    """The group that torchrun started this process for; all but the main process are silent."""
    _check_gpus(device, int(os.environ["LOCAL_WORLD_SIZE"]))
    on_gpus = devices.kind(device) == "cuda"
    if on_gpus:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpus else "gloo")
    group = ProcessGroup(
        distributed.get_rank(), distributed.get_world_size(), int(os.environ["GROUP_RANK"])
    )
    try:
        with (
            Path(os.devnull).open("w") as nowhere,
            nullcontext() if group.is_main_process else redirect_stdout(nowhere),
        ):
            if int(os.environ["LOCAL_WORLD_SIZE"]) < group.world_size:
                group.check_same("the code, or a library's version,", str(installation()))
            yield group
    except RuntimeError as error:
        if not re.search(_LOST, str(error)):
            raise
        raise SystemExit(2) from None  # another process ended; it or the launcher says why
    finally:
        distributed.destroy_process_group()


def _launch(processes: int) -> None:
    """Run this program again as torchrun does, `processes` times on this machine."""
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, pool.cores() // processes)))
    # A process says itself why it fails.
    for name in ("torch.distributed.elastic", "torch.distributed.run"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # As this process was called, with the interpreter's own options.
    command = ["--no-python", sys.executable, *sys.orig_argv[1:]]
    options = torchrun.parse_args(  # type: ignore[no-untyped-call]
        ["--standalone", f"--nproc-per-node={processes}", *command]
    )
    try:
        torchrun.run(options)  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        # What the system ends cannot say why, and what waits for it has nothing to say.
        killed = -getattr(signal, "SIGKILL", 0)  # Windows has none
        if any(failure.exitcode == killed < 0 for failure in error.failures.values()):
            raise UserError(
                f"{PROCESSES}: one of {processes} processes was ended from outside, likely for "
                "want of memory; set fewer"
            ) from None
        first = error.get_first_failure()[1]
        raise SystemExit(first.exitcode if first.exitcode > 0 else 1) from None
    except SignalException as stopped:
        raise SystemExit(128 + int(stopped.sigval)) from None


class _AllReduce(torch.autograd.Function):
    """A tensor summed over the processes; its gradient is the sum of what all make of it."""

    @staticmethod
    def forward(_ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        return _AllReduce.forward(_ctx, gradient)


def _all_reduce(values: Tensor) -> Tensor:
    total: Tensor = _AllReduce.apply(values)
    return total


class CpuSyncBatchNorm(nn.BatchNorm2d):
    """What nn.SyncBatchNorm is on GPUs alone: a batch norm over all processes' pictures.

    Mean and variance are those of the whole batch (Ioffe and Szegedy 2015, arXiv:1502.03167).
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Normalise maps (batch, channels, height, width), or features (batch, channels)."""
        if maps.dim() == 2:
            features: Tensor = self(maps[:, :, None, None])[:, :, 0, 0]
            return features
        if not self.training:
            return super().forward(maps)
        values = maps.float()
        count = values.new_tensor([values.numel() / values.shape[1]])
        sums = _all_reduce(torch.cat([values.sum((0, 2, 3)), count]))
        total = sums[-1]
        mean = sums[:-1] / total
        # In a second round: squares of what is far from 0 would hide how little it varies.
        squares = (values - mean[:, None, None]).square().sum((0, 2, 3))
        variance = _all_reduce(squares) / total
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        for running, value in (
            (self.running_mean, mean),
            (self.running_var, variance * total / (total - 1)),
        ):
            assert running is not None
            running.lerp_(value.detach(), self.momentum or 0.1)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        normalised: Tensor = values * scale[:, None, None] + shift[:, None, None]
        return normalised.to(maps.dtype)


def sync_batch_norms(module: nn.Module, device: torch.device) -> None:
    """Let every batch norm that learns take its statistics from all processes' pictures."""
    for norm in module.modules():
        if type(norm) in (nn.BatchNorm1d, nn.BatchNorm2d):
            norm.process_group = None  # type: ignore[assignment]  # nn.SyncBatchNorm's: all
            norm.__class__ = nn.SyncBatchNorm if device.type == "cuda" else CpuSyncBatchNorm
