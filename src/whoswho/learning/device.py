"""Which processor computes, and how to make it compute the same thing twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from whoswho.errors import UserError


def pick(wanted: str) -> torch.device:
    """The device `wanted` names (auto, cpu, cuda, mps); auto takes the fastest there is."""
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return torch.device(next(name for name, present in there.items() if present))
    if not there[wanted]:
        here = ", ".join(name for name, present in there.items() if present)
        raise UserError(f"train.device: {wanted} is not there; this machine has {here}, or auto")
    return torch.device(wanted)


def has_fast_bf16() -> bool:
    """Whether the processor multiplies 16-bit brain floats natively; oneDNN imitates them else."""
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


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
