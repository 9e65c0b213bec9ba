"""Memory of features, suspects and train for few and for a hundred thousand pictures.

The pictures are simulated: a few small prepared files, each listed many times under a hash of its
own, through a small backbone. What is measured is memory that cannot be given back (anonymous):
pages of a mapped file are the system's to reclaim.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from bench.workspace import copy_of_the_repository, environment
from whoswho import paths
from whoswho.artifacts.model.settings import PictureSettings
from whoswho.artifacts.split import SplitRow, write_dataset

SIZE = 32
FILES = 50
LABELS = 10


def simulate(folder: Path, pictures: int) -> None:
    """artifacts/dataset as preprocess would leave it."""
    labels = [f"label {number}" for number in range(LABELS)]
    dice = np.random.default_rng(0)
    for number in range(FILES):
        noise = dice.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
        path = folder / "train" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise).save(path)
    rows = []
    for number in range(pictures):
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        label = labels[number % LABELS]
        split = "validation" if number % 7 == 0 else "train"
        path = f"train/{number % FILES}.png"
        row = SplitRow(f"{label}/{number}.png", digest, label, split, digest, "whole", path)
        rows.append(row)
    write_dataset(folder, rows, PictureSettings("whole", 0.3, SIZE, 0.9, 0.08))


def peak(workspace: Path, stage: str) -> tuple[float, float]:
    """Seconds, and the most anonymous memory in MB, of a stage."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "src/stage.py", stage],
        cwd=workspace, env=environment(workspace), stdout=subprocess.DEVNULL,
    )  # fmt: skip
    most = 0
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        lines = status.read_text().splitlines() if status.exists() else []
        most = max([most, *(int(ln.split()[1]) for ln in lines if ln.startswith("RssAnon"))])
        time.sleep(0.02)
    if process.returncode:
        sys.exit(f"bench: {stage} failed")
    return time.perf_counter() - start, most / 1024


def measure(scratch: Path, counts: tuple[int, int] = (10_000, 100_000)) -> None:
    """Print the memory of the stages for both numbers of pictures."""
    if not Path("/proc/self/status").exists():
        print("memory of features, suspects and train: not measured; it needs Linux's /proc")
        return
    peaks = {}
    for count in counts:
        workspace = copy_of_the_repository(
            scratch / f"scale{count}",
            backbone={"arch": "resnet18", "weights": ["random"]},
            augment={"views": 1},
            train={"epochs": 1, "batch": 256},
        )
        simulate(workspace / paths.DATASET, count)
        subprocess.run(
            [sys.executable, "src/stage.py", "backbone"],
            cwd=workspace, env=environment(workspace), check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        peaks[count] = {
            stage: peak(workspace, stage) for stage in ("features", "suspects", "train")
        }
    few, many = counts
    for stage in ("features", "suspects", "train"):
        print(
            f"memory of {stage}: {peaks[few][stage][1]:.0f} MB for {few} pictures, "
            f"{peaks[many][stage][1]:.0f} MB for {many} "
            f"({peaks[many][stage][0]:.0f} s): "
            f"{peaks[many][stage][1] / peaks[few][stage][1]:.2f} times as much"
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="whoswho-scale-") as folder:
        measure(Path(folder))
