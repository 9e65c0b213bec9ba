"""Draws an invented head with hair and neck, as lit surfaces in three dimensions."""

from __future__ import annotations

import numpy as np

from whoswho.sample.brushes import Floats, bump, clouds, linear, mix, smooth
from whoswho.sample.painting import mouth_line, paint_face
from whoswho.sample.person import Person, Pose
from whoswho.sample.surfaces import (
    OVERSAMPLING,
    Light,
    Surface,
    coat,
    draw_surfaces,
    grid,
    rotation,
)


def _outline(face: Person, y: Floats) -> tuple[Floats, Floats]:
    """Half width and depth of the skull at each height."""
    exponent = np.where(y > 0, np.float32(2.15), np.float32(face.jaw))
    height = np.clip(np.abs(y), 0, 1)
    round_ = np.power(np.maximum(1 - np.power(height, exponent), 0), 1 / exponent)
    narrow = 1 - face.taper * smooth(-0.1, -1.0, y)
    flat = np.where(y > 0, np.float32(2.1), np.float32(3.2))  # a face is flatter than an egg
    depth = np.power(np.maximum(1 - np.power(height, flat), 0), 1 / flat)
    return face.width * round_ * narrow, np.float32(0.80) * depth


def _skull(face: Person, angle: Floats, y: Floats) -> Floats:
    """Points (rows, columns, 3) of the bare skull at angles (0 is the nose) and heights."""
    half_width, depth = _outline(face, y)
    return grid(half_width * np.sin(angle), y, depth * np.cos(angle))


def _relief(face: Person, pose: Pose, x: Floats, y: Floats) -> Floats:
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

    lip_y = y - mouth_line(face, pose, x)
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


def _front(face: Person, pose: Pose) -> Surface:
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
    paint = paint_face(face, pose, x, y, skin_random)
    return Surface(points, paint)


def _hair(face: Person, pose: Pose) -> list[Surface]:
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
        points = grid(radius * np.sin(angle), down, radius * np.cos(angle) * 0.9)
        surfaces.append(Surface(points, _hair_paint(face, random, rows, columns)))
    return surfaces


def _hair_paint(face: Person, random: np.random.Generator, rows: int, columns: int) -> Floats:
    """Strands (rows, columns, 4)."""
    strand = clouds(random, rows, columns, (4 + int(20 * face.curl), max(columns // 5, 8)), 1)
    lock = clouds(random, rows, columns, (5, 24), 2)
    tone = np.clip(1 + 0.22 * strand + 0.2 * lock, 0.3, 2)[..., None]
    return coat(linear(face.hair) * tone, 0.12, rows, columns)


def _ears(face: Person, pose: Pose) -> list[Surface]:
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
        points = grid(x, y, z)
        # the grid of the mirrored ear runs the other way round, or its normals point inwards
        points = points if side > 0 else points[:, ::-1]
        paint = coat(skin * np.array([1.0, 0.85, 0.82], np.float32), 0.1, count, count)
        inner = np.hypot(points[..., 1] + 0.06, points[..., 2] + 0.06) / (0.12 * size)
        mix(paint, skin * np.float32(0.45), 0.7 * smooth(1.0, 0.6, inner))
        surfaces.append(Surface(points, paint))
    return surfaces


def _neck(face: Person, pose: Pose) -> Surface:
    rows, columns = int(1.0 * OVERSAMPLING * pose.size), int(1.2 * OVERSAMPLING * pose.size)
    down = np.linspace(-0.4, -1.5, rows, dtype=np.float32)[:, None]
    angle = np.linspace(-0.6 * np.pi, 0.6 * np.pi, columns, dtype=np.float32)[None, :]
    radius = 0.6 * face.width + 0.25 * smooth(-1.1, -1.6, down)
    points = grid(radius * np.sin(angle), down, -0.22 + 0.8 * radius * np.cos(angle))[::-1]
    return Surface(points, coat(linear(face.skin) * np.float32(0.92), 0.1, rows, columns))


def draw_head(canvas: Floats, face: Person, pose: Pose, light: Light) -> None:
    """Draws head, hair and neck over the canvas (rows, columns, 3; linear light), in place."""
    turned = rotation(pose.yaw, pose.pitch, pose.roll)
    held = rotation(0.4 * pose.yaw, 0.2 * pose.pitch, 0.4 * pose.roll)  # a neck follows its head
    head = [_front(face, pose), *_hair(face, pose), *_ears(face, pose)]
    parts = [*((surface, turned) for surface in head), (_neck(face, pose), held)]
    draw_surfaces(canvas, parts, (pose.x, pose.y), pose.size, light)
