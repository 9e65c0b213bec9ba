"""RGB of 8 bits from whatever a file holds: alpha, palettes, CIE Lab, 16 bits and more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

_BITS, _PHOTOMETRIC = 258, 262  # tags of a TIFF
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
# The long side of an opacity, in pixels: enough to tell what is seen of a picture.
_OPACITY_SIDE = 256
_STRIP = 1_000_000  # pixels that are converted at a time, of eight bytes in several arrays


def to_rgb(image: Image.Image) -> Image.Image:
    """A loaded picture of any mode as RGB, what is transparent laid over white.

    A picture that is RGB already keeps its pixels. Beside the picture and the result only a
    strip is in memory, so that no mode takes more than 8 bytes a pixel.
    """
    mode = image.mode
    transparency = image.info.get("transparency")
    if mode == "RGB" and isinstance(transparency, tuple) and max(transparency) > 255:
        # Pillow keeps the high byte of 16-bit channels, and tRNS as it was written.
        image.info["transparency"] = tuple(value >> 8 for value in transparency)
    if mode in ("I", "F"):
        bounds = _bounds(image)
        return _in_strips(image, lambda strip: _stretched(strip, bounds))
    if mode.startswith("I;16"):
        tags: dict[int, Any] = getattr(image, "tag_v2", {})
        return _in_strips(image, lambda strip: _of_16_bits(strip, tags, transparency))
    if mode == "LAB":
        return _in_strips(image, _from_lab)
    if mode in _WITH_ALPHA or transparency is not None:
        return _in_strips(image, _over_white)
    # Not `copy`, which doubles the pixels, nor the file's own picture, which keeps its decoder.
    return image._new(image.im) if mode == "RGB" else image.convert("RGB")


def _in_strips(image: Image.Image, converted: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """The picture of what `converted` makes of strips of a picture."""
    if image.width * image.height <= _STRIP:
        return converted(image)
    result = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        result.paste(converted(strip), (0, top))
    return result


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The parts of a picture that are in memory one at a time, each after its first row."""
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _over_white(image: Image.Image) -> Image.Image:
    layer = _rgba(image)
    white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layer).convert("RGB")


def _rgba(image: Image.Image) -> Image.Image:
    if image.mode in ("La", "RGBa"):  # premultiplied; there is no direct way to RGBA
        image = image.convert(image.mode.upper())
    return image.convert("RGBA")


def opacity(image: Image.Image) -> Image.Image | None:
    """How opaque a picture that `to_rgb` was given is, 0 to 255, as a small grey picture.

    None where it has no transparency.
    """
    wide = image.mode in ("I", "F", "LAB") or image.mode.startswith("I;16")
    if wide or (image.mode not in _WITH_ALPHA and "transparency" not in image.info):
        return None
    scale = min(1.0, _OPACITY_SIDE / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return _rgba(image.resize(size, Image.Resampling.NEAREST)).getchannel("A")


def _from_lab(image: Image.Image) -> Image.Image:
    """CIE L*a*b* to sRGB."""
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert converted is not None
    return converted


def _of_16_bits(image: Image.Image, tags: dict[int, Any], transparency: object) -> Image.Image:
    """Grey of 16 bits divided by 257, so that 65535 becomes 255; a TIFF may have fewer bits."""
    values = np.asarray(image).astype(np.float64)
    bits = tags.get(_BITS, (16,))
    bits = bits[0] if isinstance(bits, tuple) else bits
    top = 2**bits - 1 if isinstance(bits, int) and 8 < bits < 16 else 65535
    grey = values * (255 / top)
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero
        grey = 255 - grey
    if isinstance(transparency, int):
        grey[values == transparency] = 255
    return _grey(grey)


def _grey(values: NDArray[np.float64]) -> Image.Image:
    pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels).convert("RGB")


def _bounds(image: Image.Image) -> tuple[float, float] | None:
    """The smallest and the largest value of a picture that is a number; None where none is."""
    low, high = [], []
    for _, strip in _strips(image):
        values = np.asarray(strip)
        known = values[np.isfinite(values)]
        if known.size:
            low.append(float(known.min()))
            high.append(float(known.max()))
    return (min(low), max(high)) if low else None


def _stretched(image: Image.Image, bounds: tuple[float, float] | None) -> Image.Image:
    """Grey of 32 bits brought to 8 by the range `bounds` that the picture's values have.

    These modes carry anything, and say nothing about it: fractions from 0 to 1 are multiplied by
    255; values within 0 to 255 stay; values within 0 to 65535 are taken for 16 bits; anything
    else is stretched from its smallest to its largest value.
    """
    values = np.asarray(image).astype(np.float64)
    if bounds is None:
        return _grey(np.zeros_like(values))
    low, high = bounds
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    if low >= 0 and image.mode == "F" and high <= 1:
        values *= 255
    elif low >= 0 and high <= 255:
        pass
    elif low >= 0 and high <= 65535:
        values /= 257
    elif low == high:
        values[:] = 127.0
    else:
        values = (values - low) * (255 / (high - low))
    return _grey(values)
