"""A Dask scheduler and its workers on loopback, started by the test that needs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from bench.workspace import PROGRAMS
from support import processes
from support.repository import REPOSITORY

SOURCE = REPOSITORY / "src"
DIES_ONCE = Path(__file__).with_name("dies_once.py")


class DaskCluster:
    """A scheduler, and workers one by one; what they say lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._started: list[subprocess.Popen[str]] = []
        file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--host", "127.0.0.1", "--port", "0")
        until(lambda: file.exists() and file.read_text().endswith("}"))
        self.address = str(json.loads(file.read_text())["address"])

    def worker(self, *options: str, source: Path = SOURCE, **more: str) -> subprocess.Popen[str]:
        """Start one more worker, on the code in `source`; it has joined."""
        log = self.folder / f"{len(self._started)}.log"
        path = os.pathsep.join([str(source), str(REPOSITORY / "tests")])
        standard = ["--nworkers", "1", "--nthreads", "1", "--memory-limit", "0"]
        worker = self._start("worker", *standard, *options, PYTHONPATH=path, **more)
        until(lambda: "Starting established connection to" in log.read_text())
        return worker

    def stop(self, process: subprocess.Popen[str]) -> None:
        """End a scheduler, or a worker with its nanny."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._started.remove(process)

    def stop_all(self) -> None:
        for process in list(reversed(self._started)):
            self.stop(process)

    def _start(self, program: str, *options: str, **more: str) -> subprocess.Popen[str]:
        shared = ["--no-dashboard", "--scheduler-file", str(self.folder / "scheduler.json")]
        if program == "worker":
            shared += ["--local-directory", str(self.folder)]
        # Where the tests themselves are killed, nobody stops them.
        shared += ["--death-timeout", "60"] if program == "worker" else ["--idle-timeout", "300"]
        with (self.folder / f"{len(self._started)}.log").open("w") as log:
            process = processes.start(
                [str(PROGRAMS / "dask"), program, *shared, *options],
                stdout=log, stderr=log, cwd=self.folder, start_new_session=True,
                # A worker that is lost once is enough: the tests need not wait for four.
                env={**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
                     "PYTHONPATH": str(SOURCE), **more},
            )  # fmt: skip
        self._started.append(process)
        return process


def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds, half a minute at most."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
