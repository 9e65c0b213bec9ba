"""Who somebody is, and how one picture caught them, as numbers.

Lengths are in heads: 1 is half the height of a head, x grows to the viewer's right, y up, z
towards the viewer, and the origin is the middle of the head. Proportions are those of drawing
manuals: eyes half way up, the foot of the nose half way from brow to chin, the mouth a third of
the way from there to the chin.
"""

from __future__ import annotations

from dataclasses import dataclass

from whoswho.sample.brushes import Colour


@dataclass(frozen=True)
class Person:
    """Who somebody is. Lengths in heads, colours in sRGB."""

    skin: Colour
    hair: Colour
    iris: Colour
    lip: Colour
    width: float  # half the width of the skull
    jaw: float  # exponent of the lower outline: 1.7 pointed, 2 oval, 3 square
    taper: float  # share by which the chin is narrower than the outline alone gives
    cheekbone: float
    chin: float
    eye_distance: float  # from the middle of the face to the middle of an eye
    eye_width: float
    eye_height: float
    eye_tilt: float  # radians, positive: outer corner up
    eye_depth: float
    brow_height: float
    brow_thickness: float
    brow_arch: float
    brow_slope: float  # positive: outer end up
    nose_length: float
    nose_width: float
    nose_height: float
    mouth_height: float  # y of the mouth's line
    mouth_width: float
    lip_fullness: float
    ear_size: float
    hairline: float  # y of the hairline over the middle of the forehead
    temples: float  # how far the hairline recedes beside it
    hair_volume: float
    long_hair: bool
    curl: float  # 0 straight, 1 curly
    beard: float  # 0 none, 0.4 stubble, 1 full
    moustache: float
    freckles: float
    mole: tuple[float, float] | None  # x, y
    age: float  # 0 to 1: folds beside the nose, under the eyes


@dataclass(frozen=True)
class Pose:
    """How one picture caught a person. Angles in radians, places in pixels."""

    x: float  # middle of the head
    y: float
    size: float  # half the height of the head
    yaw: float
    pitch: float
    roll: float
    smile: float
    mouth_open: float
    eyes_open: float
    gaze: tuple[float, float]
    brows_up: float
    hair_up: bool  # long hair tied back
    hair_volume: float  # factor
    parting: float
    glasses: bool
    clothes: str
    clothes_colours: tuple[Colour, Colour]
    seed: int
