"""What is said about answers: pure functions of labels and probabilities.

All labels are counted in the order the model has them; one that a split lacks keeps its place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class LabelRow:
    """How a label fared; None is "not defined"."""

    label: str
    precision: float | None  # None: never predicted
    recall: float | None  # None: the split has no picture of it
    f1: float | None  # None: the split has no picture of it
    support: int  # pictures of it


def measure(
    actual: Int64,
    shares: Float64,
    shares_uncalibrated: Float64,
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
        shares: (pictures, labels) the probabilities that are answered.
        shares_uncalibrated: the same before the temperature.
    """
    from sklearn.metrics import log_loss

    predicted = shares.argmax(axis=1)
    right = predicted == actual
    rows = per_label(actual, predicted, labels)
    recalls = [row.recall for row in rows if row.recall is not None]
    f1s = [row.f1 for row in rows if row.f1 is not None]
    low, high = interval(int(right.sum()), len(right), bootstrap, seed)
    places = range(len(labels))
    return {
        "pictures": len(actual),
        "accuracy": float(right.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "chance": float(np.bincount(actual).max() / len(actual)),
        "balanced_accuracy": float(np.mean(recalls)),
        "macro_f1": float(np.mean(f1s)),
        "macro_f1_labels": len(f1s),
        "log_loss": float(log_loss(actual, shares, labels=places)),
        "top_2": top(actual, shares, 2),
        "ece": calibration_error(actual, shares, bins),
        "ece_uncalibrated": calibration_error(actual, shares_uncalibrated, bins),
        "known_turned_away": float((shares.max(axis=1) < threshold).mean()),
    }


def per_label(actual: Int64, predicted: Int64, labels: Sequence[str]) -> list[LabelRow]:
    """Precision, recall, F1 and support of every label, in the order given."""
    from sklearn.metrics import precision_recall_fscore_support

    table = precision_recall_fscore_support(
        actual, predicted, labels=range(len(labels)), zero_division=np.nan
    )
    rows = []
    for label, precision, recall, f1, support in zip(labels, *table, strict=True):
        # Of a label the split lacks scikit-learn says F1 0 as soon as one picture is taken for it.
        there = int(support) > 0
        rows.append(
            LabelRow(
                label,
                None if math.isnan(precision) else float(precision),
                float(recall) if there else None,
                float(f1) if there else None,
                int(support),
            )
        )
    return rows


def confusion(actual: Int64, predicted: Int64, labels: Sequence[str]) -> Int64:
    """Pictures by actual (row) and predicted (column) label, all labels in the order given."""
    from sklearn.metrics import confusion_matrix

    matrix: Int64 = confusion_matrix(actual, predicted, labels=range(len(labels)))
    return matrix


def interval(right: int, pictures: int, resamples: int, seed: int) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of an accuracy.

    The right answers among `pictures` drawn with replacement follow the binomial distribution, so
    each resample is one draw from it.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = generator.binomial(pictures, right / pictures, resamples) / pictures
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def top(actual: Int64, shares: Float64, count: int) -> float:
    """The share of pictures whose label is among the `count` likeliest."""
    likeliest = np.argsort(-shares, axis=1, kind="stable")[:, :count]
    return float((likeliest == actual[:, None]).any(axis=1).mean())


def calibration_error(actual: Int64, shares: Float64, bins: int) -> float:
    """How far, over bins of equal width, the answers' probability is from their being right.

    The mean over pictures of |accuracy - mean probability| of the picture's bin (ECE).
    """
    surest = shares.max(axis=1)
    right = shares.argmax(axis=1) == actual
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
