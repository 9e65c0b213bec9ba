"""Weights that an installed package carries: there without a network."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from whoswho.backbone.network import State, lite0
from whoswho.backbone.weights.downloads import UnavailableError
from whoswho.backbone.weights.files import open_state

_FILES = {lite0.PACKAGE: lite0.FILE}


def state_in(package: str) -> State:
    """The tensors in a package.

    Raises:
        UnavailableError: the package is not installed.
    """
    return open_state(file_of(package))


def file_of(package: str) -> Path:
    """The weights file of a package, found without running the package's code.

    Raises:
        UnavailableError: the package is not installed.
    """
    spec = find_spec(package.replace("-", "_"))
    path = spec and spec.origin and Path(spec.origin).parent / _FILES[package]
    if not path or not path.is_file():
        raise UnavailableError(
            "not installed",
            f"the package is not installed (pip install -c constraints.txt {package})",
        )
    return path
