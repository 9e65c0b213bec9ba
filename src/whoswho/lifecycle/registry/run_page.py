"""What MLflow's pages show of the runs: a note on each, and the table's columns."""

from __future__ import annotations

import json
from collections.abc import Sequence

from mlflow.entities import Run

from whoswho import paths
from whoswho.artifacts.predictions import Evaluation
from whoswho.lifecycle.registry import versions
from whoswho.lifecycle.registry.record import Record
from whoswho.lifecycle.tracking.runs import CHANGED
from whoswho.lifecycle.tracking.store import Store

NOTE, _WRITTEN = "mlflow.note.content", "note.sha256"
VIEW = "whoswho"  # the key of the saved view, as it stands in the address of the run table
_VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
_FIRST_SHOWN = ("train.lr", "train.epochs", "backbone.arch")
_MOST_PARAMS = 8


def write_note(store: Store, run: Run, record: Record) -> None:
    """Say on the run's page how good the model is and what made it so.

    A note that a person wrote stays.
    """
    untrained = record.model.backbone.untrained_note(record.model.picture.crop)
    tags = run.data.tags
    current = tags.get(NOTE, "")
    if current not in ("", untrained) and paths.digest(current) != tags.get(_WRITTEN):
        return
    text = note(record.evaluation, untrained, record.model.backbone.arch, tags.get(CHANGED, ""))
    if text != current:
        store.client.set_tag(run.info.run_id, NOTE, text)
        store.client.set_tag(run.info.run_id, _WRITTEN, paths.digest(text))


def note(evaluation: Evaluation, untrained: str, arch: str, changed: str) -> str:
    """The note: accuracy, cross-validation, backbone, what changed; a paragraph each."""
    values = [f"{evaluation.judged} accuracy {evaluation.metric('accuracy'):.3f}"]
    if f"{evaluation.judged}/accuracy_low" in evaluation.metrics:
        names = ("accuracy_low", "accuracy_high", "chance")
        low, high, chance = (evaluation.metric(name) for name in names)
        values[0] += f" (95% interval {low:.3f} to {high:.3f}; chance {chance:.3f})"
    if "cv/accuracy" in evaluation.metrics:
        values.append(f"cross-validated {evaluation.metrics['cv/accuracy']:.3f}")
    parts = [", ".join(values), f"backbone {arch}" + (f", {untrained}" if untrained else "")]
    return "\n\n".join([*parts, f"changed: {changed}" if changed else ""]).strip()


def write_view(store: Store) -> None:
    """Save the table's view in the experiment: its columns are what people compare runs by."""
    state = {
        "selectedColumns": columns(store.runs()),
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
    }
    text = json.dumps(state, ensure_ascii=False)
    store.client.set_experiment_tag(store.experiment_id, _VIEW_TAG, text)


def columns(runs: Sequence[Run]) -> list[str]:
    """The columns: who, accuracies, and the params that differ between runs."""
    values: dict[str, set[str | None]] = {}
    for key in sorted({key for run in runs for key in run.data.params}):
        values[key] = {run.data.params.get(key) for run in runs}
    differ = [key for key in values if len(values[key]) > 1]
    params = (differ or [key for key in _FIRST_SHOWN if key in values])[:_MOST_PARAMS]
    shown = [f"metrics.`{name}`" for name in versions.SHOWN]
    shown += [f"params.`{key}`" for key in params]
    return ["attributes.`User`", *shown]
