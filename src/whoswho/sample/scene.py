"""Draws what is around a face: shoulders in clothes, light, and what a camera does.

Everything here is drawn from the same distribution whoever is in the picture: nothing but the face
tells the people of the sample apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whoswho.sample.backgrounds import BACKGROUNDS
from whoswho.sample.brushes import Colour, Floats, any_colour, blur, clouds, linear, smooth
from whoswho.sample.person import Person, Pose
from whoswho.sample.portrait import draw_head
from whoswho.sample.surfaces import Light

CLOTHES = ("plain", "stripes", "bars", "checks", "speckles", "suit", "v-neck", "hood")


@dataclass(frozen=True)
class Scene:
    """What one picture shows beside its people. Sizes in pixels."""

    width: int
    height: int
    background: str  # a key of BACKGROUNDS
    light: Light
    exposure: float  # factor on the linear light
    balance: Colour  # factor per channel: the camera's white balance
    saturation: float
    contrast: float
    blur: float  # radius in pixels
    noise: float  # deviation, of 1
    vignette: float
    seed: int


def any_light(random: np.random.Generator) -> Light:
    """A lamp somewhere before the person, from the sun to a warm bulb."""
    azimuth, elevation = random.uniform(-1.1, 1.1), random.uniform(0.0, 0.95)
    level = np.cos(elevation)
    direction = np.array([np.sin(azimuth) * level, np.sin(elevation), np.cos(azimuth) * level])
    warm = random.normal(0, 0.08)
    strength, fraction = random.uniform(0.75, 1.15), random.uniform(0.3, 0.6)
    lamp = strength * (1.15 - fraction) * np.array([1 + warm, 1, 1 - 1.3 * warm])
    ambient = strength * fraction * np.array([1 - 0.5 * warm, 1, 1 + 0.6 * warm])
    return Light(_triple(direction), _triple(lamp), _triple(ambient))


def any_scene(random: np.random.Generator, sizes: Sequence[tuple[int, int]]) -> Scene:
    """A background, a light and a camera; sizes: the (width, height) to choose from."""
    width, height = sizes[int(random.integers(len(sizes)))]
    cast = random.normal(0, 0.05, 3)
    return Scene(
        width=int(width),
        height=int(height),
        background=str(random.choice(sorted(BACKGROUNDS))),
        light=any_light(random),
        exposure=float(np.exp(random.normal(0, 0.2))),
        balance=_triple(1 + cast - cast.mean()),
        saturation=0.0 if random.random() < 0.06 else float(random.uniform(0.7, 1.2)),
        contrast=float(random.uniform(0.9, 1.15)),
        blur=float(random.choice([0.0, 0.4, 0.7, 1.0])),
        noise=float(random.uniform(0.004, 0.02)),
        vignette=float(random.choice([0.0, 0.0, 0.25, 0.45])),
        seed=int(random.integers(2**31)),
    )


def any_pose(random: np.random.Generator, x: float, y: float, size: float) -> Pose:
    """A turn of the head, an expression, clothes, at a place (pixels)."""
    turn = np.clip(random.normal(0, (0.24, 0.1, 0.09)), (-0.55, -0.2, -0.25), (0.55, 0.22, 0.25))
    return Pose(
        x=x,
        y=y,
        size=size,
        yaw=float(turn[0]),
        pitch=float(turn[1]),
        roll=float(turn[2]),
        smile=float(np.clip(random.normal(0.4, 0.45), -0.5, 1.2)),
        mouth_open=float(random.choice([0.0, 0.0, random.uniform(0.2, 0.7)])),
        eyes_open=float(np.clip(random.normal(1, 0.13), 0.6, 1.25)),
        gaze=(float(np.clip(random.normal(0, 0.35), -0.8, 0.8)), float(random.normal(0, 0.2))),
        brows_up=float(np.clip(random.normal(0, 0.35), -0.6, 0.8)),
        hair_up=bool(random.random() < 0.4),
        hair_volume=float(random.uniform(0.75, 1.3)),
        parting=float(random.choice([-0.5, 0.5]) + random.normal(0, 0.15)),
        glasses=bool(random.random() < 0.08),
        clothes=str(random.choice(CLOTHES)),
        clothes_colours=(any_colour(random), any_colour(random)),
        seed=int(random.integers(2**31)),
    )


def draw_picture(scene: Scene, people: Sequence[tuple[Person, Pose]]) -> NDArray[np.uint8]:
    """The picture as 8-bit sRGB (rows, columns, 3); people from the farthest to the nearest."""
    random = np.random.default_rng([scene.seed, 0])
    canvas = linear(
        np.clip(BACKGROUNDS[scene.background](random, scene.height, scene.width), 0, 1)
    )
    lamp, ambient = np.asarray(scene.light.lamp), np.asarray(scene.light.ambient)
    canvas *= ((lamp + ambient) * 0.75).astype(np.float32)
    for face, pose in people:
        draw_shoulders(canvas, pose, scene.light)
        draw_head(canvas, face, pose, scene.light)
    return develop(canvas, scene, random)


def develop(canvas: Floats, scene: Scene, random: np.random.Generator) -> NDArray[np.uint8]:
    """What the camera makes of the light: 8-bit sRGB (rows, columns, 3)."""
    height, width = canvas.shape[:2]
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    canvas = canvas * (1 - scene.vignette * smooth(0.5, 2.0, rows**2 + columns**2))[..., None]
    canvas = canvas * np.float32(scene.exposure) * np.asarray(scene.balance, np.float32)
    shoulder = np.where(canvas > 0.6, 0.6 + 0.4 * np.tanh((canvas - 0.6) / 0.4), canvas)
    picture = np.power(np.clip(shoulder, 0, 1), np.float32(1 / 2.2))
    grey = picture.mean(axis=2, keepdims=True)
    picture = grey + (picture - grey) * np.float32(scene.saturation)
    picture = 0.5 + (picture - 0.5) * np.float32(scene.contrast)
    picture = blur(np.clip(picture, 0, 1), scene.blur)
    picture = picture + scene.noise * random.standard_normal(picture.shape, dtype=np.float32)
    return np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)


def draw_shoulders(canvas: Floats, pose: Pose, light: Light) -> None:
    """Draws a clothed upper body over the canvas (rows, columns, 3; linear light), in place."""
    height, width = canvas.shape[:2]
    row, column = np.mgrid[0:height, 0:width].astype(np.float32)
    x = (column - np.float32(pose.x)) / np.float32(pose.size)
    y = (np.float32(pose.y) - row) / np.float32(pose.size)
    turn = np.float32(0.4 * pose.roll)
    x, y = x + turn * (y + 1), y - turn * x * 0.5
    wide, tall, deep, power = 1.75, 1.45, 0.9, 2.6
    across, along = np.abs(x / wide), np.abs((y + 2.68) / tall)
    along = np.where(y < -2.68, 0, along)  # below the chest it goes on straight down
    level = across**power + along**power
    inside = smooth(1.02, 0.99, level)
    if not inside.any():
        return
    out = np.power(np.maximum(1 - level, 1e-3), 1 / power)
    random = np.random.default_rng([pose.seed, 2])
    folds = clouds(random, height, width, (4, 6), 2)
    normal = np.stack(
        [
            np.sign(x) * across ** (power - 1) / wide + 0.06 * folds,
            np.where(y < -2.68, 0, along ** (power - 1)) / tall,
            out ** (power - 1) / deep,
        ],
        axis=-1,
    )
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    facing = np.clip(normal @ np.asarray(light.direction, np.float32), 0, 1)
    strength = facing[..., None] * np.asarray(light.lamp, np.float32)
    strength = strength + np.asarray(light.ambient, np.float32)
    strength = strength * (0.55 + 0.45 * smooth(0.2, 0.75, np.hypot(x, y + 1.05)))[..., None]
    cloth = _cloth(pose, random, x, y) * (1 + 0.06 * folds)[..., None] * strength
    canvas += (cloth.astype(np.float32) - canvas) * inside[..., None]


def _cloth(pose: Pose, random: np.random.Generator, x: Floats, y: Floats) -> Floats:
    """Colours of the clothes (rows, columns, 3; linear) at places in heads."""
    first, second = linear(pose.clothes_colours[0]), linear(pose.clothes_colours[1])
    turn = np.float32(0.6 * pose.yaw)
    period = np.float32(random.uniform(0.12, 0.35))
    fraction = np.zeros_like(x)
    if pose.clothes in ("stripes", "checks"):
        fraction = np.maximum(fraction, smooth(-0.15, 0.15, np.sin(2 * np.pi * y / period)))
    if pose.clothes in ("bars", "checks"):
        wave = smooth(-0.15, 0.15, np.sin(2 * np.pi * (x - turn) / period))
        fraction = (fraction + wave) / 2 if pose.clothes == "checks" else wave
    if pose.clothes == "speckles":
        fraction = smooth(0.8, 1.2, clouds(random, x.shape[0], x.shape[1], (40, 50)))
    opening = np.abs(x - turn) - 0.45 * (y + 2.4)
    if pose.clothes == "suit":
        fraction = smooth(0.03, -0.03, opening)
    if pose.clothes == "v-neck":
        fraction = smooth(0.04, 0.0, np.abs(opening))
    if pose.clothes == "hood":
        fraction = smooth(0.5, 0.42, np.hypot((x - turn) / 1.6, (y + 1.35) / 0.75))
    colours = first + (second - first) * fraction[..., None]
    if pose.clothes == "suit":  # a tie of a third colour on the shirt
        tie = smooth(0.09, 0.06, np.abs(x - turn)) * fraction
        colours = colours + (linear(any_colour(random)) - colours) * tie[..., None]
    return np.asarray(colours, np.float32)


def _triple(values: Floats) -> Colour:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
