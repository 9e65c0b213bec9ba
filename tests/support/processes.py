"""Processes that a test starts and then signals."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Any

# Before code that imports torch or MLflow: what src/stage.py says of the collector.
QUICK = """import atexit, gc
gc.set_threshold(20_000, 100, 100)
atexit.register(gc.freeze)
"""


def start(command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
    """Start a process that signals end as at a terminal.

    A process inherits the signals that its parent ignores, and whoever runs the tests may ignore
    some: `nohup` does SIGHUP, a script that runs them with `&` SIGINT.
    """
    restore = _restore_signals if os.name == "posix" else None
    return subprocess.Popen(command, text=True, preexec_fn=restore, **options)


def _restore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
