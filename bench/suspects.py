"""`python -m bench.suspects`: how many wrong labels the stage suspects finds, and of whose word.

A tenth of the labels of a cleaned set is swapped, ten times over; precision and recall are means
over the draws. The bar is the share of the way from chance to 1 that the out-of-fold accuracy must
have come before anything is listed: halfway between the best judge of which less than half of the
list is wrong, and the worst one above it. What three sets choose is judged on the fourth.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.sets import BACKBONES, DRAWN, SETS, prepare, stored, there
from whoswho import paths
from whoswho.artifacts.split import Dataset, face_vectors, load_dataset
from whoswho.params import Suspects, load_params
from whoswho.suspects.confident_learning import (
    MeanOfViews,
    most_listed,
    needed_accuracy,
    out_of_fold,
    suspicious,
)

SWAPPED = 0.10
DRAWS = 10
WORTH_A_LOOK = 0.5  # of what is listed so much should be wrong
FACES = "face vectors"


@dataclass(frozen=True)
class Figures:
    """Means over the draws.

    Attributes:
        accuracy: out of fold, beside chance.
        speaks: in how many of the draws the stage would list suspects.
    """

    precision: float
    recall: float
    accuracy: float
    chance: float
    speaks: int

    @property
    def way(self) -> float:
        """How much of the way from chance to 1 the accuracy has come."""
        return (self.accuracy - self.chance) / (1 - self.chance)

    def __str__(self) -> str:
        return (
            f"precision {self.precision:.3f}, recall {self.recall:.3f}; out-of-fold accuracy "
            f"{self.accuracy:.3f}, chance {self.chance:.3f}, {self.way:.2f} of the way; speaks in "
            f"{self.speaks} of {DRAWS}"
        )


def find(
    values: NDArray[np.float32], targets: NDArray[np.int64], groups: Sequence[str], labels: int,
    settings: Suspects,
) -> Figures:  # fmt: skip
    """What is found of swapped labels, whatever the bar says."""
    draws = []
    for seed in range(DRAWS):
        dice = np.random.default_rng(seed)
        wrong = dice.choice(len(targets), round(SWAPPED * len(targets)), replace=False)
        given = targets.copy()
        given[wrong] = (given[wrong] + dice.integers(1, labels, len(wrong))) % labels
        answers = out_of_fold(values, given, groups, labels, settings.folds, settings.seed)
        judged = np.flatnonzero(~np.isnan(answers[:, 0]))
        answers, given = answers[judged], given[judged]
        margin = answers.max(axis=1) - answers[np.arange(len(judged)), given]
        ranked = sorted((row for row, _ in suspicious(answers, given)), key=lambda r: -margin[r])
        listed = ranked[: most_listed(settings.max_fraction, len(judged))]
        hits = np.isin(judged[listed], wrong).sum()
        accuracy = (answers.argmax(axis=1) == given).mean()
        chance = np.bincount(given).max() / len(given)
        speaks = accuracy >= needed_accuracy(chance)
        precision = hits / len(listed) if listed else math.nan
        draws.append((precision, hits / len(wrong), accuracy, chance, speaks))
    *means, _ = np.nanmean(draws, axis=0).tolist()
    return Figures(*means, speaks=sum(draw[-1] for draw in draws))


def measure_set(name: str, scratch: Path) -> dict[str, Figures]:
    """What is found on a set, by each that its labels can be judged by."""
    workspace = prepare(name, scratch)
    settings = load_params(workspace).suspects
    dataset = load_dataset(workspace / paths.DATASET)
    targets, groups = _rows(dataset)
    results = {}
    if (vectors := face_vectors(dataset)) is not None:
        face = np.flatnonzero(~np.isnan(vectors[:, 0]))
        own = [groups[row] for row in face]
        results[FACES] = find(vectors[face], targets[face], own, len(dataset.labels), settings)
    for arch in BACKBONES:
        data, _ = stored(workspace, arch)
        assert data.features is not None
        means = MeanOfViews([data.features[split] for split in dataset.splits])
        values = means[np.arange(len(targets))]
        results[arch] = find(values, targets, groups, len(dataset.labels), settings)
    return results


def bar(figures: Sequence[Figures]) -> float:
    """The share of the way between those whose list is not worth a look and those above them."""
    below = max((each.way for each in figures if each.precision < WORTH_A_LOOK), default=0.0)
    return round((below + min(each.way for each in figures if each.way > below)) / 2, 2)


def _rows(dataset: Dataset) -> tuple[NDArray[np.int64], list[str]]:
    targets = np.concatenate([dataset.targets(split) for split in dataset.splits])
    groups = [e.group for split in dataset.splits for e in dataset.examples[split]]
    return targets, groups


def measure(scratch: Path, names: Sequence[str]) -> None:
    """Print a line for each set and what judges it, then the bar."""
    results = {}
    for name in there(names):
        results[name] = measure_set(name, scratch)
        for judge, figures in results[name].items():
            print(f"{name}, {judge}: {figures}", flush=True)
    for left_out in [name for name in results if name != DRAWN and len(results) > 2]:
        rest = [
            f for name, by in results.items() if name not in (left_out, DRAWN) for f in by.values()
        ]
        chosen = bar(rest)
        verdicts = [
            f"{judge} {'speaks' if figures.way >= chosen else 'is silent'} "
            f"({figures.precision:.3f})"
            for judge, figures in results[left_out].items()
        ]
        print(f"bar chosen without {left_out}: {chosen:.2f}; never seen: {', '.join(verdicts)}")
    print(f"bar chosen on all: {bar([f for by in results.values() for f in by.values()]):.2f}")


def main() -> None:
    """Measure the sets named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench.suspects", description=__doc__)
    parser.add_argument("--sets", nargs="*", choices=SETS, default=list(SETS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="whoswho-bench-") as scratch:
        measure(Path(scratch), options.sets)


if __name__ == "__main__":
    main()
