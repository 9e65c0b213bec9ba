"""What takes long to make and nobody changes: made once for all processes of the tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

_folders: list[Path] = []


def keep_in(folder: Path) -> None:
    """Let all processes of this run of the tests share `folder`."""
    _folders[:] = [folder]


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name`, made by the first process that asks; read it or copy it."""
    folder = _folders[0] / name
    with FileLock(_folders[0] / f"{name}.lock"):
        if not folder.exists():
            half = folder.with_suffix(".half")
            shutil.rmtree(half, ignore_errors=True)  # its maker failed
            make(half)
            half.rename(folder)
    return folder
