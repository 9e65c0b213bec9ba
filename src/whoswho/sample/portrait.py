"""Draws an invented head with hair and neck, as lit surfaces in three dimensions.

A `Face` is who somebody is (skull, eyes, brows, nose, mouth, hair, skin); a `Pose` is how one
picture caught them. Lengths of both are in heads: 1 is half the height of a head, x grows to the
viewer's right, y up, z towards the viewer, and the origin is the middle of the head. Proportions
are those of drawing manuals: eyes half way up, the foot of the nose half way from brow to chin,
the mouth a third of the way from there to the chin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whoswho.sample.brushes import Colour, Floats, bump, clouds, linear, mix, smooth
from whoswho.sample.surfaces import OVERSAMPLING, Light, Surface, draw_surfaces, rotation


@dataclass(frozen=True)
class Face:
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

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the head, in pixels; hair and ears about included."""
        half = 0.85 * self.size
        return self.x - half, self.y - 1.05 * self.size, self.x + half, self.y + 1.05 * self.size


def _outline(face: Face, y: Floats) -> tuple[Floats, Floats]:
    """Half width and depth of the skull at each height."""
    exponent = np.where(y > 0, np.float32(2.15), np.float32(face.jaw))
    height = np.clip(np.abs(y), 0, 1)
    round_ = np.power(np.maximum(1 - np.power(height, exponent), 0), 1 / exponent)
    narrow = 1 - face.taper * smooth(-0.1, -1.0, y)
    flat = np.where(y > 0, np.float32(2.1), np.float32(3.2))  # a face is flatter than an egg
    depth = np.power(np.maximum(1 - np.power(height, flat), 0), 1 / flat)
    return face.width * round_ * narrow, np.float32(0.80) * depth


def _skull(face: Face, angle: Floats, y: Floats) -> Floats:
    """Points (rows, columns, 3) of the bare skull at angles (0 is the nose) and heights."""
    half_width, depth = _outline(face, y)
    return np.stack(
        np.broadcast_arrays(half_width * np.sin(angle), y, depth * np.cos(angle)), axis=-1
    ).astype(np.float32)


def _relief(face: Face, pose: Pose, x: Floats, y: Floats) -> Floats:
    """How far the face stands out of the skull at each place of its front."""
    eye = (face.eye_distance, 0.02)
    brow_y = face.brow_height + 0.05 * pose.brows_up
    relief = -face.eye_depth * bump(x, y, (eye[0] * 0.95, eye[1]), (0.17, 0.11))
    relief += 0.055 * bump(x, y, eye, (face.eye_width * 0.75, face.eye_height * 1.5))
    relief += 0.045 * bump(x, y, (eye[0], brow_y), (0.22, 0.06))
    relief += face.cheekbone * bump(x, y, (0.42, -0.2), (0.17, 0.16))
    relief += (0.03 + 0.05 * max(pose.smile, 0)) * bump(x, y, (0.3, -0.3), (0.12, 0.12))
    relief += face.chin * bump(x, y, (0.0, -0.86), (0.22, 0.12))
    relief += 0.07 * bump(x, y, (0.0, face.mouth_height), (face.mouth_width * 1.2, 0.2))

    # the nose: a ridge that rises and widens towards its tip, then ends
    top, tip = 0.08, 0.1 - face.nose_length
    along = np.clip((top - y) / (top - tip), 0, 1.2)
    ridge = face.nose_height * (0.22 + 0.78 * along**1.4)
    ridge *= smooth(0.22, 0.0, y) * smooth(tip - 0.085, tip - 0.01, y)
    spread = face.nose_width * (0.45 + 0.4 * along)
    relief += ridge * np.exp(-((x / spread) ** 2))
    wing = 0.5 * face.nose_height
    relief += wing * bump(x, y, (face.nose_width * 0.85, tip - 0.01), (0.055, 0.06))

    lip_y = y - _mouth_line(face, pose, x)
    inside = smooth(face.mouth_width * 1.1, face.mouth_width * 0.5, np.abs(x))
    full = face.lip_fullness
    relief += 0.45 * full * inside * np.exp(-(((lip_y - 0.55 * full) / (0.5 * full)) ** 2))
    relief += 0.6 * full * inside * np.exp(-(((lip_y + 0.65 * full) / (0.55 * full)) ** 2))
    relief -= 0.05 * bump(x, y, (0.0, face.mouth_height - 0.16), (0.2, 0.05))
    fold = np.abs(x) - (face.nose_width + 0.08 + 0.55 * (tip - y))
    relief -= (
        (0.012 + 0.03 * face.age + 0.015 * max(pose.smile, 0))
        * np.exp(-((fold / 0.035) ** 2))
        * bump(x, y, (0.25, (tip + face.mouth_height) / 2), (0.3, 0.12))
    )
    return relief.astype(np.float32)


def _mouth_line(face: Face, pose: Pose, x: Floats) -> Floats:
    """y of the line between the lips at each x; a smile lifts the corners."""
    return face.mouth_height + pose.smile * 0.09 * (x / face.mouth_width) ** 2 - 0.03 * pose.smile


def _face_paint(
    face: Face, pose: Pose, x: Floats, y: Floats, skin_random: np.random.Generator
) -> Floats:
    """The colours of the face (rows, columns, 4)."""
    rows, columns = x.shape
    edge = 0.012  # softness of painted borders, about a pixel of the drawn picture
    skin, hair = linear(face.skin), linear(face.hair)
    paint = np.empty((rows, columns, 4), np.float32)
    paint[..., :3] = skin * (1 + 0.05 * clouds(skin_random, rows, columns, (9, 9), 3))[..., None]
    paint[..., 3] = 0.18
    flush = skin * np.array([1.05, 0.72, 0.70], np.float32)
    mix(paint, flush, 0.55 * bump(x, y, (0.38, -0.25), (0.2, 0.17)))
    mix(paint, flush, 0.5 * bump(x, y, (0.0, 0.05 - face.nose_length), (0.16, 0.12)))
    mix(paint, skin * np.float32(0.62), 0.55 * bump(x, y, (face.eye_distance, 0), (0.24, 0.15)))
    mix(
        paint,
        skin * np.float32(0.55),
        0.5 * (0.3 + face.age) * bump(x, y, (face.eye_distance - 0.02, -0.12), (0.15, 0.05)),
    )
    if face.freckles:
        spots = clouds(skin_random, rows, columns, (70, 60))
        where = bump(x, y, (0.22, -0.16), (0.34, 0.16)) * face.freckles
        mix(paint, skin * np.array([0.55, 0.4, 0.3], np.float32), where * smooth(0.5, 1.0, spots))
    if face.mole:
        away = np.hypot(x - face.mole[0], y - face.mole[1])
        mix(paint, skin * np.float32(0.12), smooth(0.035, 0.02, away))

    tip = 0.1 - face.nose_length
    mix(
        paint,
        skin * np.float32(0.1),
        0.85 * bump(x, y, (face.nose_width * 0.55, tip - 0.075), (0.045, 0.022)),
    )
    under = bump(x, y, (face.nose_width * 0.45, tip - 0.08), (face.nose_width * 0.6, 0.03))
    mix(paint, skin * np.float32(0.35), 0.5 * under)

    strands = clouds(skin_random, rows, columns, (rows // 8, columns // 6))
    if face.beard or face.moustache:
        jaw = smooth(-0.38, -0.62, y - 0.35 * (np.abs(x) - 0.3))
        lips = np.hypot(x / (face.mouth_width * 1.15), (y - face.mouth_height) / 0.11)
        jaw = jaw * smooth(0.95, 1.11, lips)  # a beard leaves the lips free
        lip = bump(x, y, (0.0, (tip + face.mouth_height) / 2 - 0.03), (face.mouth_width, 0.055))
        share = np.clip(face.beard * jaw + face.moustache * lip, 0, 1)
        mix(paint, hair * np.float32(0.9), np.clip(share * (0.8 + 0.25 * strands), 0, 0.95))

    _paint_mouth(face, pose, paint, x, y, edge)
    side = np.sign(x)
    across = (np.abs(x) - face.eye_distance) / face.eye_width  # -1 inner, 1 outer corner
    brow_y = face.brow_height + 0.05 * pose.brows_up
    middle = brow_y + face.brow_arch * (1 - across**2) + face.brow_slope * across
    thick = face.brow_thickness * np.clip(1 - 0.45 * across, 0.2, 1.3)
    ends = smooth(-1.35, -1.05, across) * smooth(1.55, 1.15, across)
    brow = smooth(thick + edge, thick * 0.6, np.abs(y - middle)) * ends
    mix(paint, hair * np.float32(0.75), np.clip(brow * (0.86 + 0.14 * strands), 0, 1))
    _paint_eyes(face, pose, paint, across, side, y, edge)
    if pose.glasses:
        ring = np.hypot(
            (np.abs(x) - face.eye_distance) / (face.eye_width * 1.55),
            (y + 0.02) / (face.eye_width * 1.3),
        )
        frame = smooth(0.12, 0.06, np.abs(ring - 1))
        bridge = smooth(0.03, 0.015, np.abs(y - 0.03)) * smooth(
            face.eye_distance - 1.5 * face.eye_width + 0.02,
            face.eye_distance - 1.5 * face.eye_width,
            np.abs(x),
        )
        mix(paint, (0.015, 0.013, 0.012), np.maximum(frame, bridge) * np.float32(0.95))
    return paint


def _paint_mouth(face: Face, pose: Pose, paint: Floats, x: Floats, y: Floats, edge: float) -> None:
    """Lips, the line between them, teeth where the mouth is open; in place."""
    across = np.clip(np.abs(x) / face.mouth_width, 0, 1.5)
    line = _mouth_line(face, pose, x)
    gap = 0.085 * pose.mouth_open * np.sqrt(np.maximum(1 - (across / 0.85) ** 2, 0))
    bow = 1 - 0.22 * np.exp(-((x / 0.045) ** 2))
    upper = line + gap + face.lip_fullness * 1.05 * bow * np.maximum(1 - across**1.7, 0)
    lower = line - gap - face.lip_fullness * 1.3 * np.sqrt(np.maximum(1 - across**2, 0))
    inside = smooth(upper + edge, upper - edge, y) * smooth(lower - edge, lower + edge, y)
    inside *= smooth(1.05, 0.95, across)
    mix(paint, linear(face.lip), inside * np.float32(0.85))
    paint[..., 3] += 0.2 * inside
    dark = smooth(line + gap + 0.016, line + gap - 0.004, y)
    dark *= smooth(line - gap - 0.016, line - gap + 0.004, y) * smooth(1.08, 0.9, across)
    mix(paint, (0.035, 0.008, 0.008), dark * np.float32(0.9))
    teeth = dark * smooth(line - 0.2 * gap - 0.01, line - 0.2 * gap + 0.012, y)
    teeth *= smooth(0.014, 0.03, gap) * smooth(line + gap, line + gap - 0.012, y)
    mix(paint, (0.62, 0.58, 0.5), teeth * np.float32(0.9))


def _paint_eyes(
    face: Face, pose: Pose, paint: Floats, across: Floats, side: Floats, y: Floats, edge: float
) -> None:
    """Eyes between their lids, lashes, the fold above; in place. across: -1 inner to 1 outer."""
    level = y - 0.02 - face.eye_tilt * across * face.eye_width
    arc = np.maximum(1 - across**2, 0)
    upper = face.eye_height * pose.eyes_open * arc**0.7
    lower = -0.62 * face.eye_height * arc
    inside = smooth(upper + edge, upper - edge / 2, level) * smooth(lower - edge, lower, level)
    inside *= smooth(1.03, 0.97, np.abs(across))
    mix(paint, (0.62, 0.58, 0.55), inside)
    look = across * face.eye_width - side * pose.gaze[0] * 0.35 * face.eye_width
    away = np.hypot(look, level - 0.01 - pose.gaze[1] * 0.3 * face.eye_height)
    radius = 0.47 * face.eye_width
    mix(paint, linear(face.iris), inside * smooth(radius + edge, radius - edge, away))
    ring = smooth(radius * 0.72, radius * 0.95, away) * smooth(radius + edge, radius, away)
    mix(paint, (0.01, 0.01, 0.01), inside * ring * np.float32(0.7))
    mix(paint, (0.004, 0.004, 0.004), inside * smooth(0.5 * radius, 0.4 * radius, away))
    glint = np.hypot(look - side * 0.3 * radius, level - 0.38 * radius)
    mix(paint, (1.0, 1.0, 1.0), inside * smooth(0.26 * radius, 0.12 * radius, glint))
    paint[..., 3] += 0.5 * inside
    lid_shadow = inside * smooth(upper - 0.05, upper, level)
    mix(paint, (0.03, 0.02, 0.02), lid_shadow * np.float32(0.55))
    near = smooth(1.12, 0.95, np.abs(across))
    lash = smooth(0.02, 0.006, np.abs(level - upper - 0.004)) * near
    mix(paint, (0.012, 0.008, 0.008), lash * np.float32(0.95))
    below = smooth(0.014, 0.004, np.abs(level - lower + 0.004)) * near
    mix(paint, (0.05, 0.03, 0.03), below * np.float32(0.5))
    fold = smooth(0.018, 0.004, np.abs(level - upper - 0.05 - 0.02 * arc)) * near
    mix(paint, linear(face.skin) * np.float32(0.4), fold * np.float32(0.55))


def _front(face: Face, pose: Pose) -> Surface:
    """The face, from ear to ear."""
    rows = int(2.3 * OVERSAMPLING * pose.size)
    columns = int(3.0 * OVERSAMPLING * pose.size * face.width)
    latitude = np.linspace(-0.5 * np.pi, 0.5 * np.pi, rows, dtype=np.float32)[:, None]
    angle = np.linspace(-1.75, 1.75, columns, dtype=np.float32)[None, :]
    points = _skull(face, angle, np.sin(latitude))
    # features belong to the front: x of the skull is their ruler, the sides get none
    x, y = points[..., 0].copy(), points[..., 1].copy()
    x /= np.float32(1) - face.taper * smooth(-0.1, -1.0, y)
    front = smooth(0.02, 0.35, points[..., 2])
    points[..., 2] += front * _relief(face, pose, x, y)
    points[..., 1] -= 0.07 * pose.mouth_open * smooth(-0.55, -0.8, y) * front
    skin_random = np.random.default_rng([7, int(1000 * face.width), int(1000 * face.nose_length)])
    paint = _face_paint(face, pose, x, y, skin_random)
    return Surface(points, paint, np.ones(points.shape[:2], np.bool_))


def _hair(face: Face, pose: Pose) -> list[Surface]:
    """The hair on the skull and, where it is long and loose, the hair beside the neck."""
    random = np.random.default_rng([pose.seed, 1])
    rows = int(2.4 * OVERSAMPLING * pose.size)
    columns = int(7.4 * OVERSAMPLING * pose.size * face.width)
    latitude = np.linspace(-0.3 * np.pi, 0.5 * np.pi, rows, dtype=np.float32)[:, None]
    angle = np.linspace(-np.pi, np.pi, columns, dtype=np.float32)[None, :]
    height = np.sin(latitude)
    turn = np.abs(angle)
    line = face.hairline - 0.05 * np.exp(-((angle / 0.2) ** 2))
    line = line + face.temples * np.exp(-(((turn - 0.6) / 0.25) ** 2))
    line = line + 0.06 * np.sin(angle - pose.parting) * (turn < 1.0)
    line = line - (line + 0.15) * smooth(0.8, 1.2, turn)
    line = line - 0.5 * smooth(1.45, 1.9, turn)
    long_ = face.long_hair and not pose.hair_up
    if long_:
        line = line - 0.9 * smooth(1.1, 1.5, turn)
    rough = clouds(random, rows, columns, (12, 60), 2)
    above = height - line + 0.02 * rough
    thick = face.hair_volume * pose.hair_volume * smooth(-0.02, 0.22, above)
    thick = thick * (1 + face.curl * 0.25 * clouds(random, rows, columns, (14, 22)))
    scale = (1 + 0.015 + thick)[..., None]
    points = _skull(face, angle, np.broadcast_to(height, above.shape)) * scale
    paint = _hair_paint(face, random, rows, columns)
    surfaces = [Surface(points, paint, above > 0)]
    if long_:
        rows, columns = int(1.4 * OVERSAMPLING * pose.size), int(2.8 * OVERSAMPLING * pose.size)
        down = np.linspace(0.35, -1.5 + 0.15 * random.random(), rows, dtype=np.float32)[:, None]
        angle = np.linspace(1.25, 2 * np.pi - 1.25, columns, dtype=np.float32)[None, :]
        wave = 1 + 0.05 * (1 + face.curl) * clouds(random, rows, columns, (6, 14), 2)
        radius = face.width * (1.08 + face.hair_volume * pose.hair_volume) * wave
        radius = radius * (0.98 - 0.1 * smooth(-0.3, -1.5, down))
        radius = radius * (1 - 0.35 * smooth(-0.1, 0.35, down))  # it begins under the other hair
        grid = np.broadcast_arrays(radius * np.sin(angle), down, radius * np.cos(angle) * 0.9)
        points = np.stack(grid, axis=-1).astype(np.float32)
        paint = _hair_paint(face, random, rows, columns)
        surfaces.append(Surface(points, paint, np.ones((rows, columns), np.bool_)))
    return surfaces


def _hair_paint(face: Face, random: np.random.Generator, rows: int, columns: int) -> Floats:
    """Strands (rows, columns, 4)."""
    strand = clouds(random, rows, columns, (4 + int(20 * face.curl), max(columns // 5, 8)), 1)
    lock = clouds(random, rows, columns, (5, 24), 2)
    paint = np.empty((rows, columns, 4), np.float32)
    paint[..., :3] = linear(face.hair) * np.clip(1 + 0.22 * strand + 0.2 * lock, 0.3, 2)[..., None]
    paint[..., 3] = 0.12
    return paint


def _ears(face: Face, pose: Pose) -> list[Surface]:
    skin = linear(face.skin)
    count = int(0.6 * OVERSAMPLING * pose.size)
    down = np.linspace(0, np.pi, count, dtype=np.float32)[:, None]
    around = np.linspace(0, 2 * np.pi, count, dtype=np.float32)[None, :]
    size = face.ear_size
    surfaces = []
    for side in (-1.0, 1.0):
        x = side * (face.width * 0.97 + 0.10 * size * np.sin(down) * np.cos(around) + 0.02)
        y = -0.08 + 0.25 * size * np.cos(down) + 0 * around
        z = -0.08 + 0.13 * size * np.sin(down) * np.sin(around)
        points = np.stack(np.broadcast_arrays(x, y, z), axis=-1).astype(np.float32)
        # the grid of the mirrored ear runs the other way round, or its normals point inwards
        points = points if side > 0 else points[:, ::-1]
        paint = np.empty((*points.shape[:2], 4), np.float32)
        paint[..., :3] = skin * np.array([1.0, 0.85, 0.82], np.float32)
        paint[..., 3] = 0.1
        inner = np.hypot(points[..., 1] + 0.06, points[..., 2] + 0.06) / (0.12 * size)
        mix(paint, skin * np.float32(0.45), 0.7 * smooth(1.0, 0.6, inner))
        surfaces.append(Surface(points, paint, np.ones(points.shape[:2], np.bool_)))
    return surfaces


def _neck(face: Face, pose: Pose) -> Surface:
    rows, columns = int(1.0 * OVERSAMPLING * pose.size), int(1.2 * OVERSAMPLING * pose.size)
    down = np.linspace(-0.4, -1.5, rows, dtype=np.float32)[:, None]
    angle = np.linspace(-0.6 * np.pi, 0.6 * np.pi, columns, dtype=np.float32)[None, :]
    radius = 0.6 * face.width + 0.25 * smooth(-1.1, -1.6, down)
    grid = np.broadcast_arrays(radius * np.sin(angle), down, -0.22 + 0.8 * radius * np.cos(angle))
    points = np.stack(grid, axis=-1).astype(np.float32)[::-1]
    paint = np.empty((rows, columns, 4), np.float32)
    paint[..., :3] = linear(face.skin) * np.float32(0.92)
    paint[..., 3] = 0.1
    return Surface(points, paint, np.ones((rows, columns), np.bool_))


def draw_head(canvas: Floats, face: Face, pose: Pose, light: Light) -> None:
    """Draws head, hair and neck over the canvas (rows, columns, 3; linear light), in place."""
    turned = rotation(pose.yaw, pose.pitch, pose.roll)
    held = rotation(0.4 * pose.yaw, 0.2 * pose.pitch, 0.4 * pose.roll)  # a neck follows its head
    head = [_front(face, pose), *_hair(face, pose), *_ears(face, pose)]
    parts = [*((surface, turned) for surface in head), (_neck(face, pose), held)]
    draw_surfaces(canvas, parts, (pose.x, pose.y), pose.size, light)
