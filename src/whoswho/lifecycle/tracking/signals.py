"""Ending on a signal as an exception does: what is open gets closed, with the reason known."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

NAMES = ("SIGTERM", "SIGHUP", "SIGBREAK")  # those the system has


class Stopped(SystemExit):
    """The process was told to end; its exit code is the shell's for that signal."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.name = signal.Signals(number).name


@contextmanager
def as_exceptions() -> Iterator[None]:
    """Turn the first ending signal inside the block into `Stopped`; later ones are ignored.

    A signal that was ignored stays so (`nohup`). Only the main thread may set handlers.
    """
    before: dict[int, Any] = {}

    def stop(number: int, _frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, _pass_over)
        raise Stopped(number)

    if threading.current_thread() is threading.main_thread():
        for name in NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _pass_over(_number: int, _frame: FrameType | None) -> None:
    """Do nothing. Unlike SIG_IGN it is not inherited by programs that are started meanwhile."""


@contextmanager
def held_off() -> Iterator[None]:
    """Let no Ctrl-C cut the block short: it is the closing that a first one began."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, _pass_over)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
