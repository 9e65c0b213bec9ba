"""The one way from a picture to the network's input, in training, judging and serving alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from whoswho.pictures import faces, opening
from whoswho.pictures.faces import Face
from whoswho.pictures.settings import Crop, PictureSettings

if TYPE_CHECKING:
    import torch

# Mean and deviation of ImageNet's red, green and blue, which every pretrained backbone expects.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Prepared:
    """A square picture for the network, what it shows of the original, and the face in it."""

    image: Image.Image
    crop: Crop
    face: Face | None


def prepare(image: Image.Image, settings: PictureSettings, face: Face | None) -> Prepared:
    """Cut an upright RGB picture around `face` and bring it to `size` x `size` pixels.

    Without a face, or where the settings want the whole picture, that is squashed to the square.
    """
    crop: Crop = "whole"
    if settings.crop == "face" and face is not None:
        crop = "face"
        image = image.crop(face_square(image.size, face, settings.margin))
    square = image.resize(
        (settings.size, settings.size), Image.Resampling.BICUBIC, reducing_gap=None
    )
    return Prepared(square, crop, face)


def face_square(size: tuple[int, int], face: Face, margin: float) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the square around a face, moved until it lies in the picture.

    Where the picture is too narrow for it, the square is as large as the picture allows.
    """
    width, height = size
    side = min(round(max(face.width, face.height) * (1 + 2 * margin)), width, height)
    side = max(side, 1)
    left = round((face.left + face.right - side) / 2)
    top = round((face.top + face.bottom - side) / 2)
    left = min(max(left, 0), width - side)
    top = min(max(top, 0), height - side)
    return left, top, left + side, top + side


class Preparer:
    """Takes files or bytes to the network's input; keeps the detector between pictures."""

    def __init__(self, settings: PictureSettings) -> None:
        self.settings = settings
        self._finder: faces.FaceFinder | None = None

    def from_source(self, source: Path | bytes) -> Prepared:
        """Open, find the main face, prepare.

        Raises:
            opening.ImageOpenError: why there is no picture.
        """
        return self.from_image(opening.open_picture(source))

    def from_image(self, image: Image.Image) -> Prepared:
        """`from_source` for a picture that is open already (upright RGB)."""
        return prepare(image, self.settings, self._main_face(image))

    def _main_face(self, image: Image.Image) -> Face | None:
        if self.settings.crop != "face":
            return None
        if self._finder is None:
            self._finder = faces.FaceFinder(
                self.settings.face_probability, self.settings.min_face_size
            )
        return faces.main_face(self._finder.find(image))


def to_tensor(images: Sequence[Image.Image]) -> torch.Tensor:
    """Prepared pictures as the network's input, see `standardized`."""
    return standardized(pixels(images))


def pixels(images: Sequence[Image.Image]) -> torch.Tensor:
    """Prepared pictures as they are: batch x size x size x 3 bytes."""
    import torch

    return torch.from_numpy(np.stack([np.asarray(image.convert("RGB")) for image in images]))


def standardized(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels as the network's input, where they are: batch x 3 x size x size, 32-bit.

    Its memory is channels last, as the pixels came: what a convolution is fastest with.
    """
    import torch

    count, height, width, _ = pixels.shape
    # Whole rows at once: three numbers at a time would take ten times as long.
    rows = pixels.view(count, height, width * 3).to(torch.float32)
    scale = torch.tensor([1 / (255 * deviation) for deviation in DEVIATION]).repeat(width)
    shift = torch.tensor([-m / d for m, d in zip(MEAN, DEVIATION, strict=True)]).repeat(width)
    rows.mul_(scale.to(rows.device)).add_(shift.to(rows.device))
    return rows.view(count, height, width, 3).permute(0, 3, 1, 2)
