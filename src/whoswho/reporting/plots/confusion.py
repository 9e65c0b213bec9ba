"""The confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from whoswho.reporting.plots import canvas
from whoswho.reporting.plots.canvas import FAINT, GRID, INK, POINTS
from whoswho.reporting.plots.fitting import fit_distinct, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_DOTTED = 40  # labels; a larger matrix leaves its zeros out
_LABEL_WIDTH = 2.1  # inches


def confusion_matrix(
    labels: Sequence[str], counts: NDArray[np.int64], path: Path, *, split: str = "test"
) -> None:
    """Draw `counts[actual, predicted]` in the labels' order; a row's colour is its fraction.

    A label without pictures has a hatched row.
    """
    support = counts.sum(axis=1)
    cell = min(0.9, max(0.3, 6.5 / len(labels)))  # inches
    level = cell >= 0.85  # up to 7 labels have room for names side by side
    side = cell * len(labels)
    left, bottom = _LABEL_WIDTH + 0.45, 0.75 if level else _LABEL_WIDTH + 0.35
    with canvas.figure(path, left + max(side, 4.2) + 0.2, bottom + side + 0.75) as figure:
        axes = canvas.axes(figure, left, bottom, side, side)
        _draw_cells(axes, counts, cell)
        _name_axes(axes, labels, support, cell, level)
        title = f"{split}: {support.sum()} pictures, {np.trace(counts)} right"
        canvas.text(figure, 0.12, 0.3, title, fontsize=12, va="center")
        rows = "rows: actual (pictures)"
        canvas.text(figure, 0.12, 0.55, rows, fontsize=9, color=FAINT, va="center")


def _draw_cells(axes: Axes, counts: NDArray[np.int64], cell: float) -> None:
    n = len(counts)
    support = counts.sum(axis=1)
    fractions = counts / np.maximum(support, 1)[:, None]
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1.25, aspect="auto")
    for row in np.flatnonzero(support == 0):
        axes.axhspan(row - 0.5, row + 0.5, facecolor="#f6f8fa", edgecolor=GRID, hatch="//")
    # Three quarters of a cell, a digit being about 0.64 of the font's size wide.
    digits = len(str(counts.max(initial=0)))
    size = min(11.0, cell * 30, cell * POINTS * 0.75 / 0.64 / digits)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour, shown = "white" if fractions[row, column] > 0.6 else INK, str(count)
        elif support[row] and n <= MOST_DOTTED:
            colour, shown = FAINT, "·"
        else:
            continue
        axes.text(column, row, shown, ha="center", va="center", color=colour, fontsize=size)
    borders = np.arange(n + 1) - 0.5
    axes.set_xticks(borders, minor=True)
    axes.set_yticks(borders, minor=True)
    axes.grid(which="minor", color=GRID, linewidth=0.6)
    axes.tick_params(which="both", length=0)


def _name_axes(
    axes: Axes, labels: Sequence[str], support: NDArray[np.int64], cell: float, level: bool
) -> None:
    size = min(10.0, cell * 32)
    room = _LABEL_WIDTH * POINTS
    rows = fit_distinct(labels, room - text_width("  (0000)", size), size)
    named = [f"{label} ({count})" for label, count in zip(rows, support, strict=True)]
    axes.set_yticks(range(len(labels)), named)
    if level:
        columns = fit_distinct(labels, cell * POINTS * 0.94, size, lines=2)
    else:
        columns = fit_distinct(labels, room, size)
    axes.set_xticks(range(len(labels)), columns, rotation=0 if level else 90)
    axes.tick_params(labelsize=size)
    axes.set_xlabel("predicted", color=FAINT)
