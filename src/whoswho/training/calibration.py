"""What a model's answers are worth: how sure they are, and when there should be none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whoswho.artifacts.features import Features
from whoswho.inference.model import Float64, softmax
from whoswho.inference.similarity import Centres, unit
from whoswho.training.standardization import feature_mean_and_std

# Beyond these a temperature says that all were right or all wrong, not how sure to be.
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
# By so much a cosine may differ with the batch and the precision of the network.
_MARGIN = 1e-3


@dataclass(frozen=True)
class HeldOut:
    """What models give for pictures of known people that they did not learn from.

    Attributes:
        logits: (pictures, labels).
        similarity: (pictures,), see `Centres.similarity`.
        targets: (pictures,), the label index of each.
    """

    logits: Float64
    similarity: Float64
    targets: NDArray[np.int64]


def fit_centres(features: Features) -> Centres:
    """The centres of the labels that training features have, of each picture's first view."""
    values, targets = features.values[0], features.targets
    mean, deviation = (part.numpy() for part in feature_mean_and_std(iter([values])))
    centres = [
        values[targets == label].mean(axis=0, dtype=np.float64) for label in np.unique(targets)
    ]
    directions = unit((np.stack(centres) - mean) / deviation).astype(np.float32)
    return Centres(mean, deviation, directions)


def fit_temperature(logits: NDArray[np.floating], targets: NDArray[np.int64]) -> float:
    """The temperature between MIN_TEMPERATURE and MAX_TEMPERATURE with the lowest log loss.

    Temperature scaling is that of Guo et al. 2017, arXiv:1706.04599. Its targets are those of
    Platt 1999 ("Probabilistic outputs for support vector machines", section 2.2), (n + 1) /
    (n + 2) for n pictures in place of certainty: that n answers were right does not make the next
    one certain. The loss is convex in 1 / temperature and its slope there is the mean of (logit
    expected under the softmax - logit expected under the targets), so the zero of the slope is
    found by bisection.
    """
    logits = np.asarray(logits, np.float64)
    count, labels = logits.shape
    own = logits[np.arange(count), targets]
    others = (logits.sum(axis=1) - own) / max(labels - 1, 1)
    target_logits = (own * (count + 1) + others) / (count + 2)

    def slope(inverse: float) -> float:
        expected = (softmax(logits, 1 / inverse) * logits).sum(axis=1)
        return float((expected - target_logits).mean())

    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    if slope(low) >= 0:
        return MAX_TEMPERATURE
    if slope(high) <= 0:
        return MIN_TEMPERATURE
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return 2 / (low + high)


def fit_min_similarity(similarity: Float64, false_reject_rate: float) -> float:
    """The similarity below which that fraction of known pictures lies, (pictures,).

    Halfway between two pictures, or below the least: where a network rounds otherwise, no picture
    may come and go.
    """
    ordered = np.sort(similarity)
    ends = np.concatenate([ordered[:1] - 2 * _MARGIN, ordered, ordered[-1:] + 2 * _MARGIN])
    rejected = round(false_reject_rate * len(similarity))
    return float(ends[rejected : rejected + 2].mean())
