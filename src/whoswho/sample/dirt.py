"""The files of a crawl that are no sound portrait: what they hold, byte for byte.

Copies are made from the files already written, as the web makes them: decoded, changed, encoded
again.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from whoswho.sample.backgrounds import BACKGROUNDS, landscape
from whoswho.sample.brushes import any_colour

ERROR_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>403 Forbidden</title></head>\n"
    b"<body><h1>403 Forbidden</h1><p>Hotlinking of pictures is not allowed.</p></body></html>\n"
)
DS_STORE = b"\x00\x00\x00\x01Bud1" + bytes(6140)  # the head of the macOS file manager's notes
ORIENTATION = 0x0112  # the EXIF tag
TURN_RIGHT = 6  # its value for "turn clockwise by a quarter to show"
TRUNCATED_SHARE = 0.6  # of the bytes


_FORMATS = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}


def encode(picture: Image.Image, suffix: str, quality: int, **more: object) -> bytes:
    """The bytes of a picture as .jpg, .png, .webp; quality: of the lossy formats."""
    memory = io.BytesIO()
    how = {"optimize": True} if suffix == ".png" else {"quality": quality}
    picture.save(memory, _FORMATS[suffix], **how, **more)
    return memory.getvalue()


def odd_format(picture: Image.Image, how: str, quality: int) -> bytes:
    """A sound picture in one of the ways that trip programs up; how: a key of ODD_FORMATS."""
    if how == "webp named jpg":
        return encode(picture, ".webp", quality)
    if how == "exif turned":
        exif = Image.Exif()
        exif[ORIENTATION] = TURN_RIGHT
        return encode(picture.transpose(Image.Transpose.ROTATE_90), ".jpg", quality, exif=exif)
    if how == "palette":
        few = picture.quantize(96, dither=Image.Dither.NONE)
        return encode(few, ".png", quality, transparency=few.getpixel((0, 0)))
    return encode(picture.convert({"cmyk": "CMYK", "grey": "L"}[how]), ".jpg", quality)


# how a sound portrait is stored oddly -> its suffix
ODD_FORMATS = {
    "webp named jpg": ".jpg",
    "exif turned": ".jpg",
    "cmyk": ".jpg",
    "palette": ".png",
    "grey": ".jpg",
}


# how a copy of a picture is changed
COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "cropped": lambda picture: picture.crop((3, 4, picture.width - 5, picture.height - 3)),
    "encoded again": lambda picture: picture,
    "mirrored": ImageOps.mirror,
    "resized": lambda picture: picture.resize(
        (int(picture.width * 0.7), int(picture.height * 0.7)), Image.Resampling.LANCZOS
    ),
}


def copy(original: Path, how: str) -> bytes:
    """The bytes of a copy of a JPEG file; how: a key of COPIES, or "" for the same bytes."""
    if not how:
        return original.read_bytes()
    with Image.open(original) as opened:
        picture = COPIES[how](opened.convert("RGB"))
    return encode(picture, ".jpg", 45 if how == "encoded again" else 80)


def animation(frames: list[Image.Image]) -> bytes:
    """An animated GIF of the frames."""
    memory = io.BytesIO()
    first, *others = (frame.quantize(64, dither=Image.Dither.NONE) for frame in frames)
    first.save(memory, "GIF", save_all=True, append_images=others, duration=400, loop=0)
    return memory.getvalue()


def empty_scene(how: str, random: np.random.Generator) -> Image.Image:
    """A picture with nobody in it; how: "landscape" or "podium"."""
    height, width = 280, 400
    if how == "landscape":
        picture = landscape(random, height, width)
    else:
        picture = BACKGROUNDS["curtain"](random, height, width)
        colour = np.asarray(any_colour(random, 0.4, 0.7), np.float32)
        for left, top in ((0.15, 0.6), (0.4, 0.45), (0.65, 0.7)):
            step = picture[int(top * height) :, int(left * width) : int((left + 0.24) * width)]
            step[:] = colour * np.linspace(1, 0.6, len(step), dtype=np.float32)[:, None, None]
            step[:6] = colour * 1.25
    grain = 0.01 * random.standard_normal(picture.shape)
    return Image.fromarray((np.clip(picture + grain, 0, 1) * 255).astype(np.uint8))
