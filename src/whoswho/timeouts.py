"""A limit on the time of a call that has none of its own, such as looking up a host's name."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def call_within(seconds: float | None, function: Callable[[], T]) -> T:
    """What `function` returns, and every error it raises; None waits without end.

    It runs in a thread of its own, which is left behind where it takes too long, and does not
    keep the process from ending.

    Raises:
        TimeoutError: it did not return within `seconds`.
    """
    result: Future[T] = Future()

    def run() -> None:
        try:
            result.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised again where it was called from
            result.set_exception(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not result.done():
        raise TimeoutError(f"no answer within {seconds:g} s")
    return result.result()
