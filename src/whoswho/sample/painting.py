"""Paints the features of a face on its skin: each one a colour laid on by a fraction of 0 to 1."""

from __future__ import annotations

import numpy as np

from whoswho.sample.brushes import Floats, bump, clouds, linear, mix, smooth
from whoswho.sample.person import Person, Pose
from whoswho.sample.surfaces import coat

_EDGE = 0.012  # softness of painted borders in heads, about a pixel of the drawn picture


def paint_face(
    face: Person, pose: Pose, x: Floats, y: Floats, random: np.random.Generator
) -> Floats:
    """The colours of a face (rows, columns, 4) at places in heads: linear light and gloss."""
    rows, columns = x.shape
    tone = 1 + 0.05 * clouds(random, rows, columns, (9, 9), 3)
    paint = coat(linear(face.skin) * tone[..., None], 0.18, rows, columns)
    _paint_skin(face, paint, x, y, random)
    _paint_nose(face, paint, x, y)
    strands = clouds(random, rows, columns, (rows // 8, columns // 6))
    if face.beard or face.moustache:
        _paint_beard(face, paint, x, y, strands)
    _paint_mouth(face, pose, paint, x, y)
    across = (np.abs(x) - face.eye_distance) / face.eye_width  # -1 inner, 1 outer corner
    _paint_brows(face, pose, paint, across, y, strands)
    _paint_eyes(face, pose, paint, across, np.sign(x), y)
    if pose.glasses:
        _paint_glasses(face, paint, x, y)
    return paint


def mouth_line(face: Person, pose: Pose, x: Floats) -> Floats:
    """y of the line between the lips at each x; a smile lifts the corners."""
    return face.mouth_height + pose.smile * 0.09 * (x / face.mouth_width) ** 2 - 0.03 * pose.smile


def _paint_skin(
    face: Person, paint: Floats, x: Floats, y: Floats, random: np.random.Generator
) -> None:
    """What colours the bare skin: blood, shadows, freckles, a mole; in place."""
    skin = linear(face.skin)
    flush = skin * np.array([1.05, 0.72, 0.70], np.float32)
    mix(paint, flush, 0.55 * bump(x, y, (0.38, -0.25), (0.2, 0.17)))
    mix(paint, flush, 0.5 * bump(x, y, (0.0, 0.05 - face.nose_length), (0.16, 0.12)))
    mix(paint, skin * np.float32(0.62), 0.55 * bump(x, y, (face.eye_distance, 0), (0.24, 0.15)))
    bags = bump(x, y, (face.eye_distance - 0.02, -0.12), (0.15, 0.05))
    mix(paint, skin * np.float32(0.55), 0.5 * (0.3 + face.age) * bags)
    if face.freckles:
        spots = clouds(random, x.shape[0], x.shape[1], (70, 60))
        where = bump(x, y, (0.22, -0.16), (0.34, 0.16)) * face.freckles
        mix(paint, skin * np.array([0.55, 0.4, 0.3], np.float32), where * smooth(0.5, 1.0, spots))
    if face.mole:
        away = np.hypot(x - face.mole[0], y - face.mole[1])
        mix(paint, skin * np.float32(0.12), smooth(0.035, 0.02, away))


def _paint_nose(face: Person, paint: Floats, x: Floats, y: Floats) -> None:
    """Nostrils and the shadow under the tip; in place."""
    skin = linear(face.skin)
    tip = 0.1 - face.nose_length
    nostrils = bump(x, y, (face.nose_width * 0.55, tip - 0.075), (0.045, 0.022))
    mix(paint, skin * np.float32(0.1), 0.85 * nostrils)
    under = bump(x, y, (face.nose_width * 0.45, tip - 0.08), (face.nose_width * 0.6, 0.03))
    mix(paint, skin * np.float32(0.35), 0.5 * under)


def _paint_beard(face: Person, paint: Floats, x: Floats, y: Floats, strands: Floats) -> None:
    """Beard and moustache; in place."""
    tip = 0.1 - face.nose_length
    jaw = smooth(-0.38, -0.62, y - 0.35 * (np.abs(x) - 0.3))
    lips = np.hypot(x / (face.mouth_width * 1.15), (y - face.mouth_height) / 0.11)
    jaw = jaw * smooth(0.95, 1.11, lips)  # a beard leaves the lips free
    lip = bump(x, y, (0.0, (tip + face.mouth_height) / 2 - 0.03), (face.mouth_width, 0.055))
    fraction = np.clip(face.beard * jaw + face.moustache * lip, 0, 1)
    fraction = np.clip(fraction * (0.8 + 0.25 * strands), 0, 0.95)
    mix(paint, linear(face.hair) * np.float32(0.9), fraction)


def _paint_brows(
    face: Person, pose: Pose, paint: Floats, across: Floats, y: Floats, strands: Floats
) -> None:
    """The brows, thinner outwards; in place."""
    brow_y = face.brow_height + 0.05 * pose.brows_up
    middle = brow_y + face.brow_arch * (1 - across**2) + face.brow_slope * across
    thick = face.brow_thickness * np.clip(1 - 0.45 * across, 0.2, 1.3)
    ends = smooth(-1.35, -1.05, across) * smooth(1.55, 1.15, across)
    brow = smooth(thick + _EDGE, thick * 0.6, np.abs(y - middle)) * ends
    mix(paint, linear(face.hair) * np.float32(0.75), np.clip(brow * (0.86 + 0.14 * strands), 0, 1))


def _paint_glasses(face: Person, paint: Floats, x: Floats, y: Floats) -> None:
    """Rims and the bridge between them; in place."""
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


def _paint_mouth(face: Person, pose: Pose, paint: Floats, x: Floats, y: Floats) -> None:
    """Lips, the line between them, teeth where the mouth is open; in place."""
    across = np.clip(np.abs(x) / face.mouth_width, 0, 1.5)
    line = mouth_line(face, pose, x)
    gap = 0.085 * pose.mouth_open * np.sqrt(np.maximum(1 - (across / 0.85) ** 2, 0))
    bow = 1 - 0.22 * np.exp(-((x / 0.045) ** 2))
    upper = line + gap + face.lip_fullness * 1.05 * bow * np.maximum(1 - across**1.7, 0)
    lower = line - gap - face.lip_fullness * 1.3 * np.sqrt(np.maximum(1 - across**2, 0))
    inside = smooth(upper + _EDGE, upper - _EDGE, y) * smooth(lower - _EDGE, lower + _EDGE, y)
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
    face: Person, pose: Pose, paint: Floats, across: Floats, side: Floats, y: Floats
) -> None:
    """Eyes between their lids, lashes, the fold above; in place. across: -1 inner to 1 outer."""
    level = y - 0.02 - face.eye_tilt * across * face.eye_width
    arc = np.maximum(1 - across**2, 0)
    upper = face.eye_height * pose.eyes_open * arc**0.7
    lower = -0.62 * face.eye_height * arc
    inside = smooth(upper + _EDGE, upper - _EDGE / 2, level) * smooth(lower - _EDGE, lower, level)
    inside *= smooth(1.03, 0.97, np.abs(across))
    mix(paint, (0.62, 0.58, 0.55), inside)
    look = across * face.eye_width - side * pose.gaze[0] * 0.35 * face.eye_width
    away = np.hypot(look, level - 0.01 - pose.gaze[1] * 0.3 * face.eye_height)
    radius = 0.47 * face.eye_width
    mix(paint, linear(face.iris), inside * smooth(radius + _EDGE, radius - _EDGE, away))
    ring = smooth(radius * 0.72, radius * 0.95, away) * smooth(radius + _EDGE, radius, away)
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
