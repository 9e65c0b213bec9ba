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


def problems(width: int, height: int, quality: Quality, limits: Clean) -> dict[str, str]:
    """Each reason against a picture of this size and quality, with its measure."""
    short, long = sorted((width, height))
    checks = {
        TOO_SMALL: (
            short < limits.shortest_side,
            f"{width}x{height}, short side below {limits.shortest_side}",
        ),
        EXTREME_SHAPE: (
            long > limits.longest_ratio * short,
            f"{width}x{height}, ratio {long / short:.2f} above {limits.longest_ratio:g}",
        ),
        TOO_DARK: (
            quality.brightness < limits.darkest,
            f"brightness {quality.brightness:.1f} below {limits.darkest:g}",
        ),
        TOO_BRIGHT: (
            quality.brightness > limits.brightest,
            f"brightness {quality.brightness:.1f} above {limits.brightest:g}",
        ),
        BLANK: (
            quality.contrast < limits.flattest,
            f"deviation {quality.contrast:.2f} below {limits.flattest:g}",
        ),
        BLURRY: (
            quality.sharpness < limits.blurriest,
            f"sharpness {quality.sharpness:.1f} below {limits.blurriest:g}",
        ),
    }
    return {reason: text for reason, (failed, text) in checks.items() if failed}


def _laplacian_variance(grey: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    if min(grey.shape) < 3:
        return 0.0
    middle = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * middle).var())
