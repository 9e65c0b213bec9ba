"""Completing a model's run from the pipeline's outputs, or restoring one that the store lost.

A run that training left behind is completed; where the store knows no such run (a fresh clone,
DVC's run cache, a server that was away), one is restored. Both are the same code.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Run

from whoswho import labels, paths, tables
from whoswho.artifacts.predictions import Evaluation, LabelScore
from whoswho.lifecycle import tracking
from whoswho.lifecycle.outputs import KEPT, Outputs
from whoswho.lifecycle.store import Store

RESTORED = "restored"
# What cleaning took out says nothing of the model, and shows people who are not in it.
ASIDE = ("clean.html",)


def completed_run(
    store: Store, outputs: Outputs, digest: str, reports: Path,
    params: Mapping[str, Any], tags: Mapping[str, str],
) -> Run:  # fmt: skip
    """The newest finished run of this model, restored where there is none, with all it lacks.

    `digest` names the model (`model_digest`); `params` and `tags` are what a training would
    have logged.
    """
    finished = tracking.finished_run(store, digest)
    if finished:
        _complete(store, finished.info.run_id, outputs, reports, params)
        return store.run(finished.info.run_id)
    run = tracking.new_run(store, params, {**tags, RESTORED: "true"})
    assert run.run_id is not None
    with tracking.closing_run(run):
        _complete(store, run.run_id, outputs, reports, params)
        run.finished(digest)
    return store.run(run.run_id)


def _complete(
    store: Store, run_id: str, outputs: Outputs, reports: Path, params: Mapping[str, Any]
) -> None:
    """Log whatever the run lacks; doing it twice changes nothing.

    No run is reopened for it: MLflow takes values for a finished run, and one that is RUNNING
    again would look like a failed training if this process died.
    """
    store.log_params(run_id, params)
    present = store.run(run_id).data.metrics
    history = outputs.history
    curves = {key for row in history for key in row} - {"epoch"}
    known = {key: store.steps(run_id, key) for key in curves & set(present)}
    store.log_points(run_id, [
        (key, value, int(row["epoch"]))
        for row in history
        for key, value in row.items()
        if key in curves and int(row["epoch"]) not in known.get(key, set())
    ])  # fmt: skip
    # A name that has a curve keeps it; the number evaluate measured is in metrics.json.
    evaluation = outputs.evaluation
    keys = _recall_keys(evaluation)
    recalls = {key: score.recall for key, score in keys.items() if score.recall is not None}
    measured = {
        key: value
        for key, value in {**evaluation.metrics, **recalls}.items()
        if key not in curves
    }
    _log_measured(store, run_id, present, measured)
    for name, pictures in _pictures(outputs).items():
        profile = {"pictures": len(pictures), "labels": len({label for _, label in pictures})}
        store.log_dataset(run_id, name, paths.digest(json.dumps(pictures))[:16], profile)
    for path in KEPT:
        store.client.log_artifact(run_id, str(outputs.folder / path), path.parent.as_posix())
    for file in sorted(reports.iterdir()) if reports.is_dir() else []:
        if file.is_file() and file.name not in ASIDE and not file.name.startswith("."):
            store.client.log_artifact(run_id, str(file))
    _log_metric_keys(store, run_id, keys)


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


def _pictures(outputs: Outputs) -> dict[str, list[tuple[str, str]]]:
    """What each split holds: the hash and label of its pictures, by the split's name in MLflow."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in outputs.split:
        name = "training" if row.split == "train" else row.split
        found.setdefault(name, []).append((row.sha256, row.label))
    return {name: sorted(pictures) for name, pictures in found.items()}


def _recall_keys(evaluation: Evaluation) -> dict[str, LabelScore]:
    """`split/recall/<label>` -> the label's row in that split."""
    return {
        labels.metric_key(f"{score.split}/recall", score.label): score
        for score in evaluation.scores
    }


def _log_metric_keys(store: Store, run_id: str, keys: Mapping[str, LabelScore]) -> None:
    """Which metric is which label's: a table, because an over-long label's key is cut."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "metric_keys.csv"
        rows = ({"label": s.label, "split": s.split, "metric": key} for key, s in keys.items())
        tables.write(path, ["label", "split", "metric"], rows)
        store.client.log_artifact(run_id, str(path), "evaluation")
