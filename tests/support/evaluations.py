"""What evaluate would write of given answers, for tests of what comes after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from whoswho.artifacts.predictions import Evaluation, PredictionRow, RobustnessRow
from whoswho.evaluation import measures


def prediction_row(
    labels: Sequence[str], file: str, split: str, actual: str, predicted: str,
    *, probability: float = 1.0, unknown: bool = False,
) -> PredictionRow:  # fmt: skip
    """The rest of the probability is spread evenly over the other labels."""
    rest = (1 - probability) / max(len(labels) - 1, 1)
    row = tuple(probability if label == predicted else rest for label in labels)
    return PredictionRow(file, split, actual, predicted, 0.5, unknown, row, row)


def make_evaluation(
    labels: Sequence[str],
    pictures: Sequence[PredictionRow],
    metrics: Mapping[str, float],
    heat_maps: Mapping[str, np.ndarray] | None = None,
    robustness: Sequence[RobustnessRow] = (),
) -> Evaluation:
    splits = dict.fromkeys(picture.split for picture in pictures)
    matrices = {
        split: measures.confusion(
            np.array([labels.index(p.actual) for p in pictures if p.split == split]),
            np.array([p.probabilities for p in pictures if p.split == split]),
        )
        for split in splits
    }
    judged = "test" if "test" in splits else "validation"
    return Evaluation(
        judged,
        tuple(labels),
        metrics,
        tuple(pictures),
        tuple(
            score
            for split, matrix in matrices.items()
            for score in measures.per_label(matrix, labels, split)
        ),
        matrices[judged],
        heat_maps or {},
        tuple(robustness),
    )
