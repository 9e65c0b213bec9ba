"""`python -m bench [--pictures 1000]`: the pipeline beside the notebook, on one machine.


Everything is timed as a whole process, imports and all, on the same pictures, trunk, epochs and
threads. Pictures are drawn portraits (`whoswho sample`), varied to the number asked for. What is
compared is printed as a ratio: a single second says more about the machine than about the code.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from PIL import Image, ImageEnhance, UnidentifiedImageError

from bench import cleaning, duplicates
from bench.processes import measure, stage
from bench.workspace import REPOSITORY, copy_of_the_repository, set_params
from whoswho import tables


def draw_pictures(folder: Path, count: int, drawn: Path) -> None:
    """`count` different pictures of five labels: the portraits in `drawn`, turned and relit."""
    if not drawn.exists():
        measure(sys.executable, "-m", "whoswho.cli", "sample", "--out", drawn, cwd=REPOSITORY)
    dice = random.Random(0)
    for person in sorted(path for path in drawn.iterdir() if path.is_dir()):
        (folder / person.name).mkdir(parents=True)
        portraits = []
        for path in sorted(person.iterdir()):
            try:
                portrait = Image.open(path).convert("RGB")
            except (UnidentifiedImageError, OSError):
                continue  # the sample's dirt
            if min(portrait.size) >= 150:
                portraits.append(portrait)
        for number in range(count // 5):
            turned = portraits[number % len(portraits)].rotate(
                dice.uniform(-8, 8), Image.Resampling.BICUBIC, fillcolor=(128, 128, 128)
            )
            relit = ImageEnhance.Brightness(turned).enhance(dice.uniform(0.7, 1.3))
            relit.save(folder / person.name / f"made_{number:05}.jpg", quality=90)


def notebook_folders(workspace: Path, folder: Path) -> None:
    """The pictures of the pipeline's own training and validation split as ImageFolder wants."""
    for row in tables.read(workspace / "artifacts" / "dataset" / "split.csv"):
        target = folder / row["split"] / row["label"] / Path(row["file"]).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(workspace / "data" / row["file"], target)


def machine() -> str:
    """The machine in a line: processor, cores, system, versions that matter."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [ln for ln in cpuinfo.read_text().splitlines() if ln.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, torch {version('torch')}"
    )


def learning(scratch: Path, count: int, epochs: int) -> None:
    """features + train beside the notebook's loop, then a second training, another rate."""
    workspace = copy_of_the_repository(
        scratch / "learning",
        clean={"faces": "any", "near_duplicate_bits": 0, "near_duplicate_correlation": 1.0},
        # The notebook has no test split and sees whole pictures.
        split={"train": 2 / 3, "validation": 1 / 3, "test": 0.0},
        picture={"crop": "whole"},
        backbone={"weights": ["random"]},
        augment={"views": epochs},
        train={"epochs": epochs},
    )
    draw_pictures(workspace / "data", count, scratch / "portraits")
    for name in ("clean", "preprocess", "backbone"):
        stage(name, workspace)
    notebook_folders(workspace, scratch / "folders")
    trunk = workspace / "artifacts" / "backbone" / "weights.safetensors"
    features, train = stage("features", workspace), stage("train", workspace)
    notebook = measure(
        sys.executable, REPOSITORY / "bench" / "notebook.py", scratch / "folders", trunk,
        str(epochs), cwd=workspace,
    )  # fmt: skip
    ours = features.seconds + train.seconds
    print(
        f"features + train, {count} pictures, {epochs} epochs, a fresh view an epoch: "
        f"{ours:.1f} s ({features.seconds:.1f} + {train.seconds:.1f}) against the notebook's "
        f"{notebook.seconds:.1f} s: {notebook.seconds / ours:.1f} times as fast"
    )
    set_params(workspace, train={"lr": 0.01})
    again = stage("train", workspace)
    print(
        f"a second training with another learning rate: {again.seconds:.1f} s, "
        f"{notebook.seconds / again.seconds:.0f} times as fast as the notebook's"
    )


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


def commands(scratch: Path) -> None:
    """What a person waits for: --help, and a `dvc repro` with nothing to do."""
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


def main() -> None:
    """Measure everything and print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    print(f"machine: {machine()}")
    sys.stdout.reconfigure(line_buffering=True)  # a line appears when it is measured
    with tempfile.TemporaryDirectory(prefix="whoswho-bench-") as scratch:
        cleaning.main(Path(scratch))
        duplicates.main(Path(scratch))
        commands(Path(scratch))
        learning(Path(scratch), options.pictures, options.epochs)
        memory(Path(scratch), (100, 500))


if __name__ == "__main__":
    main()
