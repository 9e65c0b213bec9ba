"""What one picture's own pixels say against it: size, shape, brightness, emptiness, blur."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from whoswho.params import Clean

TOO_SMALL = "too_small"
EXTREME_SHAPE = "extreme_shape"
TOO_DARK = "too_dark"
TOO_BRIGHT = "too_bright"
BLANK = "blank"
BLURRY = "blurry"

# The long side on which brightness and sharpness are measured, in pixels: blur is then told
# by what a viewer sees, not by how large the file was saved.
MEASURED_AT = 256


@dataclass(frozen=True)
class Quality:
    """Mean and deviation of brightness (0 to 255), and the variance of its Laplacian."""

    brightness: float
    contrast: float
    sharpness: float


def measure(image: Image.Image) -> Quality:
    """The quality of an RGB picture, on its grey copy of MEASURED_AT pixels."""
    scale = MEASURED_AT / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(size, Image.Resampling.BILINEAR).convert("L")
    grey = np.asarray(small, dtype=np.float64)
    return Quality(float(grey.mean()), float(grey.std()), _laplacian_variance(grey))


def scores(width: int, height: int, quality: Quality) -> dict[str, float]:
    """The number that each reason looks at, of a picture of this size and quality."""
    short, long = sorted((width, height))
    return {
        TOO_SMALL: short,
        EXTREME_SHAPE: round(long / short, 4),
        TOO_DARK: round(quality.brightness, 4),
        TOO_BRIGHT: round(quality.brightness, 4),
        BLANK: round(quality.contrast, 4),
        BLURRY: round(quality.sharpness, 4),
    }


def problems(width: int, height: int, quality: Quality, limits: Clean) -> list[str]:
    """Each reason against a picture of this size and quality."""
    short, long = sorted((width, height))
    checks = {
        TOO_SMALL: short < limits.min_side,
        EXTREME_SHAPE: long > limits.max_aspect_ratio * short,
        TOO_DARK: quality.brightness < limits.min_brightness,
        TOO_BRIGHT: quality.brightness > limits.max_brightness,
        BLANK: quality.contrast < limits.min_contrast,
        BLURRY: quality.sharpness < limits.min_sharpness,
    }
    return [reason for reason, fails in checks.items() if fails]


def _laplacian_variance(grey: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    if min(grey.shape) < 3:
        return 0.0
    middle = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * middle).var())
