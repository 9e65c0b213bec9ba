"""RGB of 8 bits from whatever a file holds: alpha, palettes, CIE Lab, 16 bits and more."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

_BITS, _PHOTOMETRIC = 258, 262  # tags of a TIFF
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
# The long side of an opacity, in pixels: enough to tell what is seen of a picture.
_OPACITY_SIDE = 256


def to_rgb(image: Image.Image) -> Image.Image:
    """A loaded picture of any mode as RGB, what is transparent laid over white."""
    mode = image.mode
    if mode in ("I", "F") or mode.startswith("I;16"):
        return _scaled(image)
    if mode == "LAB":
        return _from_lab(image)
    transparency = image.info.get("transparency")
    if mode == "RGB" and isinstance(transparency, tuple) and max(transparency) > 255:
        # Pillow keeps the high byte of 16-bit channels, and tRNS as it was written.
        image.info["transparency"] = tuple(value >> 8 for value in transparency)
    if mode in _WITH_ALPHA or transparency is not None:
        if mode in ("La", "RGBa"):  # premultiplied; there is no direct way to RGBA
            image = image.convert(mode.upper())
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB") if mode != "RGB" else image.copy()


def opacity(image: Image.Image) -> Image.Image | None:
    """How opaque a picture that `to_rgb` was given is, 0 to 255, as a small grey picture.

    None where it has no transparency.
    """
    wide = image.mode in ("I", "F", "LAB") or image.mode.startswith("I;16")
    if wide or (image.mode not in _WITH_ALPHA and "transparency" not in image.info):
        return None
    scale = min(1.0, _OPACITY_SIDE / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(size, Image.Resampling.NEAREST)
    if small.mode in ("La", "RGBa"):
        small = small.convert(small.mode.upper())
    return small.convert("RGBA").getchannel("A")


def _from_lab(image: Image.Image) -> Image.Image:
    """CIE L*a*b* to sRGB."""
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert converted is not None
    return converted


def _scaled(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits brought to 8 by the range its values have.

    16 bits are divided by 257, so that 65535 becomes 255. Wider modes carry anything, and say
    nothing about it: fractions from 0 to 1 are multiplied by 255; values within 0 to 255 stay;
    values within 0 to 65535 are taken for 16 bits; anything else is stretched from its smallest
    to its largest value.
    """
    values: NDArray[np.float64] = np.asarray(image).astype(np.float64)
    if not image.mode.startswith("I;16"):
        return _grey(_stretched(values, fractions=image.mode == "F"))
    tags: dict[int, Any] = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS, (16,))
    bits = bits[0] if isinstance(bits, tuple) else bits
    top = 2**bits - 1 if isinstance(bits, int) and 8 < bits < 16 else 65535
    grey = values * (255 / top)
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero
        grey = 255 - grey
    transparency = image.info.get("transparency")
    if isinstance(transparency, int):
        grey[values == transparency] = 255
    return _grey(grey)


def _grey(values: NDArray[np.float64]) -> Image.Image:
    pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels).convert("RGB")


def _stretched(values: NDArray[np.float64], fractions: bool) -> NDArray[np.float64]:
    known = values[np.isfinite(values)]
    if known.size == 0:
        return np.zeros_like(values)
    low, high = float(known.min()), float(known.max())
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    if low >= 0 and fractions and high <= 1:
        return values * 255
    if low >= 0 and high <= 255:
        return values
    if low >= 0 and high <= 65535:
        return values / 257
    if low == high:
        return np.full_like(values, 127.0)
    return (values - low) * (255 / (high - low))
