"""What one picture's own pixels say of it: size, brightness, contrast, sharpness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from whoswho.artifacts.model.settings import Face

# The long side on which brightness and sharpness are measured, in pixels: blur is then told
# by what a viewer sees, not by how large the file was saved.
MEASURED_AT = 256
# From this opacity on, of 255, a pixel shows the picture and not what it was laid over.
_OPAQUE = 128
# The side of the square, in pixels, on which the sharpness of faces of any size is compared.
_FACE_SIDE = 32


@dataclass(frozen=True, slots=True)
class Quality:
    """The numbers of one picture.

    Attributes:
        width, height: pixels, upright.
        brightness: mean of what is opaque, 0 to 255.
        contrast: standard deviation of brightness.
        sharpness: variance of the Laplacian of brightness.
    """

    width: int
    height: int
    brightness: float
    contrast: float
    sharpness: float


def measure(image: Image.Image, opacity: Image.Image | None = None) -> Quality:
    """The quality of an RGB picture, on its grey copy of MEASURED_AT pixels.

    Args:
        opacity: 0 to 255, of any size; None where the whole picture is opaque.
    """
    scale = MEASURED_AT / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(size, Image.Resampling.BILINEAR).convert("L")
    grey = np.asarray(small, dtype=np.float64)
    seen = grey
    if opacity is not None:
        opaque = np.asarray(opacity.resize(size, Image.Resampling.NEAREST)) >= _OPAQUE
        seen = grey[opaque] if opaque.any() else grey
    return Quality(*image.size, float(seen.mean()), float(grey.std()), _laplacian_variance(grey))


def measure_face(image: Image.Image, face: Face) -> tuple[float, float]:
    """Mean brightness (0 to 255) of a face in an upright RGB picture, and its sharpness.

    That is the variance of the Laplacian of its brightness.
    """
    part = image.crop((face.left, face.top, face.right, face.bottom)).convert("L")
    square = part.resize((_FACE_SIDE, _FACE_SIDE), Image.Resampling.BICUBIC)
    brightness = float(np.asarray(part, dtype=np.float64).mean())
    return brightness, _laplacian_variance(np.asarray(square, dtype=np.float64))


def _laplacian_variance(grey: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    if min(grey.shape) < 3:
        return 0.0
    middle = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * middle).var())
