"""Not asking too much of one host: how many requests at once, how often, and rests it asks for."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class _Host:
    slots: threading.Semaphore
    free_at: float = 0.0  # when the next request may start, on the monotonic clock


class Hosts:
    """The turns at every host."""

    def __init__(self, at_once: int, gap: float, stop: threading.Event) -> None:
        """Allow `at_once` requests to a host, each `gap` seconds after the one before.

        `stop` ends all waiting.
        """
        self._gap = gap
        self._stop = stop
        self._lock = threading.Lock()
        self._hosts = defaultdict[str, _Host](lambda: _Host(threading.Semaphore(at_once)))

    @contextmanager
    def turn(self, host: str, longest: float) -> Iterator[None]:
        """Wait for a turn at `host` and hold it.

        Raises:
            TimeoutError: the host asked for a rest longer than `longest` seconds.
        """
        with self._lock:
            entry = self._hosts[host]
        with entry.slots:
            while not self._stop.is_set():
                with self._lock:
                    now = time.monotonic()
                    wait = entry.free_at - now
                    if wait <= 0:
                        entry.free_at = now + self._gap
                        break
                if wait > longest:
                    raise TimeoutError(f"asks to wait {wait:.0f} s")
                self._stop.wait(wait)
            yield

    def rest(self, host: str, seconds: float) -> None:
        """Start no request to `host` for so long."""
        with self._lock:
            entry = self._hosts[host]
            entry.free_at = max(entry.free_at, time.monotonic() + seconds)
