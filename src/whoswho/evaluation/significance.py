"""How sure an accuracy is, and that one model beats another: pure functions of counts."""

from __future__ import annotations

import math

import numpy as np


def interval(right: int, pictures: int, resamples: int, seed: int) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of an accuracy.

    The right answers among `pictures` drawn with replacement follow the binomial distribution, so
    each resample is one draw from it.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = generator.binomial(pictures, right / pictures, resamples) / pictures
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def paired_interval(
    only_first: int, only_second: int, pictures: int, resamples: int, seed: int
) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of what the second model's accuracy is higher by.

    Pictures are drawn with replacement, each with both models' answers; so each resample is one
    draw from the multinomial distribution of which of the two is right.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    probabilities = (
        np.array([only_first, only_second, pictures - only_first - only_second]) / pictures
    )
    drawn = generator.multinomial(pictures, probabilities, resamples)
    low, high = np.percentile((drawn[:, 1] - drawn[:, 0]) / pictures, (2.5, 97.5))
    return float(low), float(high)


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p of McNemar's test.

    Args:
        only_first: pictures only the first model gets right.
        only_second: pictures only the second model gets right.
    """
    count = only_first + only_second
    tail = sum(math.comb(count, k) for k in range(min(only_first, only_second) + 1))
    return float(min(1.0, 2 * tail / 2**count))
