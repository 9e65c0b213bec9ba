"""Sheets of pictures, each over its caption: mistakes, attention, predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from whoswho.artifacts.predictions import PredictionRow
from whoswho.reporting.plots import canvas
from whoswho.reporting.plots.canvas import DPI, FAINT, GREEN, INK, POINTS, RED
from whoswho.reporting.plots.fitting import fit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 6  # pictures a row, as the blog shows them
MOST_PICTURES = 60  # on one sheet
_TALLEST = 1.6  # height over width; a taller picture is drawn narrower
_FONT_SIZE = 9.0  # points
# Inches: a line of a caption, the space between pictures, what stands before a marked line.
_LINE, _GAP, _INDENT = 0.165, 0.14, 0.17


class CaptionLine(NamedTuple):
    """A text in a caption; the mark before it stays there whatever way the text is read."""

    text: str
    colour: str
    mark: str = ""

    @property
    def height(self) -> float:
        """Inches."""
        return (self.text.count("\n") + 1) * _LINE


class Panel(NamedTuple):
    """A picture of a sheet and what stands under it."""

    image: Image.Image
    caption: Sequence[CaptionLine]


def judged(image: Image.Image, actual: str, predicted: str, probability: float) -> Panel:
    """A picture over its label, the answer in green where it is right, and its probability."""
    answer = CaptionLine(predicted, GREEN if actual == predicted else RED, mark="→")
    sure = CaptionLine(f"{probability:.2f}", FAINT)
    return Panel(image, [CaptionLine(actual, INK), answer, sure])


def disagreement(image: Image.Image, first: PredictionRow, second: PredictionRow) -> Panel:
    """A picture over its label, then the answer of each of two models, green where it is right."""
    lines = [CaptionLine(first.actual, INK)]
    for mark, row in (("A", first), ("B", second)):
        text = f"{row.predicted} {row.probability:.2f}"
        lines.append(CaptionLine(text, GREEN if row.right else RED, mark))
    return Panel(image, lines)


def mistakes(
    pictures: Sequence[Panel], path: Path, *, wrong: int, total: int, split: str = "test"
) -> None:
    """Draw the wrong pictures, the surest first; at most MOST_PICTURES.

    Args:
        wrong: how many the model got wrong; `pictures` need not be all of them.
        total: how many it was judged on.
    """
    shown = pictures[:MOST_PICTURES]
    title = f"{split}: {wrong} of {total} pictures wrong"
    if len(shown) < wrong:
        title += f", the {len(shown)} the model was surest of"
    _sheet(shown, path, title=title)


def attention(
    pictures: Sequence[tuple[Panel, NDArray[np.float64]]], path: Path, *, split: str = "test"
) -> None:
    """Draw each picture, and beside it where the model looked for the name it gave.

    Args:
        pictures: with a heat map each, (height, width) of any size, 0 to 1.
    """
    panels = [
        panel._replace(image=_beside_its_heat(panel.image, heat)) for panel, heat in pictures
    ]
    _sheet(panels, path, title=f"{split}: what counted for the answer", columns=3, width=2.9)


def training_batch(
    pictures: Sequence[tuple[Image.Image, str, int]], path: Path, *, total: int
) -> None:
    """Draw training pictures as the network sees them, each over its label and view's number.

    Args:
        total: how many training pictures there are.
    """
    panels = [
        Panel(image, [CaptionLine(label, INK), CaptionLine(f"view {number}", FAINT)])
        for image, label, number in pictures
    ]
    _sheet(
        panels, path, title=f"train: {len(panels)} of {total} pictures as the network sees them"
    )


def disagreements(pictures: Sequence[Panel], path: Path) -> None:
    """Draw the pictures that one of two models got right, those of the first before the other's.

    At most MOST_PICTURES.
    """
    title = f"right by one model alone: {len(pictures)}"
    shown = pictures[:MOST_PICTURES]
    if len(shown) < len(pictures):
        title += f", the first {len(shown)}"
    _sheet(shown, path, title=title)


def strip(
    pictures: Sequence[tuple[Image.Image, str, float]], path: Path, *, title: str = ""
) -> None:
    """Draw pictures in rows of six, each over the name it was given and its probability."""
    panels = [
        Panel(image, [CaptionLine(name, INK), CaptionLine(f"{probability:.2f}", FAINT)])
        for image, name, probability in pictures
    ]
    _sheet(panels, path, title=title)


def _sheet(
    panels: Sequence[Panel],
    path: Path,
    *,
    title: str = "",
    columns: int = COLUMNS,
    width: float = 1.55,
) -> None:
    """Draw pictures of `width` inches in a grid; a row is as high as its highest members."""
    fitted = [
        Panel(_resized(panel.image, width), _fitted(panel.caption, width)) for panel in panels
    ]
    rows = [fitted[start : start + columns] for start in range(0, len(fitted), columns)]
    heights = [
        (
            max(image.height for image, _ in row) / DPI,
            max(sum(line.height for line in caption) for _, caption in row),
        )
        for row in rows
    ]
    head = 0.45 if title else 0.1
    across = min(columns, max(len(panels), 1)) * (width + _GAP) + _GAP
    up = head + sum(map(sum, heights)) + 2 * _GAP * len(rows) + (0 if rows else 0.5)
    with canvas.figure(path, max(across, 5.0) if title else across, up) as figure:
        canvas.text(figure, _GAP, 0.24, title, fontsize=11, va="center")
        if not rows:
            canvas.text(figure, _GAP, head + 0.2, "none", color=FAINT, fontsize=11, va="center")
        top = head
        for row, (picture_height, caption_height) in zip(rows, heights, strict=True):
            top += picture_height
            for column, (image, caption) in enumerate(row):
                left = _GAP + column * (width + _GAP)
                figure.figimage(np.asarray(image), round(left * DPI), round((up - top) * DPI))
                _write_caption(figure, caption, left, top + 0.05)
            top += caption_height + 2 * _GAP


def _fitted(caption: Sequence[CaptionLine], width: float) -> list[CaptionLine]:
    """The caption, each text laid on at most two lines of `width` inches."""
    return [
        CaptionLine(
            fit(text, (width - (_INDENT if mark else 0.02)) * POINTS, _FONT_SIZE, 2), colour, mark
        )
        for text, colour, mark in caption
    ]


def _write_caption(
    figure: Figure, caption: Sequence[CaptionLine], left: float, top: float
) -> None:
    for line in caption:
        style = {"color": line.colour, "fontsize": _FONT_SIZE, "linespacing": 1.0, "va": "top"}
        canvas.text(figure, left, top, line.mark, **style)
        canvas.text(figure, left + (_INDENT if line.mark else 0), top, line.text, **style)
        top += line.height


def _resized(image: Image.Image, width: float) -> Image.Image:
    """The picture at the size it is drawn at, so that no two interpolations meet."""
    scale = DPI * width * min(1 / image.width, _TALLEST / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def _beside_its_heat(image: Image.Image, heat: NDArray[np.float64]) -> Image.Image:
    """The picture, and the picture under its heat map, side by side."""
    both = Image.new("RGB", (image.width * 2 + 4, image.height), "white")
    both.paste(image.convert("RGB"), (0, 0))
    both.paste(under_its_heat(image, heat), (image.width + 4, 0))
    return both


def under_its_heat(image: Image.Image, heat: NDArray[np.floating]) -> Image.Image:
    """The picture with its heat map over it; where nothing counted, the picture as it is."""
    import matplotlib

    image = image.convert("RGB")
    strength = Image.fromarray((np.clip(heat, 0, 1) * 255).astype(np.uint8))
    strength = strength.resize(image.size, Image.Resampling.BICUBIC)
    colour = matplotlib.colormaps["inferno"](np.asarray(strength), bytes=True)[..., :3]
    cover = strength.point(lambda value: round(0.65 * value))
    return Image.composite(Image.fromarray(colour), image, cover)
