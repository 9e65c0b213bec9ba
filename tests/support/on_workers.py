"""Functions that a test maps on workers, which find them in their own copy of this module."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from whoswho.errors import UserError
from whoswho.workers import pool


def square(number: int) -> int:
    return number * number


def name(file: Path) -> str:
    return file.name


def cores(_number: int) -> tuple[int, str | None]:
    return pool.cores(), os.environ.get("OMP_NUM_THREADS")


def ends_its_process(file: Path) -> str:
    if file.name == "7":
        os.kill(os.getpid(), signal.SIGKILL)
    return file.name


def end_their_process(files: list[Path]) -> list[str]:
    return [ends_its_process(file) for file in files]


def finds_it_bad(number: int) -> int:
    if number >= 5:
        raise UserError(f"{number}: bad; mend it")
    return number


def takes_its_time(file: Path) -> str:
    time.sleep(0.1)
    return file.name
