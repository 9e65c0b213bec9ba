"""Which processor computes, and how to make it compute the same thing twice."""

from __future__ import annotations

import ctypes
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from whoswho.errors import UserError

# Of mallopt(3), with the largest numbers that it takes.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = (-1, 2**31 - 1), (-3, 32 * 2**20)

# What torch says where memory does not suffice: the processor, MPS and CUDA, cuBLAS and cuDNN.
_FULL = r"can't allocate memory|out of memory|ALLOC_FAILED"
# What its loader says of a process that is gone: it raises so wherever the program stands.
_LOST = (
    r"DataLoader worker .*(killed by signal|exited unexpectedly)|unable to allocate shared memory"
)


def kind(name: str) -> str:
    """cpu, cuda or mps, as train.device names it; auto takes the fastest there is.

    Raises:
        UserError: this machine has none of that name.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    names = [known for known, is_available in available.items() if is_available]
    if name == "auto":
        return names[0]
    if name not in names:
        raise UserError(
            f"train.device: {name} is not there; this machine has {', '.join(names)}, or auto"
        )
    return name


def pick(name: str) -> torch.device:
    """The device of that name, see `kind`; of several GPUs this process's own."""
    chosen = kind(name)
    # By number: to another thread "cuda" alone is the first GPU.
    return torch.device(f"cuda:{torch.cuda.current_device()}" if chosen == "cuda" else chosen)


def has_bf16(device: torch.device) -> bool:
    """Whether it multiplies 16-bit brain floats natively; else they would be imitated, slowly."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def is_full(error: RuntimeError) -> bool:
    """Whether the error says that memory does not suffice; CUDA has a type of it, not always."""
    return isinstance(error, torch.OutOfMemoryError) or bool(re.search(_FULL, str(error)))


def keep_memory() -> None:
    """Let this process keep the memory it frees, for what it asks for next.

    A forward pass frees and asks for the same megabytes at every layer; glibc would hand them back
    to the system and have them cleared each time, for a fiftieth of the pass. Other C libraries
    have no such option, and nothing happens.
    """
    if platform.libc_ver()[0] == "glibc":
        for option in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            ctypes.CDLL(None).mallopt(*option)


@contextmanager
def using(device: torch.device) -> Iterator[None]:
    """Compute in a block so that the same inputs give the same bytes on the same machine.

    A processor does so by itself with the same number of threads; a GPU has to be told.

    Raises:
        UserError: memory does not suffice, or a process that opens pictures was lost, and the
            block did not say what to do.
    """
    or_cpu = "" if device.type == "cpu" else ", or set train.device: cpu"
    if device.type != "cpu":
        _repeat_exactly()
    try:
        yield
    except RuntimeError as error:
        if re.search(_LOST, str(error)):
            raise UserError(
                "artifacts/dataset: a process that opens its pictures was ended from outside, "
                "likely for want of memory; a container needs more shared memory (docker's "
                f"--shm-size){or_cpu}"
            ) from None
        if not is_full(error):
            raise
        raise UserError(
            f"{device}: its memory does not suffice; end what else uses it{or_cpu}"
        ) from None


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute a block on one core of the processor: small products wait longer than they take."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _repeat_exactly() -> None:
    """Let GPUs give the same bytes for the same inputs, for the rest of this process."""
    # Read by cuBLAS when its first handle is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = False
