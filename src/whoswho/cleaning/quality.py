"""What one picture's own pixels say of it: size, brightness, contrast, sharpness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

# The long side on which brightness and sharpness are measured, in pixels: blur is then told
# by what a viewer sees, not by how large the file was saved.
MEASURED_AT = 256


@dataclass(frozen=True)
class Quality:
    """The numbers of one picture.

    Attributes:
        width, height: pixels, upright.
        brightness: mean, 0 to 255.
        contrast: standard deviation of brightness.
        sharpness: variance of the Laplacian of brightness.
    """

    width: int
    height: int
    brightness: float
    contrast: float
    sharpness: float


def measure(image: Image.Image) -> Quality:
    """The quality of an RGB picture, on its grey copy of MEASURED_AT pixels."""
    scale = MEASURED_AT / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(size, Image.Resampling.BILINEAR).convert("L")
    grey = np.asarray(small, dtype=np.float64)
    return Quality(*image.size, float(grey.mean()), float(grey.std()), _laplacian_variance(grey))


def _laplacian_variance(grey: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    if min(grey.shape) < 3:
        return 0.0
    middle = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * middle).var())
