"""`python -m bench.recipe`: what the params of training are worth, by cross-validation.

Each line changes params of the default recipe; a figure is the accuracy on held-out pictures,
mean over the cuts into folds. One set has 150 photographed pictures, another 30 of three people of
them, the third is drawn.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.drawn import draw_pictures
from bench.processes import stage
from bench.sets import BACKBONES, prepare, stored, there
from bench.workspace import copy_of_the_repository
from whoswho import paths
from whoswho.artifacts.features import Features
from whoswho.training.cross_validation import cross_validate
from whoswho.training.inputs import Recipe, TrainingData

PHOTOGRAPHED = "sports_celebrities"
DRAWN_PICTURES = 1000
# The notebook's recipe, then the default and what differs from it in one way.
VARIANTS: dict[str, dict[str, object]] = {
    "notebook (3 epochs)": {"epochs": 3, "schedule": "constant", "standardize": False},
    "default": {},
    "3 epochs": {"epochs": 3},
    "10 epochs": {"epochs": 10},
    "100 epochs": {"epochs": 100},
    "cosine": {"schedule": "cosine"},
    "not standardised": {"standardize": False},
    "dropout 0.5": {"dropout": 0.5},
    "smoothing 0.1": {"label_smoothing": 0.1},
    "adamw, decay 0.1": {"optimizer": "adamw", "weight_decay": 0.1},
    "linear head": {"head": []},
}


def few(data: TrainingData, labels: int, each: int) -> TrainingData:
    """The first pictures of the first labels, of a set as it was split."""
    assert data.features is not None
    examples, features = {}, {}
    for split in ("train", "validation"):
        targets, most = data.features[split].targets, each if split == "train" else each // 4
        rows = np.concatenate([np.flatnonzero(targets == k)[:most] for k in range(labels)])
        examples[split] = tuple(data.dataset.examples[split][row] for row in rows)
        features[split] = Features(data.features[split].values[:, rows], targets[rows])
    dataset = replace(data.dataset, labels=data.dataset.labels[:labels], examples=examples)
    return replace(data, dataset=dataset, features=features)


def sets(arch: str, photographed: Path | None, drawn: Path) -> Iterator[tuple[str, TrainingData]]:
    """The sets by name, as a backbone sees them."""
    if photographed is not None:
        data, _ = stored(photographed, arch)
        yield "30 photographed", few(data, 3, 8)
        yield "150 photographed", data
    yield f"{DRAWN_PICTURES} drawn", stored(drawn, arch)[0]


def first_view(data: TrainingData) -> TrainingData:
    """Without the bent views."""
    assert data.features is not None
    cut = {name: Features(f.values[:1], f.targets) for name, f in data.features.items()}
    return replace(data, features=cut)


def measure(scratch: Path, backbones: list[str]) -> None:
    """Print a line for each set, backbone and variant."""
    photographed = prepare(PHOTOGRAPHED, scratch) if there([PHOTOGRAPHED]) else None
    drawn = copy_of_the_repository(scratch / "drawn")
    draw_pictures(drawn / paths.DATA, DRAWN_PICTURES, scratch / "portraits")
    for step in ("clean", "preprocess"):
        stage(step, drawn)
    for arch in backbones:
        for name, data in sets(arch, photographed, drawn):
            for variant, changes in [*VARIANTS.items(), ("one view", {})]:
                update = {"cv_repeats": 3, **changes}
                recipe = stored_recipe(drawn, update)
                chosen = first_view(data) if variant == "one view" else data
                validated = cross_validate(chosen, recipe)
                assert validated is not None
                metrics = validated.metrics
                print(
                    f"{arch}, {name}, {variant}: {metrics['cv/accuracy']:.3f} ± "
                    f"{metrics['cv/accuracy_deviation']:.3f}",
                    flush=True,
                )


def stored_recipe(workspace: Path, changes: dict[str, object]) -> Recipe:
    """The recipe of a workspace's params with some changed."""
    from whoswho.params import load_params

    params = load_params(workspace)
    train = params.train.model_validate(params.train.model_dump() | changes)
    return Recipe(train, params.augment, 0)


def main() -> None:
    """Measure the backbones named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench.recipe", description=__doc__)
    parser.add_argument("--backbones", nargs="*", choices=BACKBONES, default=list(BACKBONES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="whoswho-bench-") as scratch:
        measure(Path(scratch), options.backbones)


if __name__ == "__main__":
    main()
