"""The run of a training in MLflow, and how it ends."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from whoswho.errors import UserError
from whoswho.lifecycle.tracking import changes, lineage, process, signals
from whoswho.lifecycle.tracking.store import (
    PROBE_S,
    REASON,
    Store,
    answering,
    error_line,
    open_store,
    public,
)

CHANGED = "changed"  # the tag that says which params differ from the run before
REQUEST = "request"  # the tag that tells one request for a run from another
DIGEST = "model.sha256"  # the tag by which a model's run and version are found


class TrainingRun:
    """The run of one training. Where its store stops answering, it says so once and goes quiet."""

    def __init__(self, store: Store | None, run_id: str | None = None) -> None:
        self.store = store
        self.run_id = run_id
        self._logged: set[int] = set()
        self._digest: str | None = None

    def epoch(self, row: Mapping[str, float]) -> None:
        """Log the metrics of `row` at its `epoch`, unless this run has that epoch already."""
        epoch = int(row["epoch"])
        if epoch not in self._logged:
            self._logged.add(epoch)
            points = [(key, value, epoch) for key, value in row.items() if key != "epoch"]
            self._try(lambda store, run_id: store.log_points(run_id, points))

    def finished(self, digest: str) -> None:
        """Say that the model with this digest is written: the run may be found by it."""
        self._digest = digest

    def end(self, status: str, reason: str = "") -> None:
        """Close the run; FINISHED only where a model came out of it."""
        if status == "FINISHED" and self._digest is None:
            status, reason = "FAILED", "ended without a model"

        def close(store: Store, run_id: str) -> None:
            if reason:
                store.client.set_tag(run_id, REASON, reason[:500])
            else:
                store.client.set_tag(run_id, DIGEST, self._digest)
                with suppress(MlflowException):  # an orphan after all, thought another machine
                    store.client.delete_tag(run_id, REASON)
            store.client.set_terminated(run_id, status)
            _delete_ghosts(store, store.run(run_id))  # one that came late

        with signals.held_off():
            self._try(close)

    def _try(self, log: Callable[[Store, str], None]) -> None:
        if self.store is None or self.run_id is None:
            return
        try:
            log(self.store, self.run_id)
        except Exception as error:  # noqa: BLE001 - no store's trouble may cost a training
            _warn_untracked(f"tracking store {public(self.store.uri)}: {error_line(error)}")
            self.store = None


@contextmanager
def training_run(
    root: Path,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    files: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[TrainingRun]:
    """The run of the training inside the block, closed however the block ends.

    An unreachable store costs five seconds and a line; the training goes on untracked.

    Args:
        files: as `lineage.files` gives them.
    """
    try:
        with answering(open_store(root, timeout=PROBE_S)) as store:
            run = new_run(store, params, tags, files)
    except UserError as error:
        _warn_untracked(str(error))
        run = TrainingRun(None)
    with closing_run(run):
        yield run


def new_run(
    store: Store,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    files: Mapping[str, str] = MappingProxyType({}),
) -> TrainingRun:
    """Open a run with its params, tags, and files that say what made it.

    It is named by what differs from the run before it.
    """
    all_tags = {**tags, **process.tags(), REQUEST: uuid.uuid4().hex}
    texts = store.texts(params)
    latest = store.runs(most=1)
    before = (latest[0].data.params, latest[0].data.tags) if latest else None
    name = changes.name(texts, tags, before)
    if experiment := tags.get("dvc.experiment"):
        name = f"{name} ({experiment})"
    if changed := changes.sentence(texts, before[0]) if before else "":
        all_tags[CHANGED] = changed[:500]
    run = store.client.create_run(store.experiment_id, tags=all_tags, run_name=name)
    _delete_ghosts(store, run)
    store.log_params(run.info.run_id, params)
    for file, text in files.items():
        store.client.log_text(run.info.run_id, text, (lineage.FOLDER / file).as_posix())
    return TrainingRun(store, str(run.info.run_id))


@contextmanager
def closing_run(run: TrainingRun) -> Iterator[None]:
    """End `run` as the block ends: finished, failed or killed, with the reason as a tag."""
    with signals.as_exceptions():
        try:
            yield
        except signals.Stopped as stopped:
            run.end("KILLED", stopped.name)
            raise
        except KeyboardInterrupt:
            run.end("KILLED", "SIGINT (Ctrl-C)")
            raise
        except SystemExit as left:
            run.end("FAILED", f"sys.exit({left.code!r})")
            raise
        except BaseException as error:
            run.end("FAILED", f"{type(error).__name__}: {error_line(error)}")
            raise
        else:
            run.end("FINISHED")


def finished_run(store: Store, digest: str) -> Run | None:
    """The newest finished run of the model with this digest."""
    runs = store.runs(f"tags.`{DIGEST}` = '{digest}' AND attributes.status = 'FINISHED'")
    return runs[0] if runs else None


def _delete_ghosts(store: Store, run: Run) -> None:
    """Delete what else a server made of the request for this run.

    MLflow asks again where the answer was lost on its way, and then two runs are made.
    """
    for other in store.runs(f"tags.{REQUEST} = '{run.data.tags[REQUEST]}'"):
        if other.info.run_id != run.info.run_id:
            with suppress(MlflowException):  # who may write need not have the right to delete
                store.client.delete_run(other.info.run_id)


def _warn_untracked(why: str) -> None:
    message = (
        f"whoswho: {why} -- the training goes on untracked; `dvc repro` restores its run once "
        "the store is back"
    )
    print(message, file=sys.stderr, flush=True)
