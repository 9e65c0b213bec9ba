"""Weights that an installed package carries: there without a network."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from whoswho.backbone.network import State, lite0
from whoswho.backbone.weights.downloads import UnavailableError
from whoswho.backbone.weights.files import open_state
from whoswho.pictures import embedding


def state_in(package: str) -> State:
    """The tensors in a package; dlib's files are tensors of bytes.

    Raises:
        UnavailableError: the package is not installed.
    """
    if package == embedding.PACKAGE:
        files = embedding.weight_files()
        if files is None:
            raise _absent(package)
        return {n: torch.from_numpy(np.fromfile(path, np.uint8)) for n, path in files.items()}
    return open_state(lite0_file())


def lite0_file() -> Path:
    """The file of EfficientNet-Lite0's weights, found without running the package's code.

    Raises:
        UnavailableError: the package is not installed.
    """
    spec = find_spec(lite0.PACKAGE.replace("-", "_"))
    path = spec and spec.origin and Path(spec.origin).parent / lite0.FILE
    if not path or not path.is_file():
        raise _absent(lite0.PACKAGE)
    return path


def _absent(package: str) -> UnavailableError:
    return UnavailableError(
        "not installed",
        f"the package is not installed (pip install -c constraints.txt {package})",
    )
