"""What validation teaches about the answers: how sure they are, and when there should be none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whoswho.inference.model import Float64, softmax

# Beyond these a temperature says that validation was all right or all wrong, not how sure to be.
COLDEST, HOTTEST = 0.05, 20.0

# Stored 16-bit features and the 32-bit network that answers differ by less in a probability.
_HAIR = 0.02


def fit_temperature(logits: NDArray[np.floating], actual: NDArray[np.int64]) -> float:
    """The temperature between COLDEST and HOTTEST with the lowest log loss.

    The loss is convex in 1 / temperature and its slope there is the mean of (logit expected under
    the softmax - logit of the actual label), so the place where the slope changes sign is found
    by halving.
    """
    true = np.asarray(logits, np.float64)[np.arange(len(actual)), actual]

    def slope(inverse: float) -> float:
        return float(((softmax(logits, 1 / inverse) * logits).sum(axis=1) - true).mean())

    low, high = 1 / HOTTEST, 1 / COLDEST
    if slope(low) >= 0:
        return HOTTEST
    if slope(high) <= 0:
        return COLDEST
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return 2 / (low + high)


def fit_threshold(probabilities: Float64, false_reject_rate: float) -> float:
    """The probability below which the answer is "none of these people".

    At most the share `false_reject_rate` of these known pictures lies below it. It is put a hair below
    the least sure picture that stays, so that rounding elsewhere does not turn that one away.
    """
    surest = np.sort(probabilities.max(axis=1))
    away = int(np.floor(false_reject_rate * len(surest) + 1e-9))
    if away >= len(surest):
        return 1.0
    gap = surest[away] - surest[away - 1] if away else surest[away]
    return float(surest[away] - min(gap / 2, _HAIR))
