"""One function over many pictures on the workers of a Dask cluster, the results in order.

The environment names its scheduler. The name of a function, parameters and paths travel there,
results come back; workers read and write the pictures themselves, in a folder that all machines
see under one path.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
import secrets
import socket
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from whoswho import paths
from whoswho.errors import UserError, one_line
from whoswho.timeouts import call_within
from whoswho.workers import pool
from whoswho.workers.installation import installation

if TYPE_CHECKING:
    from whoswho.workers.member import Done, Expected

Item = TypeVar("Item")
Result = TypeVar("Result")

VARIABLE = "WHOSWHO_CLUSTER"
# Seconds to wait for the scheduler and its first worker; and for a worker where all were lost.
CONNECT, ALL_LOST = 10.0, 60.0
PARTS_A_WORKER = 4  # that wait or are under way
_LOOK = 0.5  # seconds between two looks at the cluster while a result is waited for


def address() -> str:
    """The scheduler that the environment names; empty where the work stays on this machine.

    Raises:
        UserError: it is no address.
    """
    named = os.environ.get(VARIABLE, "").strip()
    if named and not re.fullmatch(r"(tcp|tls)://([\w.-]+|\[[\w:.]+\]):\d{1,5}", named, re.ASCII):
        raise UserError(
            f"{VARIABLE}: {named!r} is no scheduler's address; write tcp://HOST:PORT, or "
            "tls://HOST:PORT (docs/scale.md)"
        )
    return named


def stays_here(what: str) -> None:
    """Say, where a cluster is named, that this part of the work does not go there."""
    if address():
        print(f"whoswho: {VARIABLE}: {what} (docs/scale.md)", file=sys.stderr, flush=True)


def stream(
    function: Callable[[Item], Result], items: Iterable[Item], at_once: int = 4
) -> Iterator[Result]:
    """`function` of every item, in order, as `pool.stream`, on the workers of the cluster.

    A few parts a worker are under way: so much lies in memory, however many items there are. What
    a lost worker was at is done again by another one, and a line says so.

    Args:
        at_once: how many items are sent together.

    Raises:
        UserError: there is no scheduler or no worker, a worker does not fit or does not see a
            file, or an item ended its worker's process again and again.
    """
    yield from batches(partial(pool.of_part, function), items, at_once)


def batches(
    function: Callable[[list[Item]], list[Result]], items: Iterable[Item], at_once: int
) -> Iterator[Result]:
    """As `stream`, with a function that takes so many items together and has a result for each."""
    scheduler, own = address(), installation()
    mark = paths.workspace() / ".whoswho" / f"seen-by-workers-{socket.gethostname()}-{os.getpid()}"
    client = _client(scheduler)
    from whoswho.workers.member import Expected

    expected = Expected(own, mark, secrets.token_hex())
    try:
        paths.write_text(mark, expected.content)
        yield from _Cluster(client, scheduler, expected).stream(function, items, at_once)
    finally:
        with suppress(Exception):  # the scheduler may be gone
            client.unregister_worker_plugin(expected.content)
        with suppress(Exception):
            client.close(timeout=CONNECT)
        mark.unlink(missing_ok=True)


def part_of(function: Callable[[list[Item]], list[Result]], items: Sequence[Item]) -> bytes:
    """What is sent: pickled here, a function that its module does not have is not sent as code."""
    return pickle.dumps((function, items))


def _client(scheduler: str) -> Any:
    """Dask's side of the talk with a scheduler; what it would say is said here, in a line."""
    try:
        import distributed
    except ImportError:
        raise UserError(
            f"{VARIABLE} needs Dask, which is not installed; pip install -c constraints.txt "
            "-e '.[cluster]', or unset it"
        ) from None
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)

    class Client(distributed.Client):
        def __del__(self) -> None:  # one that never connected would wait, and say so at length
            pass

    def connect() -> Any:
        return Client(  # type: ignore[no-untyped-call]
            scheduler, timeout=CONNECT, set_as_default=False, name="whoswho"
        )

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions, which are compared later
            # Dask itself waits without end for a program that takes connections and says nothing.
            return call_within(2 * CONNECT, connect)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with an address, a person set it
        raise UserError(
            f"{VARIABLE}: no Dask scheduler answers at {scheduler} ({one_line(error, 120)}); "
            "start one there, or unset it to work on this machine (docs/scale.md)"
        ) from None


class _Cluster:
    """The workers that a scheduler has, all ready, and what they are at for this command."""

    def __init__(self, client: Any, scheduler: str, expected: Expected) -> None:
        """Raise UserError where there is no worker, or one that does not fit."""
        from whoswho.workers.member import Preparation

        self._client = client
        self._scheduler = scheduler
        self._expected = pickle.dumps(expected)
        self._keys = f"whoswho-{expected.content}-"
        self._submitted = 0
        try:
            client.wait_for_workers(1, timeout=CONNECT)
        except TimeoutError:
            raise UserError(
                f"{VARIABLE}: the scheduler at {scheduler} has no worker; start some with `dask "
                f"worker {scheduler} --nthreads 1 --nworkers N` (docs/scale.md)"
            ) from None
        try:  # who joins late is made ready too
            client.register_plugin(Preparation(expected), name=expected.content)
        except UserError:
            raise
        except Exception as error:  # noqa: BLE001 - what another installation lacks shows in any way
            raise UserError(
                f"{VARIABLE}: a worker cannot load this package ({one_line(error, 120)}); install "
                "the same commit on all machines, and restart their workers"
            ) from None
        self._workers = set(client.scheduler_info(n_workers=-1)["workers"])
        client.subscribe_topic("all", self._heard)

    def stream(
        self, function: Callable[[list[Any]], list[Any]], items: Iterable[Any], at_once: int
    ) -> Iterator[Any]:
        """See `batches`."""
        pending = deque[tuple[list[Any], Any]]()
        parts = iter(items)
        try:
            while True:
                most = PARTS_A_WORKER * max(1, len(self._workers))
                while len(pending) < most and (part := list(islice(parts, at_once))):
                    pending.append((part, self._submit(function, part)))
                if not pending:
                    return
                yield from self._results(function, *pending.popleft())
        finally:
            with suppress(Exception):  # the scheduler may be gone
                self._client.cancel([future for _, future in pending])

    def _submit(self, function: Callable[[list[Any]], list[Any]], part: list[Any]) -> Any:
        from whoswho.workers import member

        self._submitted += 1
        return self._client.submit(
            member.run,
            self._expected,
            part_of(function, part),
            key=f"{self._keys}{self._submitted}",
        )

    def _results(
        self,
        function: Callable[[list[Any]], list[Any]],
        part: list[Any],
        future: Any,
        *,
        again: bool = False,
    ) -> list[Any]:
        from distributed import KilledWorker

        try:
            return self._done(part, future).results
        except KilledWorker:
            if again:
                raise pool.ends_its_process(part[0]) from None
        # Which of the items it is shows where each is alone.
        return [
            result
            for item in part
            for result in self._results(
                function, [item], self._submit(function, [item]), again=True
            )
        ]

    def _done(self, part: list[Any], future: Any) -> Done:
        last_seen = time.monotonic()
        while True:
            with suppress(TimeoutError):
                future.exception(timeout=_LOOK)  # waits; it is raised below
            if future.done():
                break
            if self._workers:
                last_seen = time.monotonic()
            elif time.monotonic() > last_seen + ALL_LOST:
                raise UserError(
                    f"{VARIABLE}: no worker is left, the last were lost at "
                    f"{next(pool.files_of(part), '')} or near it (not enough memory?); start "
                    "others, then run the same command again"
                )
        if future.status in ("cancelled", "lost"):
            raise UserError(
                f"{VARIABLE}: the scheduler at {self._scheduler} was lost; start it and its "
                "workers, then run the same command again"
            )
        done: Done = future.result()
        if done.refusal:
            raise UserError(f"worker {done.worker} {done.refusal}")
        for path in done.absent:
            if path.exists():
                raise UserError(f"worker {done.worker} does not see {path}; share it as well")
        return done

    def _heard(self, event: tuple[float, dict[str, Any]]) -> None:
        """Follow who comes and goes; it is called in a thread of Dask's."""
        _, what = event
        worker = what.get("worker", "")
        if what.get("action") == "add-worker":
            self._workers.add(worker)
        elif what.get("action") == "remove-worker":
            self._workers.discard(worker)
            keys = {*what["processing-tasks"], *what["lost-computed-tasks"]}
            if not what["expected"] and any(str(key).startswith(self._keys) for key in keys):
                print(
                    f"whoswho: warning: worker {worker} was lost; what it was at is done again",
                    file=sys.stderr,
                    flush=True,
                )
