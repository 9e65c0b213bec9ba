"""Which servers of this repository run here, and the version each has in memory."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from whoswho import paths

FOLDER = Path(".whoswho/serving")  # a file a process: its id and start; in it the version's number


def note(root: Path, number: int) -> None:
    """Keep that this process answers with a version from now on."""
    paths.write_text(root / FOLDER / _name(os.getpid()), f"{number}\n")
    for file in (root / FOLDER).iterdir():
        if not _lives(file):
            file.unlink(missing_ok=True)


def versions(root: Path) -> dict[int, int]:
    """The version that each process here answers with, by the process's id."""
    folder = root / FOLDER
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return {int(file.name.split("-")[0]): int(file.read_text()) for file in files if _lives(file)}


def _name(pid: int) -> str:
    return f"{pid}-{round(psutil.Process(pid).create_time())}"


def _lives(file: Path) -> bool:
    """Whether the process still runs; an id may have been given anew."""
    pid = file.name.split("-")[0]
    try:
        return pid.isdigit() and file.name == _name(int(pid))
    except psutil.Error:
        return False
