"""The figures. They draw what they are given; every label is fitted, never boxed, never overlaps.

No pyplot and no style of the user's takes part, and a PNG holds no version or date, so the same
values give the same bytes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from whoswho.paths import fresh_file
from whoswho.reporting import fonts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
POINTS = 72  # an inch
INK, FAINT, BLUE, ORANGE, GREEN, RED = (
    "#1f2328", "#8b949e", "#1f6feb", "#d9730d", "#1a7f37", "#cf222e",
)  # fmt: skip
COLUMNS = 6  # pictures a row, as the blog shows them
MOST_DOTTED = 40  # labels; a larger matrix leaves its zeros out
MOST_PICTURES = 60  # on one contact sheet
_STYLED = {
    "axes", "figure", "font", "grid", "hatch", "image", "legend", "lines", "mathtext", "patch",
    "path", "savefig", "scatter", "text", "xaxis", "xtick", "yaxis", "ytick",
}  # fmt: skip


class Titled(NamedTuple):
    """A judged picture: what it shows and what the model says, with its probability."""

    image: Image.Image
    actual: str
    predicted: str
    probability: float


class Seen(NamedTuple):
    """A judged picture with what the model looked at."""

    image: Image.Image
    actual: str
    predicted: str
    probability: float
    heat: np.ndarray  # height, width; 0 to 1


def confusion_matrix(
    labels: Sequence[str], matrix: np.ndarray, path: Path, *, split: str = "test"
) -> None:
    """Counts of `matrix[actual, predicted]` in the labels' order; a row's colour is its share."""
    matrix = np.asarray(matrix, dtype=int)
    n = len(labels)
    cell = min(0.9, max(0.3, 6.5 / n))  # inches; up to 7 labels have room for names side by side
    level = cell >= 0.85
    label_width = 2.1
    support = matrix.sum(axis=1)
    side = cell * n
    bottom = 0.75 if level else label_width + 0.35
    with _figure(label_width + 0.45 + max(side, 4.2) + 0.2, bottom + side + 0.75) as figure:
        axes = _axes(figure, label_width + 0.45, bottom, side, side)
        share = matrix / np.maximum(support, 1)[:, None]
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1.25, aspect="auto")
        # Three quarters of a cell, a digit being about 0.64 of the font's size wide.
        digits = len(str(int(matrix.max(initial=0))))
        size = min(11.0, cell * 30, cell * POINTS * 0.75 / 0.64 / digits)
        for i in range(n):
            if not support[i]:
                axes.axhspan(
                    i - 0.5, i + 0.5, facecolor="#f6f8fa", edgecolor="#d0d7de", hatch="//"
                )
            for j in range(n):
                count = int(matrix[i, j])
                if count:
                    colour = "white" if share[i, j] > 0.6 else INK
                    axes.text(
                        j, i, str(count), ha="center", va="center", color=colour, fontsize=size
                    )
                elif support[i] and n <= MOST_DOTTED:
                    axes.text(j, i, "·", ha="center", va="center", color=FAINT, fontsize=size)
        room = label_width * POINTS
        counts = [f" ({count})" for count in support]
        text_size = min(10.0, cell * 32)
        rows = _distinct(labels, room - _width("  (0000)", text_size), text_size)
        axes.set_yticks(range(n), [f"{a}{b}" for a, b in zip(rows, counts, strict=True)])
        if level:
            names = _distinct(labels, cell * POINTS * 0.94, text_size, lines=2)
            axes.set_xticks(range(n), names)
        else:
            axes.set_xticks(range(n), _distinct(labels, room, text_size), rotation=90)
        axes.tick_params(length=0, labelsize=text_size)
        axes.set_xticks(np.arange(n + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(n + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="#d0d7de", linewidth=0.6)
        axes.tick_params(which="minor", length=0)
        axes.set_xlabel("predicted", color=FAINT)
        figure.text(
            0.12 / figure.get_figwidth(), 1 - 0.3 / figure.get_figheight(),
            f"{split}: {int(support.sum())} pictures, {int(np.trace(matrix))} right",
            fontsize=12, va="center",
        )  # fmt: skip
        figure.text(
            0.12 / figure.get_figwidth(), 1 - 0.55 / figure.get_figheight(),
            "rows: actual (pictures)", fontsize=9, color=FAINT, va="center",
        )  # fmt: skip
        _save(figure, path)


def history(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Loss and accuracy over the epochs, training beside validation; one point an epoch."""
    epochs = [int(row["epoch"]) for row in rows]
    with _figure(9, 3.6) as figure:
        from matplotlib.ticker import MaxNLocator

        for place, (quantity, unit) in enumerate(
            (("loss", "cross-entropy"), ("accuracy", "share"))
        ):
            axes = _axes(figure, 0.75 + 4.45 * place, 0.6, 3.6, 2.55)
            for split, colour, mark in (("train", BLUE, "o"), ("validation", ORANGE, "s")):
                points = [
                    (epoch, float(row[f"{split}/{quantity}"]))
                    for epoch, row in zip(epochs, rows, strict=True)
                    if row.get(f"{split}/{quantity}") not in (None, "")
                ]
                if points:
                    axes.plot(
                        *zip(*points, strict=True), mark + "-", color=colour, label=split, ms=4
                    )
            axes.set_title(quantity, loc="left", fontsize=11)
            axes.set_xlabel("epoch")
            axes.set_ylabel(unit)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            if quantity == "accuracy":
                axes.set_ylim(-0.03, 1.03)
            axes.grid(color="#eaeef2")
            _open_frame(axes)
            if axes.lines:
                axes.legend(frameon=False)
        _save(figure, path)


def calibration(
    confidence: Sequence[float], right: Sequence[bool], path: Path, *,
    uncalibrated: Sequence[float] | None = None, split: str = "test", bins: int = 10,
) -> None:  # fmt: skip
    """How often the model is right against how sure it says it is.

    Args:
        confidence: the probability of each picture's answer, 0 to 1, temperature-scaled.
        uncalibrated: the same without the temperature.
    """
    with _figure(5.6, 5.4) as figure:
        above = _axes(figure, 0.75, 1.75, 4.6, 3.2)
        below = _axes(figure, 0.75, 0.55, 4.6, 0.95)
        above.plot([0, 1], [0, 1], "--", color=FAINT, linewidth=1, label="as sure as right")
        series = [("with temperature", confidence, BLUE, "o-")]
        if uncalibrated is not None:
            series.append(("without", uncalibrated, ORANGE, "s:"))
        for name, values, colour, mark in series:
            centres, probabilities, _ = _bins(values, right, bins)
            above.plot(centres, probabilities, mark, color=colour, label=name, markersize=5)
        above.set_title(f"{split}: {len(confidence)} pictures", loc="left", fontsize=11)
        above.set_ylabel("share right")
        above.set_xlim(0, 1)
        above.set_ylim(-0.03, 1.03)
        above.grid(color="#eaeef2")
        above.legend(frameon=False, loc="upper left", fontsize=8)
        edges = [edge / bins for edge in range(bins + 1)]
        below.hist(np.clip(confidence, 0, 1), bins=edges, color=BLUE, rwidth=0.9)
        below.set_xlim(0, 1)
        below.set_xlabel("probability of the answer")
        below.set_ylabel("pictures")
        for axes in (above, below):
            _open_frame(axes)
        _save(figure, path)


def mistakes(
    items: Sequence[Titled], path: Path, *, total: int, wrong: int | None = None,
    split: str = "test",
) -> None:  # fmt: skip
    """A contact sheet of the wrong pictures, the surest first: actual -> predicted, probability.

    Args:
        total: how many pictures were judged.
        wrong: how many of them the model got wrong, where `items` are not all of these.
    """
    shown = items[:MOST_PICTURES]
    wrong = len(items) if wrong is None else wrong
    title = f"{split}: {wrong} of {total} pictures wrong"
    if len(shown) < wrong:
        title += f", the {len(shown)} the model was surest of"
    tiles = [
        Tile(item.image, _verdict(item.actual, item.predicted), f"{item.probability:.2f}")
        for item in shown
    ]
    _sheet(tiles, path, title=title)


def attention(items: Sequence[Seen], path: Path, *, split: str = "test") -> None:
    """Each picture, and over it where the model looked for the name it gave."""
    tiles = []
    for item in items:
        caption = _verdict(item.actual, item.predicted)
        tiles.append(Tile(_beside(item.image, item.heat), caption, f"{item.probability:.2f}"))
    _sheet(tiles, path, title=f"{split}: what counted for the answer", columns=3, width=2.9)


def strip(items: Sequence[tuple[Image.Image, str]], path: Path) -> None:
    """The pictures in rows of six, each titled with its name."""
    _sheet([Tile(image, [Line("", title, INK)]) for image, title in items], path)


class Line(NamedTuple):
    """A label in a caption, with a mark before it that stays there whatever way it is read."""

    mark: str
    label: str
    colour: str


class Tile(NamedTuple):
    """A picture of a sheet and what stands over it."""

    image: Image.Image
    caption: Sequence[Line]
    note: str = ""

    @property
    def shape(self) -> float:
        """Height over width of the place it takes; a taller picture is drawn narrower."""
        return min(1.6, self.image.height / self.image.width)


def _verdict(actual: str, predicted: str) -> list[Line]:
    colour = GREEN if actual == predicted else RED
    return [Line("", actual, INK), Line("→", predicted, colour)]


def _sheet(
    tiles: Sequence[Tile], path: Path, *, title: str = "", columns: int = COLUMNS,
    width: float = 1.55,
) -> None:  # fmt: skip
    """Pictures in a grid, each under its own lines; all measures in inches."""
    size, line, gap, indent = 9.0, 0.165, 0.14, 0.17
    captions = [
        [
            Line(mark, fit(label, (width - (indent if mark else 0.02)) * POINTS, size, 2), colour)
            for mark, label, colour in tile.caption
        ]
        + ([Line("", tile.note, FAINT)] if tile.note else [])
        for tile in tiles
    ]
    per_row = min(columns, max(len(tiles), 1))
    rows = [
        range(start, min(start + columns, len(tiles))) for start in range(0, len(tiles), columns)
    ]
    heights = []
    for row in rows:
        text = max(sum(_lines(line.label) for line in captions[i]) for i in row) * line
        heights.append((text, width * max(tiles[i].shape for i in row)))
    head = 0.45 if title else 0.1
    across = max(per_row * (width + gap) + gap, 5.0 if title else 0.0)
    up = head + sum(sum(pair) + gap * 1.8 for pair in heights) + (0.1 if rows else 0.5)
    with _figure(across, up) as figure:
        if title:
            figure.text(gap / across, 1 - 0.24 / up, title, fontsize=11, va="center")
        if not tiles:
            figure.text(gap / across, 0.35 / up, "none", color=FAINT, fontsize=11)
        top = up - head
        for row, (text_height, picture_height) in zip(rows, heights, strict=True):
            for column, i in enumerate(row):
                left = gap + column * (width + gap)
                at = top - text_height + 0.03
                for mark, label, colour in reversed(captions[i]):
                    height = _lines(label) * line
                    style: dict[str, Any] = {"color": colour, "fontsize": size, "linespacing": 1.0}
                    beside = indent if mark else 0
                    figure.text((left + beside) / across, at / up, label, va="bottom", **style)
                    if mark:
                        mark += "\n" * (_lines(label) - 1)
                        figure.text(left / across, at / up, mark, va="bottom", **style)
                    at += height
                picture = _thumbnail(tiles[i], width)
                high, wide = picture.shape[0] / DPI, picture.shape[1] / DPI
                axes = _axes(figure, left, top - text_height - 0.06 - high, wide, high)
                axes.imshow(picture, interpolation="none", aspect="auto")
                axes.set_axis_off()
            top -= text_height + picture_height + gap * 1.8
        _save(figure, path)


def _lines(text: str) -> int:
    return text.count("\n") + 1


def fit(text: str, width: float, size: float, lines: int = 1) -> str:
    """`text` made drawable and laid on at most `lines` lines of `width` points.

    What is too long loses its middle, so that beginning and end can still tell two names apart.
    """
    pieces = fonts.clusters(fonts.drawable(text))
    laid = _lay(pieces, width, size)
    if len(laid) <= lines:
        return "\n".join(laid)
    shortest, longest = 0, len(pieces)
    while longest - shortest > 1:
        middle = (shortest + longest) // 2
        if len(_lay(_without_middle(pieces, middle), width, size)) <= lines:
            shortest = middle
        else:
            longest = middle
    return "\n".join(_lay(_without_middle(pieces, shortest), width, size))


def _without_middle(pieces: list[str], kept: int) -> list[str]:
    tail = kept // 3
    return [*pieces[: kept - tail], "…", *pieces[len(pieces) - tail :]]


def _lay(pieces: Sequence[str], width: float, size: float) -> list[str]:
    """Lines of at most `width` points, broken at spaces where there are any."""
    lines: list[list[str]] = [[]]
    for piece in pieces:
        line = lines[-1]
        if line and _width("".join([*line, piece]), size) > width:
            space = len(line) - 1 - line[::-1].index(" ") if " " in line else 0
            if piece == " ":
                lines.append([])
            elif space:
                lines[-1] = line[:space]
                lines.append([*line[space + 1 :], piece])
            else:
                lines.append([piece])
        else:
            line.append(piece)
    return ["".join(line) for line in lines if line] or [""]


def _distinct(labels: Sequence[str], width: float, size: float, lines: int = 1) -> list[str]:
    """The labels fitted; those that then look alike get their place in the order before them."""
    fitted = [fit(label, width, size, lines) for label in labels]
    return [
        fit(f"{i + 1} {label}", width, size, lines) if fitted.count(fitted[i]) > 1 else fitted[i]
        for i, label in enumerate(labels)
    ]


@functools.lru_cache(maxsize=65536)
def _width(text: str, size: float) -> float:
    """Width of one line in points."""
    renderer, properties = _ruler()
    properties.set_size(size)
    with _style():
        width, _, _ = renderer.get_text_width_height_descent(text, properties, ismath=False)
    return float(width) * POINTS / DPI


@functools.cache
def _ruler() -> tuple[Any, Any]:
    family = list(fonts.families())
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    renderer = RendererAgg(10, 10, DPI)  # type: ignore[no-untyped-call]
    return renderer, FontProperties(family=family)


@contextmanager
def _style() -> Iterator[None]:
    """matplotlib's own defaults, whatever the user's matplotlibrc says, with our fonts."""
    family = list(fonts.families())
    import matplotlib

    defaults: dict[Any, Any] = {
        key: value
        for key, value in matplotlib.rcParamsDefault.items()
        if key.partition(".")[0] in _STYLED
    }
    ours: dict[Any, Any] = {
        "font.family": family,
        "font.size": 9.5,
        "text.parse_math": False,  # a label may hold dollar signs
        "text.color": INK,
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "hatch.linewidth": 0.5,
    }
    with matplotlib.rc_context({**defaults, **ours}):
        yield


@contextmanager
def _figure(width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches; everything drawn in the block has our style."""
    with _style():
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)
        yield figure


def _axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes placed in inches."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def _open_frame(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: Path) -> None:
    with fresh_file(path) as partial:
        # By default a PNG names matplotlib's version.
        figure.savefig(partial, format="png", metadata={"Software": None})


def _thumbnail(tile: Tile, width: float) -> np.ndarray:
    """The picture at the size it is drawn at, so that no two interpolations meet."""
    image = tile.image.convert("RGB")
    high = max(1, round(width * tile.shape * DPI))
    wide = min(round(width * DPI), max(1, round(high * image.width / image.height)))
    return np.asarray(image.resize((wide, high), Image.Resampling.LANCZOS))


def _beside(image: Image.Image, heat: np.ndarray) -> Image.Image:
    """The picture, and the picture under its heat map, side by side."""
    import matplotlib

    image = image.convert("RGB")
    scaled = Image.fromarray((np.clip(heat, 0, 1) * 255).astype(np.uint8)).resize(
        image.size, Image.Resampling.BICUBIC
    )
    strength = np.asarray(scaled, dtype=np.float64)[..., None] / 255
    colour = matplotlib.colormaps["inferno"](strength[..., 0])[..., :3] * 255
    mixed = np.asarray(image) * (1 - 0.65 * strength) + colour * 0.65 * strength
    both = Image.new("RGB", (image.width * 2 + 4, image.height), "white")
    both.paste(image, (0, 0))
    both.paste(Image.fromarray(mixed.round().astype(np.uint8)), (image.width + 4, 0))
    return both


def _bins(
    confidence: Sequence[float], right: Sequence[bool], bins: int
) -> tuple[list[float], list[float], list[int]]:
    """Mean confidence, share right and number of pictures of every bin that is not empty."""
    values, hits = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    place = np.minimum((values * bins).astype(int), bins - 1)
    filled = [b for b in range(bins) if (place == b).any()]
    return (
        [float(values[place == b].mean()) for b in filled],
        [float(hits[place == b].mean()) for b in filled],
        [int((place == b).sum()) for b in filled],
    )
