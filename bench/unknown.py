"""`python -m bench.unknown`: which score tells strangers from the people a model knows.

On the face backbone's features of four sets: every label is left out in turn, and its pictures are
scored by models of the others; the limit is where 5 % of the known pictures of other folds would
be turned away. What is the best on three sets is judged on the fourth.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bench.sets import DRAWN, SETS, prepare, stored, there
from whoswho.artifacts.features import Features
from whoswho.evaluation.folds import split_folds
from whoswho.inference.model import softmax
from whoswho.training.calibration import fit_centres, fit_min_similarity, fit_temperature
from whoswho.training.cross_validation import Pool, train_fold
from whoswho.training.inputs import Recipe, TrainingData
from whoswho.training.loop import Trainer

Float = NDArray[np.float64]
FALSE_REJECT_RATE = 0.05
NEIGHBOURS = 2


class Scorer:
    """The scores of a fold's model; the higher, the more like somebody it knows."""

    def __init__(self, train: Features, logits: Callable[[Float], Float], temperature: float):
        self.values, self.targets = train.values[0].astype(np.float64), train.targets
        self.logits, self.temperature = logits, temperature
        self.cosine = fit_centres(train).similarity
        self.centres = np.stack(
            [self.values[self.targets == k].mean(axis=0) for k in np.unique(self.targets)]
        )

    def __call__(self, values: Float) -> dict[str, Float]:
        """Every score of pictures (pictures, width)."""
        logits = self.logits(values)
        to_centres = np.linalg.norm(values[:, None] - self.centres, axis=2)
        to_pictures = np.sort(np.linalg.norm(values[:, None] - self.values, axis=2), axis=1)
        return {
            "probability, fitted temperature": softmax(logits, self.temperature).max(axis=1),
            "probability, temperature 1": softmax(logits, 1.0).max(axis=1),
            "largest logit": logits.max(axis=1),
            "distance to the nearest centre": -to_centres.min(axis=1),
            "distance to the nearest pictures": -to_pictures[:, :NEIGHBOURS].mean(axis=1),
            "cosine to the nearest centre": self.cosine(values),
        }


def answer_of(trainer: Trainer) -> Callable[[Float], Float]:
    """The trained head as a function from features to logits."""

    def logits(values: Float) -> Float:
        head = trainer.task.module.eval()
        with torch.inference_mode():
            return head(torch.from_numpy(values).float()).double().numpy()  # type: ignore[no-any-return]

    return logits


def measure_set(data: TrainingData, recipe: Recipe) -> dict[str, tuple[float, float]]:
    """score -> the fraction of strangers caught over all labels, and of the label caught least."""
    pool = Pool.of(data)
    caught: dict[str, list[float]] = {}
    for label in range(len(data.dataset.labels)):
        rows = np.flatnonzero(pool.targets != label)
        targets = np.unique(pool.targets[rows], return_inverse=True)[1]
        others = Pool(pool.values[:, rows], targets, pool.groups[rows])
        names = tuple(name for k, name in enumerate(data.dataset.labels) if k != label)
        known_people = replace(data, dataset=replace(data.dataset, labels=names))
        strangers = pool.values[0, pool.targets == label].astype(np.float64)
        scores: list[tuple[dict[str, Float], dict[str, Float]]] = []
        for fold in split_folds(targets, others.groups.tolist(), recipe.train.folds, 0):
            trainer = train_fold(known_people, recipe, others, fold)
            held_out = trainer.validation_logits().astype(np.float64)
            temperature = fit_temperature(held_out, targets[fold.held_out])
            scorer = Scorer(others.features(fold.train), answer_of(trainer), temperature)
            scores.append(
                (scorer(others.values[0, fold.held_out].astype(np.float64)), scorer(strangers))
            )
        for name in scores[0][0]:
            below = []
            for number, (_, of_strangers) in enumerate(scores):
                rest = [known[name] for k, (known, _) in enumerate(scores) if k != number]
                limit = fit_min_similarity(np.concatenate(rest), FALSE_REJECT_RATE)
                below.append(of_strangers[name] < limit)
            caught.setdefault(name, []).append(float(np.mean(below)))
    counts = np.bincount(pool.targets)
    return {
        name: (float(np.average(values, weights=counts)), min(values))
        for name, values in caught.items()
    }


def measure(scratch: Path, arch: str) -> None:
    """Print a line for each set and score, then what is chosen on three sets, on the fourth."""
    results = {}
    for name in there([name for name in SETS if name != DRAWN]):
        results[name] = measure_set(*stored(prepare(name, scratch), arch))
        for score, (caught, worst) in results[name].items():
            print(f"{name}, {score}: caught {caught:.3f}, worst label {worst:.3f}", flush=True)
    for left_out in results if len(results) > 1 else ():
        rest = [by_score for name, by_score in results.items() if name != left_out]
        best = max(
            rest[0], key=lambda score: statistics.mean(by_score[score][0] for by_score in rest)
        )
        caught, worst = results[left_out][best]
        print(
            f"chosen without {left_out}: {best}; never seen: {caught:.3f}, worst label {worst:.3f}"
        )


def main() -> None:
    """Measure on the features of one backbone."""
    parser = argparse.ArgumentParser(prog="python -m bench.unknown", description=__doc__)
    parser.add_argument("--backbone", default="dlib_resnet29")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="whoswho-bench-") as scratch:
        measure(Path(scratch), options.backbone)


if __name__ == "__main__":
    main()
