"""What runs on a cluster's workers: they see that they fit, and call the function they are sent.

A scheduler and its workers import this module too, from their own installation of the package.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from distributed import Worker, WorkerPlugin, get_worker

from whoswho.errors import UserError
from whoswho.workers import pool
from whoswho.workers.installation import Installation, installation


@dataclass(frozen=True)
class Expected:
    """What a command expects of a worker.

    Attributes:
        installation: its code and libraries.
        mark: a file of the repository that the command wrote, under the path it has there.
        content: what is in it.
    """

    installation: Installation
    mark: Path
    content: str


@dataclass(frozen=True)
class Done:
    """What came of a part.

    Attributes:
        worker: its address.
        results: of the items, in order.
        refusal: why the worker does not fit, and did nothing.
        absent: files that items name, and that are not there.
    """

    worker: str
    results: list[Any] = field(default_factory=list)
    refusal: str = ""
    absent: tuple[Path, ...] = ()


class Preparation(WorkerPlugin):
    """Makes a worker ready, when it comes or when a command begins; refuses one that is unfit."""

    def __init__(self, expected: Expected) -> None:
        self.expected = expected

    def setup(self, worker: Worker) -> None:
        """Let the worker's process keep to one core.

        Raises:
            UserError: it does not fit.
        """
        pool.keep_to_one_core()
        threads = worker.state.nthreads
        why = refusal(self.expected)
        if threads != 1:
            why = f"has {threads} threads; start it with --nthreads 1 and --nworkers as many"
        if why:
            raise UserError(f"worker {worker.address} {why}")


def run(expected: bytes, part: bytes) -> Done:
    """Call a function of a part; both come pickled, so that no scheduler reads them.

    Pickles may run code, and so may whoever reaches a scheduler, with or without these: they are
    read from nobody else (docs/scale.md, "Who may reach it"). A worker that came late was not
    asked yet whether it fits.
    """
    worker = get_worker().address
    if why := refusal(pickle.loads(expected)):
        return Done(worker, refusal=why)
    _one_thread()
    function, items = pickle.loads(part)
    absent = tuple(path for path in pool.files_of(items) if not path.exists())
    return Done(worker, function(items), absent=absent)


@cache
def refusal(expected: Expected) -> str:
    """Why this process does not fit; empty where it does."""
    if why := expected.installation.difference(installation()):
        return why
    try:
        seen = expected.mark.read_text(encoding="utf-8")
    except OSError:
        seen = ""
    if seen == expected.content:
        return ""
    return f"does not see the files of {expected.mark.parents[1]}; share that folder with it"


@cache
def _one_thread() -> None:
    """Once more in the thread that computes: OpenMP keeps their number for each thread."""
    pool.keep_to_one_core()
