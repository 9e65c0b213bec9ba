"""Which processor computes, and how to make it compute the same thing twice."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from whoswho.errors import UserError

_M_TRIM_THRESHOLD, _NEVER = -1, 2**31 - 1  # of mallopt(3)


def pick(wanted: str) -> torch.device:
    """The device `wanted` names (auto, cpu, cuda, mps); auto takes the fastest there is."""
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        wanted = next(name for name, present in there.items() if present)
    if not there[wanted]:
        here = ", ".join(name for name, present in there.items() if present)
        raise UserError(f"train.device: {wanted} is not there; this machine has {here}, or auto")
    # By number: "cuda" alone is another GPU in another thread.
    number = f":{torch.cuda.current_device()}" if wanted == "cuda" else ""
    return torch.device(wanted + number)


def has_bf16(device: torch.device) -> bool:
    """Whether it multiplies 16-bit brain floats natively; else they would be imitated, slowly."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def keep_memory() -> None:
    """Let this process keep the memory it frees, for what it asks for next.

    A forward pass frees and asks for the same megabytes at every layer; glibc would hand them back
    to the system and have them cleared each time, for a fiftieth of the pass. Other C libraries
    have no such knob, and nothing happens.
    """
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_M_TRIM_THRESHOLD, _NEVER)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Run a block so that the same inputs give the same bytes on the same machine.

    A processor does so by itself with the same number of threads; a GPU has to be told.
    """
    if device.type == "cpu":
        yield
        return
    # Read by cuBLAS when its first handle is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    benchmark, tf32 = torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32 = benchmark, tf32
