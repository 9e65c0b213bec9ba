"""Runs in MLflow: opening the store, and the run of a training, however it ends."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, ViewType
from mlflow.entities import Run as Run
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH, _validate_metric_name

from whoswho import labels, paths
from whoswho.errors import UserError
from whoswho.lifecycle import lineage, signals, store
from whoswho.lifecycle.store import EXPERIMENT

DIGEST = "model.sha256"
REASON = "reason"
PROBE_S = 5.0
LOCAL = ("127.0.0.1", "localhost", "::1")
T = TypeVar("T")


@dataclass(frozen=True)
class Store:
    """An opened tracking store and the project's experiment in it."""

    uri: str
    root: Path
    client: MlflowClient
    experiment_id: str

    def run(self, run_id: str) -> Run:
        """The run as the store has it now."""
        return self.client.get_run(run_id)

    def steps(self, run_id: str, key: str) -> set[int]:
        """The steps at which a metric has a point."""
        return {int(point.step) for point in self.client.get_metric_history(run_id, key)}

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Log the params that the run lacks; MLflow refuses to change one."""
        known = self.run(run_id).data.params
        missing = [
            Param(key, _text(value)[:MAX_PARAM_VAL_LENGTH])
            for key, value in params.items()
            if key not in known
        ]
        for start in range(0, len(missing), 100):  # MLflow's limit a request
            self.client.log_batch(run_id, params=missing[start : start + 100])

    def log_points(self, run_id: str, points: Iterable[tuple[str, float, int]]) -> None:
        """Log metrics, each a name, a value and a step."""
        now = int(time.time() * 1000)
        metrics = [Metric(key, float(value), now, step) for key, value, step in points]
        for start in range(0, len(metrics), 1000):
            self.client.log_batch(run_id, metrics=metrics[start : start + 1000])

    def log_dataset(self, run_id: str, name: str, digest: str, profile: Mapping[str, int]) -> None:
        """Log a split of data.dvc as an input of the run; the same one again changes nothing."""
        dataset = Dataset(
            name=name, digest=digest, source_type="local", source='{"uri": "data.dvc"}',
            profile=json.dumps(profile),
        )  # fmt: skip
        context = InputTag("mlflow.data.context", name)
        self.client.log_inputs(run_id, [DatasetInput(dataset, [context])])


def open_store(root: Path | None = None, *, wait_s: int = 60) -> Store:
    """The embedded store at `root`, or the one MLFLOW_TRACKING_URI names, within five seconds.

    Runs that a dead process of this machine left open are closed on the way. `wait_s` bounds
    every later request to a server.

    Raises:
        UserError: the store does not answer, or cannot be read.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(wait_s))
    root = root or paths.root()
    uri = store.address(root, _create)
    _use(uri)
    client = MlflowClient(uri)
    opened = Store(uri, root, client, probe(uri, lambda: _experiment(client, None)))
    with suppress(MlflowException):  # whoever may only read closes nothing
        close_orphans(opened)
    return opened


def probe(uri: str, ask: Callable[[], T], seconds: float = PROBE_S) -> T:
    """What `ask` returns; UserError where it fails or takes longer than `seconds`."""
    answer: list[T] = []
    problem: list[Exception] = []

    def run() -> None:
        try:
            answer.append(ask())
        except Exception as error:  # noqa: BLE001 - whatever a server may answer
            problem.append(error)

    # A thread that hangs in a socket must not keep the process from ending.
    asking = threading.Thread(target=run, daemon=True)
    asking.start()
    asking.join(seconds if "://" in uri and not uri.startswith("sqlite") else None)
    if answer:
        return answer[0]
    why = one_line(problem[0]) if problem else f"no answer within {seconds:g} s"
    raise UserError(
        f"tracking store {_public(uri)}: {why}; start it, or unset MLFLOW_TRACKING_URI to use "
        "the one of this repository"
    )


class TrainingRun:
    """The run of one training. Where its store stops answering, it says so once and goes quiet."""

    def __init__(self, opened: Store | None, run_id: str | None = None) -> None:
        self.store = opened
        self.run_id = run_id
        self._logged: set[int] = set()
        self._digest: str | None = None

    def epoch(self, row: Mapping[str, float]) -> None:
        """Log the metrics of `row` at its `epoch`, unless this run has that epoch already."""
        epoch = int(row["epoch"])
        if epoch not in self._logged:
            self._logged.add(epoch)
            points = [(key, value, epoch) for key, value in row.items() if key != "epoch"]
            self._try(lambda opened, run_id: opened.log_points(run_id, points))

    def finished(self, digest: str) -> None:
        """Say that the model with this digest is written: the run may be found by it."""
        self._digest = digest

    def end(self, status: str, reason: str = "") -> None:
        """Close the run; FINISHED only where a model came out of it."""
        if status == "FINISHED" and self._digest is None:
            status, reason = "FAILED", "ended without a model"

        def close(opened: Store, run_id: str) -> None:
            client = opened.client
            if reason:
                client.set_tag(run_id, REASON, reason[:500])
            else:
                client.set_tag(run_id, DIGEST, self._digest)
                with suppress(MlflowException):  # an orphan after all, thought another machine
                    client.delete_tag(run_id, REASON)
            client.set_terminated(run_id, status)

        with signals.held_off():
            self._try(close)

    def _try(self, log: Callable[[Store, str], None]) -> None:
        if self.store is None or self.run_id is None:
            return
        try:
            log(self.store, self.run_id)
        except Exception as error:  # noqa: BLE001 - no store's trouble may cost a training
            untracked(f"tracking store {_public(self.store.uri)}: {one_line(error)}")
            self.store = None


@contextmanager
def training_run(
    root: Path, params: Mapping[str, Any], tags: Mapping[str, str], names: Sequence[str]
) -> Iterator[TrainingRun]:
    """The run of the training inside the block, closed however the block ends.

    `names` are the labels: every metric name they will need is checked before anything starts.
    An unreachable store costs five seconds and a line; the training goes on untracked.
    """
    check_names(names)
    try:
        run = new_run(open_store(root, wait_s=int(PROBE_S)), params, tags)
    except UserError as error:
        untracked(str(error))
        run = TrainingRun(None)
    with closing_run(run):
        yield run


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
            run.end("FAILED", f"{type(error).__name__}: {one_line(error)}")
            raise
        else:
            run.end("FINISHED")


def check_names(names: Sequence[str]) -> None:
    """Ask MLflow itself whether it takes every metric name that the labels lead to."""
    seen: dict[str, str] = {}
    for label in names:
        key = labels.metric_key("validation/recall", label)
        try:
            _validate_metric_name(key)  # type: ignore[no-untyped-call]
        except MlflowException as error:
            raise UserError(
                f"label {label!r}: no metric can be named after it ({one_line(error)}); "
                "rename its folder"
            ) from None
        if key in seen:
            raise UserError(
                f"labels {seen[key]!r} and {label!r} lead to one metric name; rename a folder"
            )
        seen[key] = label


def close_orphans(opened: Store) -> None:
    """End the runs whose process on this machine is gone (a power cut, `kill -9`)."""
    for run in _search(opened, "attributes.status = 'RUNNING'"):
        if lineage.is_orphan(run.data.tags):
            why = f"process {run.data.tags['pid']} ended without a word"
            opened.client.set_tag(run.info.run_id, REASON, why)
            opened.client.set_terminated(run.info.run_id, "KILLED")


def finished_run(opened: Store, digest: str) -> Run | None:
    """The newest finished run of the model with this digest."""
    with answering(opened):
        query = f"tags.`{DIGEST}` = '{digest}' AND attributes.status = 'FINISHED'"
        return next(iter(_search(opened, query)), None)


def serve_ui(root: Path, host: str = "127.0.0.1", port: int = 5000) -> None:
    """Become the server of MLflow's pages over the embedded store, artifacts included."""
    if (uri := store.address(root, _create)).startswith("http"):
        print(f"{_public(uri)} shows the runs: MLFLOW_TRACKING_URI names it")
        return
    if host not in LOCAL:
        print(
            f"whoswho: warning: {host} is open to others, and these pages ask for no password: "
            "whoever reaches them can read and delete runs, models and pictures",
            file=sys.stderr,
        )
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri,
        "--default-artifact-root", (root.resolve() / store.ARTIFACTS).as_uri(),
        "--host", host, "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    print(f"http://{host}:{port} shows the runs of {root} (Ctrl-C ends it)", flush=True)
    if os.name == "nt":  # exec would leave the prompt to two programs there
        import subprocess

        raise SystemExit(subprocess.call(command, cwd=root))
    os.chdir(root)  # whatever MLflow itself makes lands beside the store
    os.execv(sys.executable, command)


def untracked(why: str) -> None:
    """Say that training goes on without its run."""
    print(f"whoswho: {why} -- the training goes on untracked; `dvc repro` restores its run once "
          "the store is back", file=sys.stderr, flush=True)  # fmt: skip


def one_line(error: BaseException) -> str:
    """An exception's message as one short line."""
    said = " ".join(_public(str(error)).split()) or type(error).__name__
    if "Max retries exceeded" in said:  # and then the whole story of the connection
        return "no connection"
    return said if len(said) <= 200 else f"{said[:199]}…"


@contextmanager
def answering(opened: Store) -> Iterator[None]:
    """Turn a store's failure into one line that says the work is safe."""
    try:
        yield
    except MlflowException as error:
        raise UserError(
            f"tracking store {_public(opened.uri)}: {one_line(error)}; nothing is lost, run "
            "the same command again"
        ) from None


def _use(uri: str) -> None:
    """Let MLflow's module-level functions use this store.

    MLflow writes the address into the environment as well, where a later opening would take it
    for a person's wish.
    """
    before = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(uri)
    if before is None:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
    else:
        os.environ["MLFLOW_TRACKING_URI"] = before


def _create(uri: str, artifacts: str) -> None:
    _experiment(MlflowClient(uri), artifacts)


def _experiment(client: MlflowClient, artifacts: str | None) -> str:
    """The id of the project's experiment, made or taken out of the bin where needed."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        try:
            return str(client.create_experiment(EXPERIMENT, artifacts))
        except MlflowException:  # another process of the team was quicker
            found = client.get_experiment_by_name(EXPERIMENT)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _search(opened: Store, query: str) -> list[Run]:
    """Runs of the experiment, newest first."""
    return list(
        opened.client.search_runs(
            [opened.experiment_id], query, ViewType.ACTIVE_ONLY, 1000,
            ["attributes.start_time DESC"],
        )
    )  # fmt: skip


def new_run(opened: Store, params: Mapping[str, Any], tags: Mapping[str, str]) -> TrainingRun:
    """Open a run with its params and tags."""
    with answering(opened):
        run = opened.client.create_run(
            opened.experiment_id, tags={**tags, **lineage.process()},
            run_name=tags.get("mlflow.runName"),
        )  # fmt: skip
        opened.log_params(run.info.run_id, params)
    return TrainingRun(opened, str(run.info.run_id))


def _text(value: Any) -> str:
    """A param as params.yaml shows it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _public(text: str) -> str:
    """A text without the passwords that may stand in its addresses."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)
