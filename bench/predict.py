"""`python -m bench.predict [--pictures 1000] [--arch resnet50]`: predict beside features.

The same drawn portraits for both. Features passes every stored view of the prepared pictures
through the backbone; predict opens the originals, finds their faces anew and judges them.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bench.drawn import draw_pictures
from bench.processes import measure, stage
from bench.workspace import PROGRAMS, copy_of_the_repository
from whoswho.artifacts.split import read_split


def predict(scratch: Path, count: int, arch: str) -> None:
    """Print how many pictures a second either takes, as whole processes, and of what.

    Where other programs run beside it, the seconds of processor are what can be compared.
    """
    workspace = copy_of_the_repository(
        scratch / "predict",
        # The portraits are variants of a few: none is taken for another's copy.
        clean={"near_duplicate_max_bits": 0, "near_duplicate_min_correlation": 1.0},
        backbone={"arch": arch},
    )
    draw_pictures(workspace / "data", count, scratch / "portraits")
    for name in ("clean", "preprocess", "backbone"):
        stage(name, workspace)
    features = stage("features", workspace)
    stage("train", workspace)
    split = [row.split for row in read_split(workspace / "artifacts" / "dataset")]
    views = len(split) + 2 * split.count("train")
    print(
        f"features, {len(split)} pictures: {len(split) / features.seconds:.1f} pictures/s, "
        f"{views / features.seconds:.1f} views/s, {features.processor / len(split):.2f} s of "
        "processor a picture"
    )
    command = (PROGRAMS / "whoswho", "predict", "--model", "artifacts/model", "--json")
    for pictures in (sorted((workspace / "data").glob("*/*"))[:: max(1, count // 100)], ["data"]):
        done = measure(*command, *pictures, cwd=workspace)
        number = count if pictures == ["data"] else len(pictures)
        rate = number / done.seconds
        print(
            f"whoswho predict, {number} pictures: {rate:.1f} pictures/s, "
            f"{rate * features.seconds / len(split):.2f} of the rate of features, "
            f"{done.processor / number:.2f} s of processor a picture, {done.peak_mb:.0f} MB"
        )


def main() -> None:
    """Measure with the numbers of the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.predict", description=__doc__)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--arch", default="resnet50")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="whoswho-bench-") as scratch:
        predict(Path(scratch), options.pictures, options.arch)


if __name__ == "__main__":
    main()
