"""`python -m bench.quality`: how well the backbone at hand tells people apart, beside two marks.

On press pictures judged by eye to show one person well (../shared/cases/people beside a checkout),
by models that saw neither the picture nor any of its look-alikes: the backbone's features, chance,
and dlib's face embedding, which was trained on millions of faces. A trained backbone has to reach
that one's mark.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from pathlib import Path

import numpy as np

from bench.cleaning import truth_of
from bench.faces import CASES, looked_at
from bench.processes import stage
from bench.workspace import copy_of_the_repository
from whoswho import params, paths
from whoswho.artifacts.features import load_features
from whoswho.artifacts.model.backbone import load_source
from whoswho.artifacts.split import load_dataset
from whoswho.pictures import embedding
from whoswho.suspects import confident_learning

FOLDS = 5
SEEDS = range(5)  # of the folds


def judged_fit(scratch: Path) -> Path:
    """A workspace with the pictures judged fit, taken up to their features."""
    workspace = copy_of_the_repository(scratch / "quality", augment={"views": 1})
    for file, row in truth_of(CASES).items():
        if row["main_ok"] == "1" and row["same"] == "1":
            target = workspace / paths.DATA / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CASES / "sports_celebrities" / file, target)
    for name in ("clean", "preprocess", "backbone", "features"):
        stage(name, workspace)
    return workspace


def told_apart(
    values: confident_learning.Float, given: confident_learning.Int, groups: list[str], labels: int
) -> tuple[float, float]:
    """Mean and deviation, over several cuts into folds, of the share named rightly."""
    shares = []
    for seed in SEEDS:
        found = confident_learning.out_of_fold(
            values.astype(np.float32), given, groups, labels, FOLDS, seed
        )
        judged = ~np.isnan(found[:, 0])
        shares.append(float((found.argmax(axis=1) == given)[judged].mean()))
    return statistics.mean(shares), statistics.stdev(shares)


def measure(scratch: Path) -> None:
    """Print a line for each."""
    workspace = judged_fit(scratch)
    pictures = load_dataset(workspace / paths.DATASET)
    stored = load_features(workspace / paths.FEATURES, pictures)
    splits = pictures.splits
    examples = [one for split in splits for one in pictures.examples[split]]
    given = np.concatenate([pictures.targets(split) for split in splits])
    groups = [one.group for one in examples]
    labels = len(pictures.labels)
    source = load_source(workspace / paths.BACKBONE)
    chance = np.bincount(given).max() / len(given)
    print(f"{len(given)} pictures of {labels} people; naming the most frequent: {chance:.3f}")
    backbone = np.concatenate([stored[split].values.mean(axis=0) for split in splits])
    mean, spread = told_apart(backbone, given, groups, labels)
    print(f"{source.arch}, {source.entry} weights: {mean:.3f} ± {spread:.3f}")
    if not embedding.available():
        print("dlib's face embedding: not measured; the extra `faces` is not installed")
        return
    limits = params.load_params(workspace).clean
    faces = looked_at(workspace / paths.DATA, limits, workspace / paths.FACES)
    vectors = [faces[one.file].vector for one in examples]
    known = [place for place, vector in enumerate(vectors) if vector is not None]
    mean, spread = told_apart(
        np.array([vectors[place] for place in known]), given[known],
        [groups[place] for place in known], labels,
    )  # fmt: skip
    print(
        f"the same linear model on dlib's face embedding, {len(known)} of the pictures: "
        f"{mean:.3f} ± {spread:.3f}"
    )


def main() -> None:
    """Measure where the pictures are."""
    if not (CASES / "sports_celebrities_truth.csv").exists():
        print(
            "quality: not measured; the pictures judged by eye are not in ../shared/cases/people"
        )
        return
    with tempfile.TemporaryDirectory(prefix="whoswho-bench-") as scratch:
        measure(Path(scratch))


if __name__ == "__main__":
    main()
