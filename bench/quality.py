"""`python -m bench.quality`: how well each backbone at hand tells people apart, set by set.

Accuracy on held-out pictures (cross-validation by look-alikes, the product's own), mean over the
cuts into folds and their deviation, beside chance: always naming the most frequent. Then what part
of strangers and of known people is answered `unknown`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bench.sets import BACKBONES, SETS, prepare, stored, there
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
                f"{metrics['unknown/known_turned_away']:.3f}",
                flush=True,
            )


def main() -> None:
    """Measure the sets and backbones named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=__doc__)
    parser.add_argument("--sets", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--backbones", nargs="*", choices=BACKBONES, default=list(BACKBONES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="whoswho-bench-") as scratch:
        measure(Path(scratch), options.sets, options.backbones)


if __name__ == "__main__":
    main()
