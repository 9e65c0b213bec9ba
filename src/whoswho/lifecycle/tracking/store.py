"""The tracking store: opened within seconds or refused in one line, and what a run is given."""

from __future__ import annotations

import json
import os
import re
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import mlflow
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    Experiment,
    InputTag,
    Metric,
    Param,
    Run,
    ViewType,
)
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import ERROR_CODE_TO_HTTP_STATUS, MlflowException
from mlflow.utils.validation import MAX_PARAM_VAL_LENGTH
from requests import RequestException

from whoswho import paths
from whoswho.errors import UserError, one_line
from whoswho.lifecycle.tracking import embedded_store, process, schema
from whoswho.params import as_name, load_project
from whoswho.timeouts import call_within

REASON = "reason"  # the tag that says why a run did not finish
PROBE_S = 5.0
T = TypeVar("T")


@dataclass(frozen=True)
class Store:
    """An opened tracking store and the project's experiment in it.

    Attributes:
        project: the name of the experiment, and of the registered model.
    """

    uri: str
    root: Path
    project: str
    client: MlflowClient
    experiment_id: str

    def run(self, run_id: str) -> Run:
        """The run as the store has it now."""
        return self.client.get_run(run_id)

    def runs(
        self, query: str = "", view: int = ViewType.ACTIVE_ONLY, most: int = 100_000
    ) -> list[Run]:
        """Runs of the experiment, newest first, at most so many."""
        newest_first = ["attributes.start_time DESC"]
        runs: list[Run] = mlflow.search_runs(
            [self.experiment_id], query, view, most, newest_first, output_format="list"
        )
        return runs

    def versions(self, query: str) -> list[ModelVersion]:
        """Versions of registered models, newest first."""
        versions = mlflow.search_model_versions(filter_string=query)
        return sorted(versions, key=lambda version: -int(version.version))

    def steps(self, run_id: str, key: str) -> set[int]:
        """The steps at which a metric has a point."""
        return {int(point.step) for point in self.client.get_metric_history(run_id, key)}

    @staticmethod
    def texts(params: Mapping[str, Any]) -> dict[str, str]:
        """Params as the store keeps them, written as in params.yaml."""
        return {key: _text(value)[:MAX_PARAM_VAL_LENGTH] for key, value in params.items()}

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Log the params that the run lacks; MLflow refuses to change one."""
        logged = self.run(run_id).data.params
        missing = [Param(k, text) for k, text in self.texts(params).items() if k not in logged]
        self.client.log_batch(run_id, params=missing)

    def log_points(self, run_id: str, points: Iterable[tuple[str, float, int]]) -> None:
        """Log metrics, each a name, a value and a step."""
        now = int(time.time() * 1000)
        metrics = [Metric(key, float(value), now, step) for key, value, step in points]
        self.client.log_batch(run_id, metrics=metrics)

    def log_dataset(self, run_id: str, name: str, digest: str, profile: Mapping[str, int]) -> None:
        """Log a split of data.dvc as an input of the run; the same one again changes nothing."""
        source = '{"uri": "data.dvc"}'
        dataset = Dataset(name, digest, "local", source, profile=json.dumps(profile))
        context = InputTag("mlflow.data.context", name)
        self.client.log_inputs(run_id, [DatasetInput(dataset, [context])])


def open_store(root: Path | None = None, *, timeout: float = 60) -> Store:
    """The embedded store at `root`, or the one MLFLOW_TRACKING_URI names, within five seconds.

    Runs that a dead process of this machine left open are closed on the way.

    Args:
        timeout: seconds that every later request to a server may take.

    Raises:
        UserError: the store does not answer, or cannot be read; or params.yaml names no project.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(int(timeout)))
    root = root or paths.root()
    project = project_name(root)
    named = embedded_store.named_elsewhere(root)
    # A database of this machine answers, be it after a while; a server must be quick.
    limit = None if (named or "sqlite").startswith("sqlite") else PROBE_S
    try:
        uri, client, experiment = call_within(limit, lambda: _opened(root, project))
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a server may answer
        cure = "start it, or unset MLFLOW_TRACKING_URI to use the one of this repository"
        message = refusal(error) or f"{error_line(error)}; {cure if named else 'try again'}"
        raise UserError(
            f"tracking store {public(named or embedded_store.uri(root))}: {message}"
        ) from None
    _check_artifacts(root, uri, experiment)
    _use(uri)
    store = Store(uri, root, project, client, str(experiment.experiment_id))
    with suppress(MlflowException):  # whoever may only read closes nothing
        close_orphans(store)
    return store


def project_name(root: Path) -> str:
    """What this repository's experiment and model are called: `project.name` of params.yaml.

    Where it is null: the folder's name on a server that others use too, so that two projects do
    not move each other's champions; `whoswho` in the embedded store.
    """
    default = embedded_store.NAME
    if embedded_store.named_elsewhere(root):
        default = as_name(root.resolve().name)
    return load_project(root).name or default


@contextmanager
def answering(store: Store, *uploaded: Path) -> Iterator[Store]:
    """Turn a store's failure into one line that says the work is safe.

    Args:
        uploaded: folders of the files that the block uploads, to say how large a refused one is.
    """
    try:
        yield store
    except (MlflowException, RequestException) as error:
        if refused := _refused_file(str(error), uploaded):
            raise UserError(refused) from None
        if turned_away := refusal(error):
            raise UserError(f"tracking store {public(store.uri)}: {turned_away}") from None
        raise UserError(
            f"tracking store {public(store.uri)}: {error_line(error)}; nothing is lost, run "
            "the same command again"
        ) from None


def _refused_file(message: str, folders: Iterable[Path]) -> str:
    """That a file was too large for a server or a proxy before it; empty where that was not it.

    Some say so (413), some cut the connection while the file is on its way.
    """
    cut = re.search(r"Connection aborted|Broken pipe|Connection reset|EOF occurred", message)
    match = re.search(
        r"(?:for url:|API request to) (\w+://[^/\s]+)/\S*?([^/\s]+?)[.,:]?(?:\s|$)", message
    )
    if match is None or not ("413" in message or (cut and "mlflow-artifacts" in message)):
        return ""
    host, name = public(match[1]), match[2]
    files = [file for folder in folders for file in folder.rglob(name)]
    size = f" ({files[0].stat().st_size / 1e6:.1f} MB)" if files else ""
    how = (
        "refused it as too large (413)" if "413" in message else "cut the connection while it came"
    )
    return (
        f"{name}{size}: {host}, or a proxy before it, {how}; raise the limit for a request's body "
        "there (nginx: client_max_body_size), then run the same command again; nothing is lost, "
        "and nothing half-made was left"
    )


def or_none(get: Callable[[], T]) -> T | None:
    """What `get` returns; None where MLflow has nothing of that name."""
    try:
        return get()
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def close_orphans(store: Store) -> None:
    """End the runs whose process on this machine is gone (a power cut, `kill -9`)."""
    for run in store.runs("attributes.status = 'RUNNING'"):
        if process.is_orphan(run.data.tags):
            if not run.data.params and not run.data.metrics:
                store.client.delete_run(run.info.run_id)  # asked for, and never written to
                continue
            why = f"process {run.data.tags['pid']} ended without a word"
            store.client.set_tag(run.info.run_id, REASON, why)
            store.client.set_terminated(run.info.run_id, "KILLED")


def error_line(error: BaseException) -> str:
    """An exception's message as one short line without passwords."""
    message = public(str(error)) or type(error).__name__
    if "Max retries exceeded" in message:  # and then the whole story of the connection
        return "no connection"
    return one_line(message)


def refusal(error: BaseException) -> str:
    """Why a server turns this person away, and the cure; empty where it was something else."""
    if "Invalid Host header" in str(error):
        return "it is asked under a name it does not take; start it with --allowed-hosts HOST:PORT"
    response = getattr(error, "response", None)
    if isinstance(error, MlflowException):
        status = ERROR_CODE_TO_HTTP_STATUS.get(error.error_code, 0)
    else:
        status = getattr(response, "status_code", 0)
    if status == 401:
        return (
            "it refuses these credentials (401); set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        )
    if status == 403:
        return "it does not let you do this (403); whoever runs it gives the right (docs/team.md)"
    return ""


def public(text: str) -> str:
    """A text without the passwords that may stand in its addresses."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


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


def _opened(root: Path, project: str) -> tuple[str, MlflowClient, Experiment]:
    """The address of the store, made where it is absent, a client of it, and the experiment.

    Raises:
        UserError: it is a database that this MLflow must not open.
    """

    def create(uri: str, artifacts: str) -> None:
        _experiment(MlflowClient(uri), project, artifacts)

    named = embedded_store.named_elsewhere(root)
    schema.check(named or embedded_store.uri(root))
    uri = named or embedded_store.ready(root, project, create)
    client = MlflowClient(uri)
    return uri, client, _experiment(client, project, None)


def _check_artifacts(root: Path, uri: str, experiment: Experiment) -> None:
    """See that a server keeps artifacts itself.

    Where it names a folder, every client writes into a folder of that name on its own disk.

    Raises:
        UserError: it names one, and not that of this repository, as `whoswho ui` does.
    """
    location = experiment.artifact_location
    parts = urlsplit(location)
    own = (root.resolve() / embedded_store.ARTIFACTS).as_uri()
    if not uri.startswith("http") or parts.scheme not in ("", "file") or location == own:
        return
    name = shlex.quote(f"{experiment.name} before")
    raise UserError(
        f"tracking store {public(uri)}: experiment {experiment.name} keeps its artifacts in "
        f"{location}, a folder of the server's that your files would not reach; start the server "
        "with --artifacts-destination in place of --default-artifact-root or "
        "--no-serve-artifacts, and set the experiment aside: mlflow experiments rename "
        f"--experiment-id {experiment.experiment_id} --new-name {name}"
    )


def _experiment(client: MlflowClient, project: str, artifacts: str | None) -> Experiment:
    """The project's experiment, made or taken out of the bin where needed."""
    experiment = client.get_experiment_by_name(project)
    if experiment is None:
        try:
            return client.get_experiment(client.create_experiment(project, artifacts))
        except MlflowException:  # another process of the team was quicker
            experiment = client.get_experiment_by_name(project)
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return experiment


def _text(value: Any) -> str:
    """A param as params.yaml shows it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
