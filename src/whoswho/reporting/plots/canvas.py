"""A figure in our style, its axes placed in inches, saved without version or date.

No pyplot and no style of the user's takes part, so the same values give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whoswho.paths import fresh_file
from whoswho.reporting.pages import fonts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
POINTS = 72  # an inch
INK, FAINT, PALE, GRID = "#1f2328", "#8b949e", "#eaeef2", "#d0d7de"
BLUE, ORANGE, GREEN, RED = "#1f6feb", "#d9730d", "#1a7f37", "#cf222e"


@contextmanager
def style() -> Iterator[None]:
    """matplotlib's own defaults, whatever the user's matplotlibrc says, with our fonts."""
    family = list(fonts.families())
    import matplotlib.style

    ours: dict[str, Any] = {
        "font.family": family,
        "font.size": 9.5,
        "text.parse_math": False,  # a label may hold dollar signs
        "text.color": INK,
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
        "axes.titlelocation": "left",
        "axes.titlesize": 11,
        "grid.color": PALE,
        "xtick.color": INK,
        "ytick.color": INK,
        "hatch.linewidth": 0.5,
        "legend.frameon": False,
    }
    with matplotlib.style.context(["default", ours]):
        yield


@contextmanager
def figure(path: Path, width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches, drawn in the block and then written to `path` as PNG."""
    with style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        drawn = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(drawn)
        yield drawn
        save(drawn, path)


def save(drawn: Figure, path: Path) -> None:
    """Write the PNG, without matplotlib's version in it."""
    with fresh_file(path) as partial:
        drawn.savefig(partial, format="png", metadata={"Software": None})


def axes(
    drawn: Figure, left: float, bottom: float, width: float, height: float, *, frame: bool = True
) -> Axes:
    """Axes placed in inches; without `frame` their upper and right sides are open."""
    across, up = drawn.get_size_inches()
    made = drawn.add_axes((left / across, bottom / up, width / across, height / up))
    if not frame:
        made.spines[["top", "right"]].set_visible(False)
    return made


def text(drawn: Figure, left: float, top: float, content: str, **style: Any) -> None:
    """Write text so many inches from the figure's left and upper side."""
    across, up = drawn.get_size_inches()
    drawn.text(left / across, 1 - top / up, content, **style)
