"""`python -m bench.memory`: peak memory of clean and preprocess for few and for many pictures."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.drawn import draw_pictures
from bench.processes import stage
from bench.workspace import copy_of_the_repository


def memory(scratch: Path, counts: tuple[int, int]) -> None:
    """Peak memory of clean and preprocess for few and for many pictures."""
    peaks = {}
    for count in counts:
        workspace = copy_of_the_repository(scratch / f"memory{count}", clean={"faces": "any"})
        draw_pictures(workspace / "data", count, scratch / "portraits")
        peaks[count] = {name: stage(name, workspace).peak_mb for name in ("clean", "preprocess")}
    few, many = counts
    for name in ("clean", "preprocess"):
        print(
            f"memory of {name}: {peaks[few][name]:.0f} MB for {few} pictures, "
            f"{peaks[many][name]:.0f} MB for {many}: {peaks[many][name] / peaks[few][name]:.2f} "
            "times as much"
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="whoswho-bench-") as folder:
        memory(Path(folder), (100, 500))
