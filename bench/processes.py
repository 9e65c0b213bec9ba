"""Commands run to their end and measured from outside, imports and all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.workspace import environment


@dataclass(frozen=True)
class Measured:
    """A finished process: wall seconds, seconds of processor in it and its children, and the
    largest resident memory of it or a child in MB.

    A process starts with its parent's size on Linux, so the benchmark itself must stay small.
    """

    seconds: float
    processor: float
    peak_mb: float


def measure(*command: str | Path, cwd: Path) -> Measured:
    """Run a command to its end and measure it from outside; its failure ends the benchmark."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd, env=environment(cwd), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"bench: {' '.join(map(str, command))} failed:\n{output}")
    seconds = time.perf_counter() - start
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def stage(name: str, workspace: Path) -> Measured:
    """Run one stage of the pipeline in `workspace`."""
    return measure(sys.executable, workspace / "src" / "stage.py", name, cwd=workspace)
