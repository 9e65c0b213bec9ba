"""`python -m bench.commands`: what a person waits for."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.processes import measure
from bench.workspace import REPOSITORY


def commands() -> None:
    """Time --help, and a `dvc repro` with nothing to do."""
    program = Path(sys.executable).with_name("whoswho")
    runs = sorted(measure(program, "--help", cwd=REPOSITORY).seconds for _ in range(5))
    python = sorted(
        measure(sys.executable, "-c", "pass", cwd=REPOSITORY).seconds for _ in range(5)
    )
    print(
        f"whoswho --help: {runs[2]:.2f} s, {runs[2] / python[2]:.1f} times as long as an empty "
        "Python program"
    )
    if not (REPOSITORY / "artifacts" / "registered.json").exists():
        print("dvc repro with nothing to do: not measured; run `make repro` first")
        return
    dvc = Path(sys.executable).with_name("dvc")
    measure(dvc, "repro", cwd=REPOSITORY)
    idle = sorted(measure(dvc, "repro", cwd=REPOSITORY).seconds for _ in range(3))
    status = sorted(measure(dvc, "status", cwd=REPOSITORY).seconds for _ in range(3))
    print(
        f"dvc repro with nothing to do: {idle[1]:.1f} s, {idle[1] / status[1]:.1f} times as long "
        "as `dvc status`"
    )


if __name__ == "__main__":
    commands()
