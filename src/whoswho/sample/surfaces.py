"""Draws surfaces in three dimensions: the nearest point of each pixel, lit, with cast shadows.

Lengths are in heads (portrait.py): x to the viewer's right, y up, z towards the viewer. A surface
is a grid of points with colours. All points are turned, the nearest one of each pixel is kept (a
z-buffer), lit by a lamp and by the surroundings, and averaged down to the size of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whoswho.sample.brushes import Colour, Floats, blur, smooth

OVERSAMPLING = 2  # drawn at twice the size and averaged: no jagged edges
_CAMERA_DISTANCE = 7.0  # heads; the mild perspective of a portrait lens
_REACH = 1.75  # heads around the origin that are drawn


@dataclass(frozen=True)
class Light:
    """The light of a scene: one lamp and what the surroundings give back."""

    direction: tuple[float, float, float]  # unit vector towards the lamp
    lamp: Colour  # linear strength per channel
    ambient: Colour


@dataclass(frozen=True)
class Surface:
    """A patch of surface: a grid of points."""

    points: Floats  # rows, columns, 3
    paint: Floats  # rows, columns, 4: linear red, green, blue and gloss
    present: NDArray[np.bool_] | bool = True  # rows, columns


def grid(x: Floats, y: Floats, z: Floats) -> Floats:
    """Points (rows, columns, 3) of coordinates that are broadcast against each other."""
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1).astype(np.float32)


def coat(colour: Floats, gloss: float, rows: int, columns: int) -> Floats:
    """Paint (rows, columns, 4) of one gloss all over; colour: linear, broadcast."""
    paint = np.empty((rows, columns, 4), np.float32)
    paint[..., :3] = colour
    paint[..., 3] = gloss
    return paint


def draw_surfaces(
    canvas: Floats,
    parts: Sequence[tuple[Surface, Floats]],
    origin: tuple[float, float],
    size: float,
    light: Light,
) -> None:
    """Draws surfaces, each with its rotation (3, 3), over the canvas, in place.

    canvas: (rows, columns, 3), linear light. origin: x and y of the origin in pixels. size: pixels
    a head.
    """
    height, width = canvas.shape[:2]
    x, y = origin
    reach = _REACH * size
    left, top = max(int(x - reach), 0), max(int(y - reach), 0)
    right, bottom = min(int(x + reach), width), min(int(y + reach), height)
    columns, rows = (right - left) * OVERSAMPLING, (bottom - top) * OVERSAMPLING
    points, normals, paint = _turned(parts)

    near = _CAMERA_DISTANCE / (_CAMERA_DISTANCE - points[:, 2])
    scale = size * OVERSAMPLING
    column = (x - left) * OVERSAMPLING + scale * points[:, 0] * near
    row = (y - top) * OVERSAMPLING - scale * points[:, 1] * near
    winner = _nearest(column, row, points[:, 2], columns, rows)
    covered = winner >= 0
    shown = winner[covered]

    lamp = np.zeros(rows * columns, np.float32)
    lamp[covered] = _lit(points, light)[shown]
    lamp = blur(lamp.reshape(rows, columns), 0.03 * scale).ravel()[covered]
    depth = np.full(rows * columns, -1.5, np.float32)
    depth[covered] = points[shown, 2]
    crease = _crease(depth.reshape(rows, columns), scale).ravel()[covered]
    image = np.zeros((rows * columns, 4), np.float32)
    image[covered, :3] = _shade(normals[shown], lamp, crease, paint[shown], light)
    image[covered, 3] = 1
    layer = image.reshape(bottom - top, OVERSAMPLING, right - left, OVERSAMPLING, 4).mean((1, 3))
    part = canvas[top:bottom, left:right]
    part *= 1 - layer[..., 3:]
    part += layer[..., :3]


def _turned(parts: Sequence[tuple[Surface, Floats]]) -> tuple[Floats, Floats, Floats]:
    """Turned points (n, 3), their normals (n, 3) and colours (n, 4) of all that may be seen."""
    points, normals, paints = [], [], []
    for surface, rotation in parts:
        normal = _normals(surface.points) @ rotation.T
        seen = surface.present & (normal[..., 2] > -0.4)  # far sides only cost time
        points.append(surface.points[seen] @ rotation.T)
        normals.append(normal[seen])
        paints.append(surface.paint[seen])
    return np.concatenate(points), np.concatenate(normals), np.concatenate(paints)


def rotation(yaw: float, pitch: float, roll: float) -> Floats:
    """Turns points (…, 3) by `points @ rotation.T`: yaw first, then pitch, then roll."""
    c, s = np.cos(yaw), np.sin(yaw)
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    c, s = np.cos(pitch), np.sin(pitch)
    nod = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    c, s = np.cos(roll), np.sin(roll)
    tilt = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return np.asarray(tilt @ nod @ turn, np.float32)


def _normals(points: Floats) -> Floats:
    """Outward unit normals of a grid whose rows run up and columns run to the viewer's right."""
    along = np.gradient(points, axis=0)
    across = np.gradient(points, axis=1)
    normal = np.cross(across, along)
    length = np.sqrt(np.einsum("...i,...i->...", normal, normal))[..., None]
    return np.asarray(normal / np.maximum(length, 1e-9), np.float32)


def _nearest(
    column: Floats, row: Floats, depth: Floats, width: int, height: int
) -> NDArray[np.int64]:
    """The number of the point nearest to the viewer in each cell of a grid, -1 where none is.

    A point covers two by two cells, so surfaces may be as coarse as 1.9 cells without a hole.
    """
    left, top = (column - 0.5).astype(np.int64), (row - 0.5).astype(np.int64)
    inside = np.flatnonzero((left >= 0) & (left < width - 1) & (top >= 0) & (top < height - 1))
    cell = top[inside] * width + left[inside]
    near = depth[inside]
    front = np.full(width * height, -np.inf, np.float32)
    winner = np.full(width * height, -1, np.int64)
    for step in (0, 1, width, width + 1):
        np.maximum.at(front, cell + step, near)
    for step in (0, 1, width, width + 1):
        seen = near == front[cell + step]
        winner[cell[seen] + step] = inside[seen]
    return winner


def _lit(points: Floats, light: Light) -> Floats:
    """1 where the lamp reaches a point (n, 3), 0 where another one of them is in between."""
    towards = np.asarray(light.direction, np.float32)
    right = np.cross(np.array([0, 1, 0], np.float32), towards)
    right /= np.linalg.norm(right)
    up = np.cross(towards, right)
    cells = 110  # over 4 heads: coarse enough that neighbouring points leave no holes
    column = (points @ right + 2) * (cells / 4)
    row = (points @ up + 2) * (cells / 4)
    depth = points @ towards
    winner = _nearest(column, row, depth, cells, cells)
    column = np.clip(column, 0, cells - 1).astype(np.int64)
    row = np.clip(row, 0, cells - 1).astype(np.int64)
    first = winner[row * cells + column]
    return np.where(first < 0, 1, smooth(0.16, 0.08, depth[first] - depth)).astype(np.float32)


def _crease(depth: Floats, scale: float) -> Floats:
    """How much of the surroundings' light reaches a place: less in hollows (ambient occlusion)."""
    fraction = (depth + 1.5) / 3
    hollow = np.zeros_like(depth)
    for radius in (0.06, 0.14):
        hollow += np.maximum(blur(fraction, radius * scale) - fraction, 0)
    return np.clip(1 - 9 * hollow, 0.25, 1)


def _shade(normal: Floats, lamp: Floats, crease: Floats, paint: Floats, light: Light) -> Floats:
    """Linear light (n, 3) of points: Lambert's law, softened as skin does, and a little gloss."""
    towards = np.asarray(light.direction, np.float32)
    facing = normal @ towards
    soft = np.clip((facing + 0.15) / 1.15, 0, 1) * (0.12 + 0.88 * lamp)
    halfway = towards + np.array([0, 0, 1], np.float32)
    halfway /= np.linalg.norm(halfway)
    gloss = paint[:, 3] * np.clip(normal @ halfway, 0, 1) ** 24 * lamp
    sky = (0.75 + 0.25 * normal[:, 1]) * crease
    strength = sky[:, None] * np.asarray(light.ambient, np.float32)
    strength = strength + soft[:, None] * np.asarray(light.lamp, np.float32)
    return np.asarray(
        paint[:, :3] * strength + gloss[:, None] * np.asarray(light.lamp, np.float32) * 0.35,
        np.float32,
    )
