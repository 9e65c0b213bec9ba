"""A face as 128 numbers that lie close for one person and apart for two.

The network is dlib's ResNet (dlib_face_recognition_resnet_model_v1 by Davis King), its weights
and the landmarks it is aligned by those of the package face-recognition-models. Both come with
the extra `faces`; without it `available` is false and nothing else here may be called.
"""

from __future__ import annotations

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
_LANDMARKS = "shape_predictor_5_face_landmarks.dat"
_NETWORK = "dlib_face_recognition_resnet_model_v1.dat"
# Of the picture around the face this much is enough to align it, as a fraction of the face's side.
_AROUND = 1.0

Vector = NDArray[np.float32]


@cache
def available() -> bool:
    """Whether the extra `faces` is installed."""
    return find_spec("dlib") is not None and all(
        path is not None and path.is_file() for path in map(_weights, (_LANDMARKS, _NETWORK))
    )


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
    dlib, landmarks, network = _model()
    pixels = np.asarray(part.convert("RGB"))
    box = dlib.rectangle(face.left - x, face.top - y, face.right - x, face.bottom - y)
    descriptor = network.compute_face_descriptor(pixels, landmarks(pixels, box), 0)
    return np.array(descriptor, np.float32)


@lru_cache(maxsize=1)
def _model() -> tuple[Any, Any, Any]:
    import dlib

    return (
        dlib,
        dlib.shape_predictor(str(_weights(_LANDMARKS))),
        dlib.face_recognition_model_v1(str(_weights(_NETWORK))),
    )


def _weights(name: str) -> Path | None:
    """A weight file of face-recognition-models, whose own import needs setuptools."""
    package = find_spec("face_recognition_models")
    if package is None or package.origin is None:
        return None
    return Path(package.origin).parent / "models" / name


def _dlib_version() -> str:
    for name in ("dlib-bin", "dlib"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "unknown"
