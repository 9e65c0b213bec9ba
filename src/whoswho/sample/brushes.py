"""The brushes everything is painted with: steps, noise, hills, blur, colours as light."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Floats = NDArray[np.floating[Any]]  # float32 wherever it is large
Colour = tuple[float, float, float]  # sRGB, each 0 to 1


def linear(colour: Colour | Floats) -> Floats:
    """sRGB values, 0 to 1, as linear light."""
    return np.power(np.asarray(colour, dtype=np.float32), np.float32(2.2))


def smooth(low: float | Floats, high: float | Floats, value: Floats) -> Floats:
    """0 below low, 1 above high, a smooth step between; low above high turns the step round."""
    fraction = np.clip((value - low) / (np.asarray(high) - low), 0, 1).astype(np.float32)
    return fraction * fraction * (3 - 2 * fraction)


def clouds(
    random: np.random.Generator, rows: int, columns: int, cells: tuple[int, int], octaves: int = 1
) -> Floats:
    """Smooth noise (rows, columns) of mean about 0 and deviation about 1.

    cells: lumps along rows and columns in the first octave; each further one doubles them.
    """
    total = np.zeros((rows, columns), np.float32)
    for octave in range(octaves):
        grid = random.standard_normal((cells[0] * 2**octave + 1, cells[1] * 2**octave + 1))
        layer = Image.fromarray(grid.astype(np.float32)).resize(
            (columns, rows), Image.Resampling.BICUBIC
        )
        total += np.asarray(layer, np.float32) * 0.6**octave
    return total


def bump(x: Floats, y: Floats, at: tuple[float, float], spread: tuple[float, float]) -> Floats:
    """A hill of height 1 at a place, symmetric: also at -x."""
    across = (np.abs(x) - at[0]) / np.float32(spread[0])
    along = (y - at[1]) / np.float32(spread[1])
    return np.exp(-across * across - along * along)


def mix(paint: Floats, colour: Colour | Floats, fraction: Floats) -> None:
    """Paints a linear colour over the first three channels, in place, by a fraction (0 to 1)."""
    seen = fraction > 0.003  # below, less than a step of 8 bits; most features are a small window
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not len(rows):
        return
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    part = paint[window][..., :3]
    part += (np.asarray(colour, np.float32) - part) * fraction[window][..., None]


def blur(values: Floats, radius: float) -> Floats:
    """A Gaussian blur of (rows, columns) or (rows, columns, channels), values 0 to 1."""
    if radius <= 0:
        return values
    eight = np.clip(values * 255 + 0.5, 0, 255).astype(np.uint8)
    soft = Image.fromarray(eight).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(soft, np.float32) / 255


def any_colour(random: np.random.Generator, low: float = 0.05, high: float = 0.9) -> Colour:
    """A colour of any hue, more often a muted one."""
    grey = random.uniform(low, high)
    lean = random.uniform(0, 0.2) * random.standard_normal(3)
    red, green, blue = (float(value) for value in np.clip(grey + lean, 0.02, 0.97))
    return red, green, blue
