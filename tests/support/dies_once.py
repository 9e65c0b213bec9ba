"""A preload of `dask worker`: in its first part of preprocess the worker's process is ended."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from whoswho.workers import member


def dask_setup(_worker: object) -> None:
    plain = member.run

    def run(expected: bytes, part: bytes) -> member.Done:
        mark = Path(os.environ["DIES_ONCE"])
        if b"prepared_files" in part and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(expected, part)

    member.run = run
