"""Completing a model's run from the pipeline's outputs, or restoring one that the store lost.

A run that training left behind is completed; where the store knows no such run (a fresh clone,
DVC's run cache, a server that was away), one is restored. Both are the same code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from requests import RequestException

from whoswho import paths
from whoswho.artifacts.model.description import HistoryRow, read_history
from whoswho.lifecycle.registry import run_page
from whoswho.lifecycle.registry.record import FILES, MODEL, Record
from whoswho.lifecycle.tracking import runs
from whoswho.lifecycle.tracking.store import Store

RESTORED = "restored"
# What cleaning took out says nothing of the model, and shows people who are not in it.
ASIDE = ("clean.html", *(path.name for path in paths.COMPARISON))


def completed_run(
    store: Store,
    record: Record,
    reports: Path,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    files: Mapping[str, str] = MappingProxyType({}),
) -> Run:
    """The newest finished run of this model, restored where there is none, with all it lacks.

    `params`, `tags` and `files` are what a training would have logged.
    """
    finished = runs.finished_run(store, record.digest)
    if finished:
        _complete(store, finished.info.run_id, record, reports, params)
        return store.run(finished.info.run_id)
    run = runs.new_run(store, params, {**tags, RESTORED: "true"}, files)
    assert run.run_id is not None
    try:
        with runs.closing_run(run):
            _complete(store, run.run_id, record, reports, params)
            run.finished(record.digest)
    except (MlflowException, RequestException):
        with suppress(MlflowException):  # no training failed, and the next try makes another
            store.client.delete_run(run.run_id)
        raise
    return store.run(run.run_id)


def _complete(
    store: Store, run_id: str, record: Record, reports: Path, params: Mapping[str, Any]
) -> None:
    """Log whatever the run lacks; doing it twice changes nothing.

    No run is reopened for it: MLflow takes values for a finished run, and one that is RUNNING
    again would look like a failed training if this process died.
    """
    store.log_params(run_id, params)
    present = store.run(run_id).data.metrics
    curves = _log_curves(store, run_id, present, read_history(record.folder / MODEL))
    # What people compare; all of it is in evaluation.json, that of each label in per_label.csv.
    # A name that has a curve keeps it.
    measured = record.evaluation.headline
    judged = {key: value for key, value in measured.items() if key not in curves}
    _log_measured(store, run_id, present, judged)
    _log_datasets(store, run_id, record)
    for path in FILES:
        store.client.log_artifact(run_id, str(record.folder / path), path.parent.as_posix())
    for file in sorted(reports.iterdir()) if reports.is_dir() else []:
        if file.is_file() and file.name not in ASIDE and not file.name.startswith("."):
            store.client.log_artifact(run_id, str(file))
    run_page.write_note(store, store.run(run_id), record)


def _log_curves(
    store: Store, run_id: str, present: Collection[str], history: Sequence[HistoryRow]
) -> set[str]:
    """Log the epochs that the run lacks; returns the names of the metrics that have curves."""
    curves = {key for row in history for key in row} - {"epoch"}
    steps = {key: store.steps(run_id, key) for key in curves & set(present)}
    points = [(key, row[key], int(row["epoch"])) for row in history for key in curves & set(row)]
    store.log_points(
        run_id, [point for point in points if point[2] not in steps.get(point[0], ())]
    )
    return curves


def _log_measured(
    store: Store, run_id: str, present: Mapping[str, float], measured: Mapping[str, float]
) -> None:
    """Log what evaluate measured. Measured anew with another result, it is a further point."""
    points = []
    for key, value in measured.items():
        if key not in present:
            points.append((key, value, 0))
        elif not (present[key] == value or (math.isnan(present[key]) and math.isnan(value))):
            points.append((key, value, max(store.steps(run_id, key)) + 1))
    store.log_points(run_id, points)


def _log_datasets(store: Store, run_id: str, record: Record) -> None:
    """Log what each split holds, by the split's name in MLflow."""
    splits: dict[str, list[tuple[str, str]]] = {}
    for row in record.split:
        name = "training" if row.split == "train" else row.split
        splits.setdefault(name, []).append((row.sha256, row.label))
    for name, pictures in splits.items():
        profile = {"pictures": len(pictures), "labels": len({label for _, label in pictures})}
        digest = paths.digest(json.dumps(sorted(pictures)))[:16]
        store.log_dataset(run_id, name, digest, profile)
