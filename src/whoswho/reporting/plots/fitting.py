"""Labels laid on lines of a given width, measured with the fonts they are drawn in."""

from __future__ import annotations

import functools
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from whoswho.reporting.pages import fonts
from whoswho.reporting.plots import canvas


def fit(text: str, width: float, size: float, lines: int = 1) -> str:
    """`text` made drawable and laid on at most `lines` lines of `width` points.

    What is too long loses its middle, so that beginning and end can still tell two names apart.

    Args:
        size: of the font, in points.
    """
    clusters = fonts.clusters(fonts.drawable(text))
    laid = _lay(clusters, width, size)
    if len(laid) <= lines:
        return "\n".join(laid)

    def shortened(kept: int) -> list[str]:
        tail = kept // 3
        ends = [*clusters[: kept - tail], "…", *clusters[len(clusters) - tail :]]
        return _lay(ends, width, size)

    fitting = bisect_right(range(1, len(clusters)), lines, key=lambda kept: len(shortened(kept)))
    return "\n".join(shortened(fitting))


def fit_distinct(labels: Sequence[str], width: float, size: float, lines: int = 1) -> list[str]:
    """The labels fitted; those that then look alike get their number in the order before them."""
    fitted = [fit(label, width, size, lines) for label in labels]
    return [
        fit(f"{i + 1} {label}", width, size, lines) if fitted.count(fitted[i]) > 1 else fitted[i]
        for i, label in enumerate(labels)
    ]


def _lay(clusters: Sequence[str], width: float, size: float) -> list[str]:
    """Lines of at most `width` points, broken at spaces where there are any."""
    lines: list[list[str]] = [[]]
    for cluster in clusters:
        line = lines[-1]
        if not line or text_width("".join([*line, cluster]), size) <= width:
            line.append(cluster)
            continue
        space = len(line) - 1 - line[::-1].index(" ") if " " in line else 0
        if cluster == " ":
            lines.append([])
        elif space:
            lines[-1] = line[:space]
            lines.append([*line[space + 1 :], cluster])
        else:
            lines.append([cluster])
    return ["".join(line) for line in lines if line] or [""]


@functools.lru_cache(maxsize=65536)
def text_width(text: str, size: float) -> float:
    """Width in points of one line in a font of `size` points."""
    renderer, properties = _renderer()
    properties.set_size(size)
    with canvas.style():
        width, _, _ = renderer.get_text_width_height_descent(text, properties, ismath=False)
    return float(width) * canvas.POINTS / canvas.DPI


@functools.cache
def _renderer() -> tuple[Any, Any]:
    family = list(fonts.families())
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    renderer = RendererAgg(10, 10, canvas.DPI)  # type: ignore[no-untyped-call]
    return renderer, FontProperties(family=family)
