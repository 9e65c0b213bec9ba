"""The sets of people that models are measured on, taken up to their stored features."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from bench.cleaning import truth_of
from bench.faces import CASES
from bench.processes import stage
from bench.workspace import copy_of_the_repository, set_params
from whoswho import paths
from whoswho.artifacts.features import load_features
from whoswho.artifacts.split import load_dataset
from whoswho.params import load_params
from whoswho.sample import drawing
from whoswho.training.inputs import Recipe, TrainingData

DRAWN = "the drawn sample"
SETS = ("sports_celebrities", "raw_crawl", "film_actors_crawl", "idol_face_crops", DRAWN)
# Every backbone whose weights come with the installation, after the default without any.
BACKBONES = ("resnet50", "efficientnet_lite0", "dlib_resnet29")


def prepare(name: str, scratch: Path) -> Path:
    """A workspace with a set cleaned and prepared."""
    workspace = copy_of_the_repository(scratch / name.replace(" ", "_"), augment={"views": 3})
    fill(workspace, name)
    for step in ("clean", "preprocess"):
        stage(step, workspace)
    return workspace


def fill(workspace: Path, name: str) -> None:
    """Put a set's pictures into data/; of the sports people only what truth calls fit.

    The pictures of a set that came split are taken from its training folder.
    """
    data = workspace / paths.DATA
    data.with_suffix(".dvc").unlink(missing_ok=True)  # it names another set
    if name == DRAWN:
        drawing.draw(data)
    elif name == "sports_celebrities":
        for file, row in truth_of(CASES).items():
            if row["main_ok"] == "1" and row["same"] == "1":
                (data / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(CASES / name / file, data / file)
    else:
        source = CASES / name
        shutil.copytree(source / "train" if (source / "train").exists() else source, data)


def there(names: Sequence[str]) -> list[str]:
    """Those of the sets that this machine has."""
    present = [name for name in names if name == DRAWN or (CASES / name).exists()]
    if len(present) < len(names):
        print("without the sets of people in ../shared/cases/people, which are not here")
    return present


def chosen_backbone(arch: str) -> dict[str, object]:
    """Params of a frozen backbone, of torchvision's the untrained one: no network is asked."""
    weights = ["random"] if arch == "resnet50" else ["IMAGENET1K_V2", "random"]
    return {"arch": arch, "weights": weights, "unfreeze": 0}


def stored(workspace: Path, arch: str, *, views: int = 3) -> tuple[TrainingData, Recipe]:
    """A workspace's features by a backbone, and the recipe of its params."""
    set_params(workspace, backbone=chosen_backbone(arch), augment={"views": views})
    for step in ("backbone", "features"):
        stage(step, workspace)
    dataset = load_dataset(workspace / paths.DATASET)
    features = load_features(workspace / paths.FEATURES, dataset)
    params = load_params(workspace)
    return TrainingData(dataset, arch, {}, features), Recipe(params.train, params.augment, 0)
