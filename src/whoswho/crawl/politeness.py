"""Not asking too much of one host: how many requests at once, how often, and rests it asks for."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class _Host:
    slots: threading.Semaphore
    lock: threading.Lock = field(default_factory=threading.Lock)
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
        entry = self._entry(host)
        with entry.slots:
            while not self._stop.is_set():
                with entry.lock:
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
        entry = self._entry(host)
        with entry.lock:
            entry.free_at = max(entry.free_at, time.monotonic() + seconds)

    def _entry(self, host: str) -> _Host:
        with self._lock:
            return self._hosts[host]
