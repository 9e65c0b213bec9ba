"""Calls in a thread of their own: in the background, or within a limit of time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")


def in_background(function: Callable[[], T]) -> Future[T]:
    """The future result of `function`, called in a thread that keeps no process from ending."""
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised again where the result is read
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result


def call_within(seconds: float | None, function: Callable[[], T]) -> T:
    """What `function` returns, and every error it raises; None waits without end.

    For calls that know no limit themselves, such as looking up a host's name. One that takes too
    long is left behind, and goes on in its thread.

    Raises:
        TimeoutError: it did not return within `seconds`.
    """
    result = in_background(function)
    wait([result], seconds)
    if not result.done():
        raise TimeoutError(f"no answer within {seconds:g} s")
    return result.result()
