"""Made pictures that no other seed gives."""

from __future__ import annotations

import io
import random
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw


def blocks(number: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Noise in blocks: as many bytes as a photograph."""
    dice = np.random.default_rng(number)
    colours = dice.integers(0, 256, (size[1] // 20, size[0] // 20, 3), np.uint8)
    return Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC)


def png(seed: int = 0, side: int = 90) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side + 7, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def draw_stripes(path: Path, label: int, number: int, size: int = 160) -> None:
    """A picture of label number `label`: its own stripes, anywhere, in any colour."""
    dice = random.Random(f"{label}/{number}")
    image = Image.new("RGB", (size, size), tuple(dice.randrange(256) for _ in range(3)))
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = dice.randrange(size), dice.randrange(size)
        across, down = ((90, 8), (8, 90), (30, 30))[label % 3]
        pen.rectangle(
            (x, y, x + across, y + down), fill=tuple(dice.randrange(256) for _ in range(3))
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def portrait(number: int = 0) -> Image.Image:
    """A drawn person whose face the detector finds, as the sample has them."""
    from whoswho.sample.people import PEOPLE
    from whoswho.sample.plan import plan
    from whoswho.sample.scene import draw_picture

    files = [file for file in plan(0, 4) if file.kind == "portrait" and file.scene]
    file = files[number]
    assert file.scene is not None
    people = [(PEOPLE[label], pose) for label, pose in file.people]
    return Image.fromarray(draw_picture(file.scene, people))
