"""What is behind the people: walls, rooms, shelves, the open air.

Everything here is drawn from the same distribution whoever is in the picture: nothing but the face
tells the people of the sample apart. Each function gives (rows, columns, 3), sRGB 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from whoswho.sample.brushes import Floats, any_colour, blur, clouds, smooth


def _wall(random: np.random.Generator, height: int, width: int) -> Floats:
    """A plain wall, lighter on one side."""
    start, end = np.asarray(any_colour(random, 0.25)), np.asarray(any_colour(random, 0.25))
    end = start + 0.45 * (end - start)
    ramp = np.linspace(0, 1, width)[None, :, None] * random.uniform(0.2, 1)
    ramp = ramp + np.linspace(0, 1, height)[:, None, None] * random.uniform(0, 0.6)
    grain = 0.015 * clouds(random, height, width, (30, 30), 2)
    return np.asarray(start + (end - start) * ramp + grain[..., None], np.float32)


def _lights(random: np.random.Generator, height: int, width: int) -> Floats:
    """A dark room with lamps far out of focus."""
    picture = np.tile(np.asarray(any_colour(random, 0.04, 0.25), np.float32), (height, width, 1))
    row, column = np.mgrid[0:height, 0:width].astype(np.float32)
    for _ in range(int(random.integers(8, 26))):
        away = np.hypot(row - random.uniform(0, height), column - random.uniform(0, width))
        radius = random.uniform(0.03, 0.11) * width
        fraction = random.uniform(0.2, 0.8) * smooth(radius, radius * 0.85, away)
        picture += (np.asarray(any_colour(random, 0.4, 0.95)) - picture) * fraction[..., None]
    return picture.astype(np.float32)


def _outdoors(random: np.random.Generator, height: int, width: int) -> Floats:
    """Sky over hills over a meadow, out of focus."""
    return blur(landscape(random, height, width), random.uniform(1, 6))


def landscape(random: np.random.Generator, height: int, width: int) -> Floats:
    """Sky with clouds over hills over a meadow (rows, columns, 3; sRGB 0 to 1), nobody in it."""
    row, column = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j].astype(np.float32)
    sky = np.array([0.5, 0.68, 0.9]) + 0.25 * row[..., None] + random.normal(0, 0.05, 3)
    sky = sky + 0.12 * smooth(0.0, 1.5, clouds(random, height, width, (5, 4), 3))[..., None]
    ground = np.array([0.25, 0.42, 0.16]) + random.normal(0, 0.06, 3)
    ground = ground * (1 + 0.14 * clouds(random, height, width, (24, 12), 3))[..., None]
    hills = np.array([0.3, 0.38, 0.36]) * random.uniform(0.7, 1.2) * np.ones((height, width, 1))
    crest = random.uniform(0.3, 0.6) + 0.06 * clouds(random, 1, width, (1, 4), 2)
    picture = np.where((row > crest)[..., None], hills, sky)
    meadow = crest.mean() + 0.12 + 0.03 * np.sin(5 * column + random.uniform(0, 6))
    return np.clip(np.where((row > meadow)[..., None], ground, picture), 0, 1).astype(np.float32)


def _shelves(random: np.random.Generator, height: int, width: int) -> Floats:
    """Shelves with the backs of books."""
    picture = np.tile(np.asarray(any_colour(random, 0.1, 0.4), np.float32), (height, width, 1))
    shelf = int(height * random.uniform(0.16, 0.3))
    for top in range(-int(random.integers(shelf)), height, shelf):
        left = 0
        while left < width:
            wide = int(width * random.uniform(0.02, 0.07)) + 1
            start = max(top + int(shelf * random.uniform(0.08, 0.35)), 0)
            end = max(top + int(0.92 * shelf), 0)
            picture[start:end, left : left + wide] = any_colour(random)
            left += wide + int(random.random() < 0.15) * wide
    return blur(picture, random.uniform(1.5, 5))


def _bricks(random: np.random.Generator, height: int, width: int) -> Floats:
    """A wall of bricks or tiles."""
    tall, wide = random.uniform(0.04, 0.09) * height, random.uniform(0.1, 0.2) * width
    row, column = np.mgrid[0:height, 0:width].astype(np.float32)
    layer = np.floor(row / tall)
    along = column / wide + 0.5 * (layer % 2)
    joint = np.minimum((row / tall) % 1 * tall, along % 1 * wide)
    tone = np.sin(12.9898 * layer + 78.233 * np.floor(along)) * 43758.5453 % 1  # a hash per brick
    colour = np.asarray(any_colour(random, 0.2, 0.8))
    bricks = colour * (0.85 + 0.3 * tone)[..., None]
    mortar = np.asarray(any_colour(random, 0.3, 0.8))
    fraction = smooth(2.2, 1.0, joint.astype(np.float32))[..., None]
    return blur((bricks + (mortar - bricks) * fraction).astype(np.float32), random.uniform(0.5, 3))


def _curtain(random: np.random.Generator, height: int, width: int) -> Floats:
    """The folds of a stage's curtain."""
    waves = clouds(random, 1, width, (1, int(random.integers(6, 16))), 2) * np.ones((height, 1))
    colour = np.asarray(any_colour(random, 0.15, 0.7))
    return np.asarray(colour * (1 + 0.3 * waves)[..., None], np.float32)


def _window(random: np.random.Generator, height: int, width: int) -> Floats:
    """A room with a bright window to one side."""
    picture = _wall(random, height, width) * np.float32(0.7)
    left, top = random.uniform(-0.2, 0.8) * width, random.uniform(-0.1, 0.3) * height
    right = left + random.uniform(0.25, 0.5) * width
    bottom = top + random.uniform(0.4, 0.7) * height
    row, column = np.mgrid[0:height, 0:width].astype(np.float32)
    pane = (column > left) & (column < right) & (row > top) & (row < bottom)
    bars = (np.abs(column - (left + right) / 2) < 0.012 * width) | (
        np.abs(row - (top + bottom) / 2) < 0.012 * height
    )
    picture[pane & ~bars] = 0.35 * np.asarray(any_colour(random, 0.5)) + 0.62
    return blur(picture, random.uniform(1, 4))


def _shapes(random: np.random.Generator, height: int, width: int) -> Floats:
    """A sponsor's wall or poster: blocks of colour, out of focus."""
    picture = np.tile(np.asarray(any_colour(random), np.float32), (height, width, 1))
    for _ in range(int(random.integers(10, 30))):
        top, left = int(random.integers(height)), int(random.integers(width))
        tall = int(random.uniform(0.03, 0.2) * height)
        wide = int(random.uniform(0.05, 0.35) * width)
        picture[top : top + tall, left : left + wide] = any_colour(random)
    return blur(picture, random.uniform(1, 5))


BACKGROUNDS: dict[str, Callable[[np.random.Generator, int, int], Floats]] = {
    "bricks": _bricks,
    "curtain": _curtain,
    "lights": _lights,
    "outdoors": _outdoors,
    "shapes": _shapes,
    "shelves": _shelves,
    "wall": _wall,
    "window": _window,
}
