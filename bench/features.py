"""`python -m bench.features [--pictures 1000] [--views 3]`: the stage features beside the forward
pass alone, and what else the stage does.

Both take turns, on the same backbone. What a stage costs whatever the number of pictures (Python,
imports, weights) is told by a second, smaller set.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.drawn import draw_pictures
from bench.processes import stage
from bench.rounds import Way, answer
from bench.workspace import copy_of_the_repository

if TYPE_CHECKING:
    from torch import Tensor

FEW = 50  # pictures of the smaller set
PASSES = 64  # pictures a round of the forward pass
# Shares of the forward pass's rate are told from so many turns.
ROUNDS = 2
SAMPLED = 24  # pictures over which the parts of a view are timed


def prepared(folder: Path, count: int, views: int, arch: str, portraits: Path) -> Path:
    """A workspace with a set up to its backbone."""
    workspace = copy_of_the_repository(
        folder,
        # The portraits are variants of a few: none is taken for another's copy.
        clean={
            "faces": "any",
            "near_duplicate_max_bits": 0,
            "near_duplicate_min_correlation": 1.0,
        },
        backbone={"arch": arch, "weights": ["random" if arch == "resnet50" else "IMAGENET1K_V1"]},
        augment={"views": views},
    )
    draw_pictures(workspace / "data", count, portraits)
    for name in ("clean", "preprocess", "backbone"):
        stage(name, workspace)
    return workspace


def views_of(workspace: Path) -> int:
    """How many pictures and views the stage passes through the network."""
    from whoswho import paths
    from whoswho.artifacts.split import load_dataset
    from whoswho.params import load_params

    views = load_params(workspace).augment.views
    examples = load_dataset(workspace / paths.DATASET).examples
    return sum(len(rows) * (views if split == "train" else 1) for split, rows in examples.items())


def forward_alone(workspace: Path) -> None:
    """A process of its own: what the parts of a view cost on one core, then rounds of the pass."""
    import torch

    from whoswho import paths
    from whoswho.artifacts.model.backbone import load_backbone
    from whoswho.artifacts.split import load_dataset
    from whoswho.backbone import network
    from whoswho.backbone.compute import device, forward
    from whoswho.backbone.loading.loader import Pictures
    from whoswho.params import load_params
    from whoswho.pictures import tensors

    state, source = load_backbone(workspace / paths.BACKBONE)
    backbone, _ = network.backbone_from(source.arch, state)
    ready = forward.prepare(backbone, torch.device("cpu"))
    augment = load_params(workspace).augment
    examples = load_dataset(workspace / paths.DATASET).examples["train"][:SAMPLED]
    pictures = Pictures(examples, augment, ready.normalization)
    rows = [divmod(row, augment.views) for row in range(len(examples) * augment.views)]
    batches = [rows[at : at + ready.batch] for at in range(0, len(rows), ready.batch)]
    took = {"opened and drawn": 0.0, "to numbers": 0.0, "network": 0.0}

    def timed(part: str, run: Callable[[], Tensor]) -> Tensor:
        start = time.perf_counter()
        made = run()
        took[part] += 1000 * (time.perf_counter() - start)
        return made

    def numbers(batch: Tensor) -> Tensor:
        return tensors.standardized(batch, ready.normalization)

    given = []
    with device.one_thread():
        ready.run(numbers(pictures.pixels(batches[0])))
        for batch in batches:
            pixels = timed("opened and drawn", partial(pictures.pixels, batch))
            given.append(timed("to numbers", partial(numbers, pixels)))
            timed("network", partial(ready.run, given[-1]))
    few = given[: max(1, PASSES // ready.batch)]

    def work(batch: Tensor) -> None:
        ready.run(batch)

    def run() -> None:
        forward.each(few, work, ready.streams)

    answer({part: total / len(rows) for part, total in took.items()}, run, sum(map(len, few)))


def measure(scratch: Path, count: int, views: int, arch: str, rounds: int) -> None:
    """Print what the stage reaches of the pass alone, and what the parts of a view cost."""
    portraits = scratch / "portraits"
    many = prepared(scratch / "many", count, views, arch, portraits)
    few = prepared(scratch / "few", FEW, views, arch, portraits)
    long, short = [], []
    with Way("bench.features", "--alone", str(many)) as alone:
        alone.round()
        for _ in range(rounds):
            short.append(stage("features", few))
            alone.round()
            long.append(stage("features", many))
            alone.round()
    number, more = views_of(many), views_of(many) - views_of(few)
    wall = min(done.seconds for done in long)
    rest = wall - min(done.seconds for done in short)
    cost = min(done.processor for done in long)
    cost_of_rest = cost - min(done.processor for done in short)
    print(
        f"features, {arch}, {count} pictures, {views} views: {number / wall:.1f} views/s, "
        f"{number / wall / alone.best:.2f} of the forward pass alone ({alone.best:.1f}); without "
        f"what a stage costs at any size {more / rest:.1f}, {more / rest / alone.best:.2f}"
    )
    own = min(alone.costs)
    print(
        f"in seconds of processor: {number * own / cost:.2f} of them are the pass's, without what "
        f"a stage costs at any size {more * own / cost_of_rest:.2f}"
    )
    parts = ", ".join(f"{name} {took:.2f}" for name, took in alone.figures.items())
    print(f"a view on one core, ms: {parts}")


def main() -> None:
    """Measure with the numbers of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.features", description=__doc__)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--views", type=int, default=3)
    parser.add_argument("--arch", default="resnet50")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        forward_alone(options.alone)
        return
    with tempfile.TemporaryDirectory(prefix="whoswho-bench-") as scratch:
        measure(Path(scratch), options.pictures, options.views, options.arch, options.rounds)


if __name__ == "__main__":
    main()
