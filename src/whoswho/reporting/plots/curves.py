"""Learning curves and the calibration curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whoswho.reporting.plots import canvas
from whoswho.reporting.plots.canvas import BLUE, FAINT, ORANGE

BINS = 10  # of the calibration curve


def history(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw loss and accuracy over the epochs, training beside validation; one point an epoch."""
    with canvas.figure(path, 9, 3.6) as figure:
        from matplotlib.ticker import MaxNLocator

        for left, quantity, unit in (
            (0.75, "loss", "cross-entropy"),
            (5.2, "accuracy", "fraction right"),
        ):
            axes = canvas.axes(figure, left, 0.6, 3.6, 2.55, frame=False)
            for split, colour, mark in (("train", BLUE, "o-"), ("validation", ORANGE, "s-")):
                key = f"{split}/{quantity}"
                measured = [row for row in rows if row.get(key) not in (None, "")]
                if measured:
                    epochs = [int(row["epoch"]) for row in measured]
                    values = [float(row[key]) for row in measured]
                    axes.plot(epochs, values, mark, color=colour, label=split, markersize=4)
            axes.set(title=quantity, xlabel="epoch", ylabel=unit)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            if quantity == "accuracy":
                axes.set_ylim(-0.03, 1.03)
            axes.grid()
            if axes.lines:
                axes.legend()


def calibration(
    probabilities: Sequence[float],
    uncalibrated: Sequence[float],
    right: Sequence[bool],
    path: Path,
    *,
    split: str = "test",
) -> None:
    """Draw how often the model is right against how sure it says it is.

    Args:
        probabilities: of each picture's answer, 0 to 1, with the temperature.
        uncalibrated: the same without the temperature.
    """
    with canvas.figure(path, 5.6, 5.4) as figure:
        above = canvas.axes(figure, 0.75, 1.75, 4.6, 3.2, frame=False)
        below = canvas.axes(figure, 0.75, 0.55, 4.6, 0.95, frame=False)
        above.plot([0, 1], [0, 1], "--", color=FAINT, linewidth=1, label="as sure as right")
        for name, values, colour, mark in (
            ("with temperature", probabilities, BLUE, "o-"),
            ("without", uncalibrated, ORANGE, "s:"),
        ):
            curve = calibration_curve(values, right)
            above.plot(*curve, mark, color=colour, label=name, markersize=5)
        above.set(title=f"{split}: {len(right)} pictures", ylabel="fraction right")
        above.set(xlim=(0, 1), ylim=(-0.03, 1.03))
        above.grid()
        above.legend(loc="upper left", fontsize=8)
        below.hist(np.clip(probabilities, 0, 1), bins=BINS, range=(0, 1), color=BLUE, rwidth=0.9)
        below.set(xlim=(0, 1), xlabel="probability of the answer", ylabel="pictures")


def calibration_curve(
    probabilities: ArrayLike, right: ArrayLike, bins: int = BINS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean probability and fraction right of every bin of equal width that is not empty."""
    values = np.asarray(probabilities, float)
    bin_index = np.minimum((values * bins).astype(int), bins - 1)
    counts = np.bincount(bin_index, minlength=bins)
    filled = counts > 0
    sums = (np.bincount(bin_index, weights, bins)[filled] for weights in (values, right))
    mean, fraction = (total / counts[filled] for total in sums)
    return mean, fraction
