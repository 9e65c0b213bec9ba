"""The one way from a picture to the network's input, in training, judging and serving alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from PIL import Image

from whoswho.artifacts.model.settings import Box, Crop, Face, PictureSettings
from whoswho.pictures import faces, opening


@dataclass(frozen=True)
class Prepared:
    """A square picture for the network, and what it shows of the original.

    Attributes:
        face: the main face, in the original.
        box: of that face in `image`; None where the whole picture is shown.
        faces: how many were found; None where none was looked for.
    """

    image: Image.Image
    crop: Crop
    face: Face | None
    box: Box | None
    faces: int | None = None


def prepare(image: Image.Image, settings: PictureSettings, face: Face | None) -> Prepared:
    """Cut an upright RGB picture around `face` and bring it to `size` x `size` pixels.

    Without a face, or where the settings want the whole picture, that is squashed to the square.
    """
    crop: Crop = "whole"
    box: Box | None = None
    if settings.crop == "face" and face is not None:
        crop = "face"
        square = face_square(image.size, face, settings.margin)
        box = _inside(square, face, settings.size)
        image = image.crop(square)
    resized = image.resize(
        (settings.size, settings.size), Image.Resampling.BICUBIC, reducing_gap=None
    )
    return Prepared(resized, crop, face, box)


def _inside(square: Box, face: Face, size: int) -> Box:
    """The face's box in its square, once that has `size` pixels a side."""
    left, top, right, _ = square
    scale = size / (right - left)
    sides = (face.left - left, face.top - top, face.right - left, face.bottom - top)
    x0, y0, x1, y1 = (min(max(round(side * scale), 0), size) for side in sides)
    return x0, y0, x1, y1


def face_square(size: tuple[int, int], face: Face, margin: float) -> Box:
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

    def from_source(self, source: Path | bytes) -> Prepared:
        """Open, find the main face, prepare.

        Raises:
            opening.ImageOpenError: why there is no picture.
        """
        return self.from_image(opening.open_picture(source))

    def from_image(self, image: Image.Image) -> Prepared:
        """`from_source` for a picture that is open already (upright RGB)."""
        if self.settings.crop != "face":
            return prepare(image, self.settings, None)
        faces_found = self._finder.find(image)
        prepared = prepare(image, self.settings, faces.main_face(faces_found))
        return replace(prepared, faces=len(faces_found))

    @cached_property
    def _finder(self) -> faces.FaceFinder:
        return faces.FaceFinder(self.settings.face_probability, self.settings.min_face_size)
