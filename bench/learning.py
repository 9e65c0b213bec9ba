"""`python -m bench.learning [--pictures 1000] [--epochs 3]`: the pipeline beside the notebook.

The same pictures, trunk, epochs and threads for both, drawn portraits varied to the number asked
for.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from bench.drawn import draw_pictures
from bench.processes import measure, stage
from bench.workspace import REPOSITORY, copy_of_the_repository, set_params
from whoswho import tables


def notebook_folders(workspace: Path, folder: Path) -> None:
    """The pictures of the pipeline's own training and validation split as ImageFolder wants."""
    for row in tables.read(workspace / "artifacts" / "dataset" / "split.csv"):
        target = folder / row["split"] / row["label"] / Path(row["file"]).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(workspace / "data" / row["file"], target)


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


def main() -> None:
    """Measure with the numbers of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.learning", description=__doc__)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="whoswho-bench-") as scratch:
        learning(Path(scratch), options.pictures, options.epochs)


if __name__ == "__main__":
    main()
