"""A face as 128 numbers that lie close for one person and apart for two.

The network is dlib's ResNet (dlib_face_recognition_resnet_model_v1 by Davis King), its weights
and the landmarks it is aligned by those of the package face-recognition-models. Where dlib or the
package is not installed, `available` is false and nothing else here may be called.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from whoswho.artifacts.model.settings import Face

SIZE = 128
MODEL = "dlib"
PACKAGE = "face-recognition-models"
FILES = {
    "landmarks": "shape_predictor_5_face_landmarks.dat",
    "network": "dlib_face_recognition_resnet_model_v1.dat",
}
# Of the picture around the face this much is enough to align it, as a fraction of the face's side.
_AROUND = 1.0

Vector = NDArray[np.float32]
Pixels = NDArray[np.uint8]  # (height, width, channels)


@cache
def available() -> bool:
    """Whether dlib and the package of its weights are installed."""
    return find_spec("dlib") is not None and weight_files() is not None


def embedder_version(face: Face) -> str:
    """All that `embed` depends on besides the file: the face's box and the libraries."""
    box = f"{face.left},{face.top},{face.right},{face.bottom}"
    return (
        f"embedding box={box} dlib={_dlib_version()} pillow={version('pillow')} "
        f"face-recognition-models={version('face-recognition-models')}"
    )


def embed(image: Image.Image, face: Face) -> Vector:
    """The 128 numbers of a face in an upright RGB picture; one thread, always the same."""
    left, top = face.left - _AROUND * face.width, face.top - _AROUND * face.height
    right, bottom = face.right + _AROUND * face.width, face.bottom + _AROUND * face.height
    x, y = max(0, round(left)), max(0, round(top))
    part = image.crop((x, y, min(image.width, round(right)), min(image.height, round(bottom))))
    box = face.left - x, face.top - y, face.right - x, face.bottom - y
    return _embedder().embed(np.asarray(part.convert("RGB")), box)


class Embedder:
    """dlib's landmarks and network, made from the bytes of their files (the keys of FILES)."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        import dlib

        self._dlib: Any = dlib
        # dlib reads them from paths alone.
        with tempfile.TemporaryDirectory(prefix="whoswho-") as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            self._landmarks = dlib.shape_predictor(f"{folder}/landmarks")
            self._network = dlib.face_recognition_model_v1(f"{folder}/network")

    def embed(self, pixels: Pixels, box: tuple[int, int, int, int]) -> Vector:
        """The vector of the face in a box (left, top, right, bottom) of RGB pixels."""
        landmarks = self._landmarks(pixels, self._dlib.rectangle(*box))
        return np.array(self._network.compute_face_descriptor(pixels, landmarks, 0), np.float32)

    def embed_masked(self, pixels: Pixels) -> Vector:
        """The vector of the face marked in a fourth channel; zeros where none is."""
        rows, columns = (np.flatnonzero((pixels[..., 3] > 127).any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return np.zeros(SIZE, np.float32)
        box = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
        return self.embed(np.ascontiguousarray(pixels[..., :3]), box)


_loaded: Embedder | None = None  # in a process that embeds for another


def load(files: Mapping[str, bytes]) -> None:
    """Make this process ready for `embed_loaded`."""
    global _loaded
    _loaded = Embedder(files)


def embed_loaded(pixels: Pixels) -> Vector:
    """`Embedder.embed_masked` of the one that `load` made."""
    assert _loaded is not None
    return _loaded.embed_masked(pixels)


@lru_cache(maxsize=1)
def _embedder() -> Embedder:
    files = weight_files()
    assert files is not None
    return Embedder({name: path.read_bytes() for name, path in files.items()})


def weight_files() -> dict[str, Path] | None:
    """The files of face-recognition-models, by their keys in FILES; None where one is absent.

    They are found without importing the package, which needs setuptools.
    """
    package = find_spec(PACKAGE.replace("-", "_"))
    if package is None or package.origin is None:
        return None
    folder = Path(package.origin).parent / "models"
    files = {name: folder / file for name, file in FILES.items()}
    return files if all(path.is_file() for path in files.values()) else None


def _dlib_version() -> str:
    for name in ("dlib-bin", "dlib"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"
