"""`python -m bench.quality`: how well each backbone at hand tells people apart, set by set.

Accuracy on held-out pictures (cross-validation by look-alikes, the product's own), mean over the
cuts into folds and their deviation, beside chance: always naming the most frequent. Then what part
of strangers and of known people is answered `unknown`. `--pipeline` also times every stage that
`dvc repro` runs before it registers, nothing computed before, with the backbone and the params as
shipped.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from bench.processes import stage
from bench.sets import BACKBONES, SETS, chosen_backbone, fill, prepare, stored, there
from bench.workspace import copy_of_the_repository
from whoswho.training.cross_validation import cross_validate


def measure(scratch: Path, names: list[str], backbones: list[str]) -> None:
    """Print a line for each set and backbone."""
    for name in there(names):
        workspace = prepare(name, scratch)
        for arch in backbones:
            data, recipe = stored(workspace, arch)
            validated = cross_validate(data, recipe)
            if validated is None:
                print(f"{name}, {arch}: no picture can be held out")
                continue
            metrics = validated.metrics
            print(
                f"{name}, {arch}: {metrics['cv/accuracy']:.3f} ± "
                f"{metrics['cv/accuracy_deviation']:.3f} (chance {metrics['cv/chance']:.3f}, "
                f"{metrics['cv/pictures']} pictures); unknown: strangers "
                f"{metrics['unknown/strangers_caught']:.3f}, worst label "
                f"{metrics['unknown/strangers_caught_worst']:.3f}, known "
                f"{metrics['unknown/false_reject_rate']:.3f}",
                flush=True,
            )


STAGES = ("clean", "preprocess", "backbone", "features", "suspects", "train", "evaluate", "report")


def time_pipeline(name: str, arch: str, scratch: Path) -> None:
    """Print the seconds of every stage, each a process of its own, and their sum."""
    workspace = copy_of_the_repository(scratch / "pipeline", backbone=chosen_backbone(arch))
    fill(workspace, name)
    seconds = {step: stage(step, workspace).seconds for step in STAGES}
    metrics = json.loads((workspace / "reports" / "metrics.json").read_text(encoding="utf-8"))
    shutil.rmtree(workspace)
    each = ", ".join(f"{step} {taken:.0f}" for step, taken in seconds.items())
    print(
        f"{name}, {arch}: {sum(seconds.values()):.0f} s from pictures to report ({each}); "
        f"cv/accuracy {metrics['cv/accuracy']:.3f}",
        flush=True,
    )


def main() -> None:
    """Measure the sets and backbones named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=__doc__)
    parser.add_argument("--sets", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--backbones", nargs="*", choices=BACKBONES, default=list(BACKBONES))
    parser.add_argument("--pipeline", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="whoswho-bench-") as scratch:
        if options.pipeline:
            for name in there(options.sets):
                for arch in options.backbones:
                    time_pipeline(name, arch, Path(scratch))
        measure(Path(scratch), options.sets, options.backbones)


if __name__ == "__main__":
    main()
