"""`python -m bench.learning [--pictures 1000] [--epochs 3]`: the pipeline beside the notebook.

The same pictures, backbone, epochs and threads for both; drawn portraits, varied to the number
asked for.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path

from bench.drawn import draw_pictures
from bench.processes import measure, stage
from bench.workspace import PROGRAMS, REPOSITORY, copy_of_the_repository, set_params
from whoswho.artifacts.split import read_split

MANY = 20  # epochs of a long training


def notebook_folders(workspace: Path, folder: Path) -> None:
    """The pictures of the pipeline's own training and validation split as ImageFolder wants."""
    for row in read_split(workspace / "artifacts" / "dataset"):
        target = folder / row.split / row.label / Path(row.file).name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(workspace / "data" / row.file, target)


def learning(scratch: Path, count: int, epochs: int) -> None:
    """features + train beside the notebook's loop and fastai's frozen learner."""
    workspace = copy_of_the_repository(
        scratch / "learning",
        clean={
            "faces": "any",
            "near_duplicate_max_bits": 0,
            "near_duplicate_min_correlation": 1.0,
        },
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
    # A repository's first training also makes the store; every later one finds it.
    measure(PROGRAMS / "whoswho", "store", cwd=workspace)
    folders = scratch / "folders"
    notebook_folders(workspace, folders)
    backbone = workspace / "artifacts" / "backbone" / "weights.safetensors"

    def peer(script: str, epochs: int) -> float:
        path = REPOSITORY / "bench" / script
        return measure(sys.executable, path, folders, backbone, str(epochs), cwd=workspace).seconds

    def ours(views: int, epochs: int, *, features: bool = True) -> tuple[float, float]:
        set_params(workspace, augment={"views": views}, train={"epochs": epochs})
        first = stage("features", workspace).seconds if features else 0.0
        return first, stage("train", workspace).seconds

    fresh, stored = ours(epochs, epochs), ours(1, epochs)
    many = stored[0], ours(1, MANY, features=False)[1]
    set_params(workspace, train={"lr": 0.01, "epochs": epochs})
    again = stage("train", workspace).seconds
    notebook = peer("notebook.py", epochs)
    an_epoch = (notebook - peer("notebook.py", 1)) / max(epochs - 1, 1)
    print(
        f"features + train, {count} pictures, {epochs} epochs, a fresh view an epoch: "
        f"{sum(fresh):.1f} s ({fresh[0]:.1f} + {fresh[1]:.1f}) against the notebook's "
        f"{notebook:.1f} s: {notebook / sum(fresh):.1f} times as fast"
    )
    print(
        f"the same with one stored view: {sum(stored):.1f} s ({stored[0]:.1f} + {stored[1]:.1f}): "
        f"{notebook / sum(stored):.1f} times as fast"
    )
    long = notebook + (MANY - epochs) * an_epoch
    print(
        f"{MANY} epochs of one stored view: {sum(many):.1f} s ({many[0]:.1f} + {many[1]:.1f}) "
        f"against {long:.0f} s, computed from the notebook's {an_epoch:.1f} s an epoch: "
        f"{long / sum(many):.1f} times as fast"
    )
    print(
        f"a second training with another learning rate: {again:.1f} s, "
        f"{notebook / again:.0f} times as fast as the notebook's"
    )
    if importlib.util.find_spec("fastai") is None:
        print(
            "fastai's frozen learner: not measured; pip install -c constraints.txt -e '.[bench]'"
        )
        return
    fastai = peer("fastai_frozen.py", epochs)
    print(
        f"fastai's frozen learner, {epochs} epochs: {fastai:.1f} s; features + train with a fresh "
        f"view an epoch is {fastai / sum(fresh):.1f} times as fast"
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
