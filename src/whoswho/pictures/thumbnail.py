"""Small copies of pictures, for people to look at."""

from __future__ import annotations

import io

from PIL import Image


def jpeg(image: Image.Image, side: int, quality: int) -> bytes:
    """A JPEG of `image`, shrunk to `side` pixels on its longest side where it is larger."""
    small = image.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    target = io.BytesIO()
    small.save(target, "JPEG", quality=quality, optimize=True)
    return target.getvalue()
