"""`python -m bench.misfiled`: how many of a person's pictures under other labels a takedown names.

Of each label of a cleaned set a few pictures, drawn ten times over, are put under another name:
alone there, or among another person's. The rule was tuned on sports_celebrities.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.sets import SETS, prepare, there
from whoswho import paths
from whoswho.artifacts.split import face_vectors, load_dataset
from whoswho.cleaning.identity import Vectors
from whoswho.takedown import same_person

COUNTS = (1, 2, 5)  # pictures that are misfiled together
LEFT = 3  # at least so many stay under the person's own label
DRAWS = 10


def people(workspace: Path) -> list[Vectors]:
    """The face vectors of each label's pictures, those without a face left out."""
    dataset = load_dataset(workspace / paths.DATASET)
    vectors = face_vectors(dataset)
    assert vectors is not None, "cleaning told no faces apart"
    targets = np.concatenate([dataset.targets(split) for split in dataset.splits])
    face = ~np.isnan(vectors[:, 0])
    return [vectors[face & (targets == label)] for label in range(len(dataset.labels))]


def shown(own: Vectors, *under: Vectors) -> list[NDArray[np.bool_]]:
    """Of the faces under each other label, each alone in its picture, which are the person's."""
    names = [str(number) for number, faces in enumerate(under) for _ in faces]
    theirs = same_person.shows(own, np.concatenate(under), names, [True] * len(names))
    return np.split(theirs, np.cumsum([len(faces) for faces in under])[:-1])


def measure(labels: Sequence[Vectors], count: int) -> str:
    """What is named of so many misfiled pictures, and of those that are other people's."""
    dice = np.random.default_rng(0)
    alone, among, others_named = [], [], []
    for label, faces in enumerate(labels):
        if len(faces) < count + LEFT:
            continue
        for _ in range(DRAWS):
            shuffled = dice.permutation(faces)
            misfiled, own = shuffled[:count], shuffled[count:]
            others = [other for number, other in enumerate(labels) if number != label]
            first, *rest = shown(own, misfiled, *others)
            alone += [*first]
            others_named += [*np.concatenate(rest)]
            host = int(dice.integers(len(others)))
            others[host] = np.concatenate([misfiled, others[host]])
            among += [*shown(own, *others)[host][:count]]
    return (
        f"{count} misfiled: named alone {np.mean(alone):.2f}, among another's "
        f"{np.mean(among):.2f}; of other people's {np.mean(others_named):.4f}"
    )


def main() -> None:
    """Measure the sets named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench.misfiled", description=__doc__)
    parser.add_argument("--sets", nargs="*", choices=SETS, default=list(SETS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="whoswho-bench-") as scratch:
        for name in there(options.sets):
            labels = people(prepare(name, Path(scratch)))
            if len(labels) < 2 or max(map(len, labels)) < max(COUNTS) + LEFT:
                print(f"{name}: too few labels or faces")
                continue
            print(f"{name}: {len(labels)} labels, {sum(map(len, labels))} faces")
            for count in COUNTS:
                print(f"  {measure(labels, count)}", flush=True)


if __name__ == "__main__":
    main()
