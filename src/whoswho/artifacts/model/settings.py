"""How pictures are prepared for the network, as plain values that travel with the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Crop = Literal["face", "whole"]


@dataclass(frozen=True)
class PictureSettings:
    """What `prepare.prepare` needs to know.

    Attributes:
        margin: added on each side of the face, as a fraction of the face's longer side.
        size: pixels, side of the square the network sees.
        face_probability, min_face_size: see `faces.FaceFinder`.
    """

    crop: Crop
    margin: float
    size: int
    face_probability: float
    min_face_size: float


@dataclass(frozen=True)
class Face:
    """A face's box in pixels of the upright picture, and how sure the detector is (0 to 1)."""

    left: int
    top: int
    right: int
    bottom: int
    probability: float

    @property
    def width(self) -> int:
        """Pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Pixels."""
        return self.bottom - self.top


Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


class Normalization(NamedTuple):
    """What is subtracted from each channel, 0 to 1, and what it is then divided by."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    channels: str = "RGB"  # RGBA: a fourth one is 255 within the face's box, 0 elsewhere


# Mean and deviation of ImageNet's pictures, which torchvision's networks expect.
IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
SYMMETRIC = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # from -1 to 1
