"""Where the faces in a picture are, and how many of them count.

The detector is MTCNN (`mtcnn`), whose weights come in the package facenet-pytorch.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from importlib.metadata import version as installed
from math import isfinite
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from whoswho.artifacts.model.settings import Face

# Faces are looked for with the long side brought down to this many pixels: a face of 8 % of it
# still has 50, more than the 48 the detector's last network sees. At 1280 it finds no more faces
# in press photographs, but twice as many false ones, in three times the time.
LONG_SIDE = 640
# The first network looks through a window of 12 pixels; a smaller face cannot be seen.
WINDOW = 12
# A face that fills its picture has no surroundings for the detector to know it by. So a picture in
# which nothing is found that is this sure is looked at again with half its short side around it,
# in the grey that the detector's networks take for zero.
SURE = 0.95
BORDER = 0.5
GREY = (128, 128, 128)


class FaceFinder:
    """Finds faces: the same pixels give the same boxes, in any order and company.

    Args:
        probability: from which the detector's find counts as a face, 0 to 1.
        smallest: smallest face looked for, as a fraction of the picture's short side.
    """

    def __init__(self, probability: float, smallest: float) -> None:
        self.probability = probability
        self.smallest = smallest
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Imported here: it brings torch along, 4 seconds that a picture without need of
            # a detector should not cost.
            import torch

            from whoswho.pictures.faces.mtcnn import Detector

            self._torch: Any = torch
            self._detector = Detector()

    def find(self, image: Image.Image) -> list[Face]:
        """The faces in an upright RGB picture, the tallest first."""
        return from_probability(self.find_all(image), self.probability)

    def find_all(self, image: Image.Image) -> list[Face]:
        """`find` with everything the detector takes for a face at all, however unsure."""
        pixels = image if image.mode == "RGB" else image.convert("RGB")
        faces = self.look(pixels, 0)
        if best_probability(faces) >= SURE:
            return faces
        return max(faces, self.look(pixels, BORDER), key=best_probability)

    def look(self, pixels: Image.Image, border: float) -> list[Face]:
        """The faces in a picture with `border` of its short side around it, the tallest first.

        The boxes are those of the picture without the border, cut at its edges.
        """
        width, height = pixels.size
        around = round(border * min(width, height))
        scale = min(1.0, LONG_SIDE / (max(width, height) + 2 * around))
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        if scale < 1:
            pixels = pixels.resize(small, Image.Resampling.BILINEAR)
        around = round(around * scale)
        if around:
            pixels = ImageOps.expand(pixels, around, GREY)
        faces = []
        for box, probability in self._detect(pixels):
            left, top, right, bottom = (side - around for side in box)
            face = Face(
                max(0, round(left * width / small[0])),
                max(0, round(top * height / small[1])),
                min(width, round(right * width / small[0])),
                min(height, round(bottom * height / small[1])),
                round(probability, 4),
            )
            if face.width > 0 and face.height > 0:
                faces.append(face)
        return sorted(faces, key=lambda face: (-face.height, -face.probability, face.left))

    def _detect(self, pixels: Image.Image) -> list[tuple[Sequence[float], float]]:
        smallest = max(WINDOW, self.smallest * min(pixels.size))
        threads = self._torch.get_num_threads()
        # Sums made in another number of parts differ in their last bits, and a find at the
        # border of a threshold would come and go with the number of cores.
        self._torch.set_num_threads(1)
        try:
            boxes = self._detector.detect(np.asarray(pixels), smallest)
        finally:
            self._torch.set_num_threads(threads)
        return [(sides, probability) for sides, probability in boxes if all(map(isfinite, sides))]


def finder_version(smallest: float) -> str:
    """All that the answer of `find_all` depends on besides the file: settings and libraries."""
    used = " ".join(f"{name}={installed(name)}" for name in ("facenet-pytorch", "torch", "pillow"))
    looks = f"side={LONG_SIDE} window={WINDOW} sure={SURE:g} border={BORDER:g}"
    return f"faces {looks} smallest={smallest:g} {used}"


def to_bytes(faces: Iterable[Face]) -> bytes:
    """Faces as `from_bytes` reads them."""
    return json.dumps([astuple(face) for face in faces]).encode()


def from_bytes(data: bytes) -> list[Face]:
    """What `to_bytes` was given."""
    return [Face(*sides) for sides in json.loads(data)]


def from_probability(faces: Iterable[Face], probability: float) -> list[Face]:
    """Those the detector is sure enough of."""
    return [face for face in faces if face.probability >= probability]


def best_probability(faces: Iterable[Face]) -> float:
    """The highest the detector gave any of them, 0 to 1; 0 without a face."""
    return max((face.probability for face in faces), default=0.0)


def count(faces: Sequence[Face], fraction: float) -> int:
    """How many faces count: the main one and all from `fraction` of its height."""
    main = main_face(faces)
    if main is None:
        return 0
    return sum(face.height >= fraction * main.height for face in faces)


def main_face(faces: Sequence[Face]) -> Face | None:
    """The tallest face, or None where there is none."""
    return max(faces, key=lambda face: (face.height, face.probability), default=None)
