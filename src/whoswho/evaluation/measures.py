"""What is said about answers: pure functions of labels and probabilities.

They are written out here: importing scikit-learn takes longer than judging a thousand pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whoswho.artifacts.predictions import LabelScore
from whoswho.evaluation.significance import interval

if TYPE_CHECKING:
    from whoswho.inference.model import Answers

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


def measure(
    actual: Int64,
    answers: Answers,
    uncalibrated: Float64,
    *,
    bootstrap: int,
    bins: int,
    seed: int,
) -> dict[str, float]:
    """The numbers of one split, by their names without the split.

    Args:
        actual: (pictures,) label indices.
        uncalibrated: (pictures, labels), the answers' probabilities without the temperature.
    """
    probabilities = answers.probabilities
    matrix = confusion(actual, probabilities)
    hits, support, named = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    known = support > 0  # recall and F1 of a label without a picture are not defined
    right = int(hits.sum())
    low, high = interval(right, len(actual), bootstrap, seed)
    return {
        "pictures": len(actual),
        "accuracy": right / len(actual),
        "accuracy_low": low,
        "accuracy_high": high,
        "chance": float(support.max() / len(actual)),
        "balanced_accuracy": float((hits[known] / support[known]).mean()),
        "macro_f1": float((2 * hits[known] / (support + named)[known]).mean()),
        "macro_f1_labels": int(known.sum()),
        "log_loss": log_loss(actual, probabilities),
        "top_2": top(actual, probabilities, 2),
        "ece": calibration_error(actual, probabilities, bins),
        "ece_uncalibrated": calibration_error(actual, uncalibrated, bins),
        "false_reject_rate": float(answers.unknown.mean()),
    }


def confusion(actual: Int64, probabilities: Float64) -> Int64:
    """Pictures by label and likeliest label, (labels, labels)."""
    labels = probabilities.shape[1]
    pairs = actual * labels + probabilities.argmax(axis=1)
    return np.bincount(pairs, minlength=labels**2).reshape(labels, labels)


def per_label(matrix: Int64, labels: Sequence[str], split: str) -> list[LabelScore]:
    """A row a label from the counts of `confusion`, also where the split lacks the label."""
    hits, support, named = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    return [
        LabelScore(
            label,
            split,
            precision=float(hits[index] / named[index]) if named[index] else None,
            recall=float(hits[index] / support[index]) if support[index] else None,
            f1=float(2 * hits[index] / (support + named)[index]) if support[index] else None,
            support=int(support[index]),
        )
        for index, label in enumerate(labels)
    ]


def log_loss(actual: Int64, probabilities: Float64) -> float:
    """The mean of -log(probability of the label); no probability counts as less than 2e-16."""
    own = probabilities[np.arange(len(actual)), actual]
    return float(-np.log(np.maximum(own, np.finfo(np.float64).eps)).mean())


def top(actual: Int64, probabilities: Float64, count: int) -> float:
    """The fraction of pictures whose label is among the `count` likeliest."""
    likeliest = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    return float((likeliest == actual[:, None]).any(axis=1).mean())


def calibration_error(actual: Int64, probabilities: Float64, bins: int) -> float:
    """How far, over bins of equal width, the answers' probability is from their being right.

    The mean over pictures of |accuracy - mean probability| of the picture's bin (ECE).
    """
    highest = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == actual
    bin_index = np.minimum((highest * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_index, right - highest, minlength=bins)
    return float(np.abs(gaps).sum() / len(actual))
