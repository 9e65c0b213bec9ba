"""What is said about answers: pure functions of labels and probabilities.

They are written out here: importing scikit-learn takes longer than judging a thousand pictures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


def measure(
    actual: Int64,
    probabilities: Float64,
    probabilities_uncalibrated: Float64,
    labels: Sequence[str],
    threshold: float,
    *,
    bootstrap: int,
    bins: int,
    seed: int,
) -> dict[str, float]:
    """The numbers of one split, by their names without the split.

    Args:
        actual: (pictures,) indices into `labels`.
        probabilities: (pictures, labels) the probabilities that are answered.
        probabilities_uncalibrated: the same before the temperature.
    """
    predicted = probabilities.argmax(axis=1)
    right = predicted == actual
    there, named, hits = (
        np.bincount(places, minlength=len(labels)) for places in (actual, predicted, actual[right])
    )
    known = there > 0  # recall and F1 of a label without a picture are not defined
    low, high = interval(int(right.sum()), len(right), bootstrap, seed)
    return {
        "pictures": len(actual),
        "accuracy": float(right.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "chance": float(np.bincount(actual).max() / len(actual)),
        "balanced_accuracy": float((hits[known] / there[known]).mean()),
        "macro_f1": float((2 * hits[known] / (there + named)[known]).mean()),
        "macro_f1_labels": int(known.sum()),
        "log_loss": log_loss(actual, probabilities),
        "top_2": top(actual, probabilities, 2),
        "ece": calibration_error(actual, probabilities, bins),
        "ece_uncalibrated": calibration_error(actual, probabilities_uncalibrated, bins),
        "false_reject_rate": float((probabilities.max(axis=1) < threshold).mean()),
    }


def interval(right: int, pictures: int, resamples: int, seed: int) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of an accuracy.

    The right answers among `pictures` drawn with replacement follow the binomial distribution, so
    each resample is one draw from it.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = generator.binomial(pictures, right / pictures, resamples) / pictures
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def log_loss(actual: Int64, probabilities: Float64) -> float:
    """The mean of -log(probability of the label); no probability counts as less than 2e-16."""
    own = probabilities[np.arange(len(actual)), actual]
    return float(-np.log(np.maximum(own, np.finfo(np.float64).eps)).mean())


def top(actual: Int64, probabilities: Float64, count: int) -> float:
    """The share of pictures whose label is among the `count` likeliest."""
    likeliest = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    return float((likeliest == actual[:, None]).any(axis=1).mean())


def calibration_error(actual: Int64, probabilities: Float64, bins: int) -> float:
    """How far, over bins of equal width, the answers' probability is from their being right.

    The mean over pictures of |accuracy - mean probability| of the picture's bin (ECE).
    """
    surest = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == actual
    place = np.minimum((surest * bins).astype(int), bins - 1)
    gaps = np.bincount(place, right - surest, minlength=bins)
    return float(np.abs(gaps).sum() / len(actual))


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p of McNemar's test.

    Args:
        only_first: pictures only the first model gets right.
        only_second: pictures only the second model gets right.
    """
    count = only_first + only_second
    tail = sum(math.comb(count, k) for k in range(min(only_first, only_second) + 1))
    return float(min(1.0, 2 * tail / 2**count))
