"""Processes of this machine that one function is mapped over many pictures in."""

from __future__ import annotations

import gc
import multiprocessing
import multiprocessing.util
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import fields, is_dataclass
from itertools import islice
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import TypeVar

from threadpoolctl import threadpool_limits

from whoswho.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

# Below it the processes cost more to start than they save, on two cores: one that looks for faces
# imports torch, which takes as long as looking for faces in some thirty pictures.
FEW = 64
# Each process that looks for faces holds about 400 MB.
MOST_WORKERS = 8
# Of `stream`: items under way or waiting to be taken, and how many are sent at once.
AHEAD = 64
_PART = 2

_has_one_core = False  # this process is one of many, see `keep_to_one_core`


def cores() -> int:
    """How many processors this process may use."""
    if _has_one_core:
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def stream(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """`function` of every item, in order, in so many processes.

    They are at most AHEAD items ahead of whoever takes the results: so many lie in memory, however
    many there are and however slowly they are taken. Where a process is ended from outside, as the
    system does when memory is short, the items it may have been at are done again, one by one.

    Raises:
        UserError: an item ended its process a second time.
    """
    pool, pending = process_pool(workers), deque[tuple[list[Item], Future[list[Result]]]]()
    parts = iter(items)
    try:
        while True:
            while len(pending) * _PART < AHEAD and (part := list(islice(parts, _PART))):
                pending.append((part, _submit(pool, function, part)))
            if not pending:
                return
            part, future = pending.popleft()
            try:
                results = future.result()
            except BrokenProcessPool:
                pool.shutdown()
                print("whoswho: warning: a process was ended from outside (not enough memory?); "
                      "what it was at is done again", file=sys.stderr, flush=True)  # fmt: skip
                results = [_alone(function, item) for item in part]
                pool = process_pool(workers)
                pending = deque(
                    (part, future if future.done() and not future.exception()
                     else _submit(pool, function, part))
                    for part, future in pending
                )  # fmt: skip
            yield from results
    finally:
        pool.shutdown(cancel_futures=True)


def _submit(
    pool: ProcessPoolExecutor, function: Callable[[Item], Result], part: list[Item]
) -> Future[list[Result]]:
    try:
        return pool.submit(of_part, function, part)
    except BrokenProcessPool as error:  # since the last result was taken
        failed: Future[list[Result]] = Future()
        failed.set_exception(error)
        return failed


def _alone(function: Callable[[Item], Result], item: Item) -> Result:
    """`function` of an item, in a process of its own."""
    with process_pool(1) as pool:
        try:
            return pool.submit(function, item).result()
        except BrokenProcessPool:
            raise ends_its_process(item) from None


def ends_its_process(item: object) -> UserError:
    """What is said of an item that no process could work on to the end."""
    return UserError(
        f"{next(files_of(item), '')}: the process that worked on it was ended from outside, twice "
        "(not enough memory?); make room for it, or take the file out, then run the same command "
        "again"
    )


def files_of(item: object) -> Iterator[Path]:
    """The files that an item names, in it or in its parts."""
    if isinstance(item, Path):
        yield item
    elif isinstance(item, list | tuple):
        for part in item:
            yield from files_of(part)
    elif is_dataclass(item):
        yield from files_of([getattr(item, each.name) for each in fields(item)])


def of_part(function: Callable[[Item], Result], part: Sequence[Item]) -> list[Result]:
    """`function` of every item of a part: what is sent to another process."""
    return [function(item) for item in part]


def process_pool(count: int, prepare: Callable[[], None] | None = None) -> ProcessPoolExecutor:
    """Processes of one thread each; `prepare`, a module's own, is called first in each."""
    return ProcessPoolExecutor(
        count, mp_context=_Context(), initializer=_begin, initargs=(prepare,)
    )


class _Process(SpawnProcess):
    """One that Ctrl-C does not reach, from its first moment on: the one that started it ends it.

    The signal goes to all processes of a terminal, and each would print where it was.
    """

    def start(self) -> None:
        if not hasattr(signal, "pthread_sigmask"):  # Windows
            super().start()
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # is inherited
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Context(SpawnContext):
    """Started afresh, not forked: a copy of a process whose libraries run threads may hang."""

    Process = _Process


def _begin(prepare: Callable[[], None] | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for where it could not be blocked, see _Process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.set_threshold(20_000, 100, 100)  # this and the next line as in src/stage.py
    multiprocessing.util.Finalize(None, gc.freeze, exitpriority=0)
    keep_to_one_core()
    if prepare is not None:
        prepare()


def _end_with_parent() -> None:
    """End this process when the one that started it ends, killed too: nobody would take more."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def keep_to_one_core() -> None:
    """Let this process keep to one core: threads that wait for other processes' cores spin."""
    global _has_one_core
    _has_one_core = True
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # for libraries that are loaded yet
    threadpool_limits(1)  # for those that the program's main module brought along
