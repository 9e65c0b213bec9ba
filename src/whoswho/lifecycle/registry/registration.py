"""Registering a model: its version with everything that it needs to answer, and `challenger`."""

from __future__ import annotations

import base64
import contextlib
import io
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Map

from whoswho.artifacts.model.description import FORMAT
from whoswho.lifecycle.registry import alias_log, run_page, version_files, versions
from whoswho.lifecycle.registry.packaging import ENTRY, carried_code
from whoswho.lifecycle.registry.record import MODEL, Record
from whoswho.lifecycle.registry.versions import CHALLENGER
from whoswho.lifecycle.tracking import embedded_store
from whoswho.lifecycle.tracking.runs import DIGEST, REQUEST
from whoswho.lifecycle.tracking.store import Store

When = Literal["always", "improves", "never"]
SPLIT_TAG, FORMAT_TAG = "split.sha256", "format"
COMPARED = "validation/log_loss"


@dataclass(frozen=True)
class Registered:
    """What registering a model led to; `number` is None where it was not to be registered."""

    number: int | None
    new: bool
    message: str


def register(store: Store, run_id: str, record: Record, when: When, card: str = "") -> Registered:
    """Bring a completed run's model into the registry; a known model only moves `challenger`.

    `when`: always | improves (a lower validation log loss than the challenger's on the same
    split; another split cannot be compared, so it registers) | never. The first lines of
    the model's card describe the version, and the model whose newest one it is.
    """
    if when == "never":
        return Registered(None, False, "not registered (register.when: never)")
    # Two queued experiments may end at once; each model gets one version.
    with embedded_store.locked(store.root):
        _make_registered_model(store)
        tags = _tags(store, run_id, record)
        number = versions.version_of(store, record.digest)
        new = number is None or bool(version_files.missing(store, number))
        challenger = versions.aliases(store).get(CHALLENGER)
        if new and when == "improves" and not _improves(store, tags, challenger):
            message = f"not registered: no better than version {challenger} on validation"
            return Registered(None, False, message)
        if number is None or new:
            number = _log_version(store, run_id, record)
        else:  # evaluate may have measured it anew
            version_files.upload_record(store, versions.model_id(store, number), record)
        for key, value in tags.items():
            store.client.set_model_version_tag(store.project, str(number), key, value)
        _describe(store, number, record, card)
        alias_log.move(store, CHALLENGER, number, "registered" if new else "registered again")
    if new:
        return Registered(number, True, f"version {number} of {store.project} is the challenger")
    again = "registered again: the challenger is what came last"
    return Registered(number, False, f"version {number} of {store.project}, {again}")


def signature() -> ModelSignature:
    """One text column `image` in; the answer's fields out."""
    answer: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.string, "label", required=False),
        ColSpec(DataType.double, "probability", required=False),
        ColSpec(DataType.double, "similarity", required=False),
        ColSpec(DataType.boolean, "unknown"),
        ColSpec(DataType.long, "faces", required=False),
        ColSpec(Map(DataType.double), "probabilities"),
        ColSpec(DataType.string, "problem", required=False),
    ]
    return ModelSignature(Schema([ColSpec(DataType.string, "image")]), Schema(answer))


def _describe(store: Store, number: int, record: Record, card: str) -> None:
    """Let the registry's pages say how good the model is, and what the card says first.

    Their table of versions shows the beginning of it, Markdown's signs and all.
    """
    introduction = card.partition("\n## ")[0].partition("\n")[2].strip()
    measured = run_page.note(record.evaluation, "", record.model.arch, "")
    text = "\n\n".join(filter(None, (measured, introduction.removeprefix("> "))))
    store.client.update_model_version(store.project, str(number), text)
    newest = f"Registered last: version {number}.\n\n{text}"
    store.client.update_registered_model(store.project, newest)


def _make_registered_model(store: Store) -> None:
    if versions.registered_model(store) is None:
        with contextlib.suppress(MlflowException):  # another machine was quicker
            store.client.create_registered_model(store.project)


def _log_version(store: Store, run_id: str, record: Record) -> int:
    """Upload the model folder with the code that runs it and its record, as a new version."""
    tags = {DIGEST: record.digest}
    # Left to itself, MLflow puts a model whose run is not active into the experiment Default.
    params = store.run(run_id).data.params
    request = {REQUEST: uuid.uuid4().hex}
    logged = store.client.create_logged_model(
        store.experiment_id, "whoswho", run_id, tags | request, params
    )
    try:
        _upload(store, logged.model_id, run_id, record)
        version = store.client.create_model_version(
            store.project, f"models:/{logged.model_id}", run_id, tags, model_id=logged.model_id
        )
    except BaseException:
        with contextlib.suppress(MlflowException):
            store.client.delete_logged_model(logged.model_id)  # none is left half-made
        raise
    finally:
        _delete_ghost_models(store, request[REQUEST], logged.model_id)
    return _only_version(store, version)


def _delete_ghost_models(store: Store, request: str, model_id: str) -> None:
    """Delete what else a server made of the request for this logged model, as `runs` does."""
    with contextlib.suppress(MlflowException):  # who may write need not have the right to delete
        for other in store.client.search_logged_models(
            [store.experiment_id], f"tags.{REQUEST} = '{request}'"
        ):
            if other.model_id != model_id:
                store.client.delete_logged_model(other.model_id)


def _only_version(store: Store, version: ModelVersion) -> int:
    """The first version of its logged model; what else was made of the request is deleted."""
    first, *others = sorted(
        int(other.version)
        for other in store.versions(f"name = '{version.name}' AND run_id = '{version.run_id}'")
        if other.source == version.source
    )
    for other in others:
        with contextlib.suppress(MlflowException):  # as above
            store.client.delete_model_version(version.name, str(other))
    return first


def _upload(store: Store, model_id: str, run_id: str, record: Record) -> None:
    """Upload what a version needs to answer and to be judged."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        carried_code(Path(scratch), record.digest) as code,
    ):
        Model.log(
            artifact_path=None,
            model_id=model_id,
            flavor=mlflow.pyfunc,
            run_id=run_id,
            python_model=str(code.folder / ENTRY),
            artifacts={"model": str((record.folder / MODEL).resolve())},
            # Loads without this repository installed, and with the code it was registered with.
            code_paths=[str(code.folder)],
            pip_requirements=list(code.requirements),
            signature=signature(),
            input_example=example(),
        )
    version_files.upload_record(store, model_id, record)
    version_files.copy_lineage(store, run_id, model_id)


def example() -> Any:
    """A picture as a client sends it: small, because MLflow shows it and tries it."""
    import pandas as pd
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(buffer, "PNG")
    return pd.DataFrame({"image": [base64.b64encode(buffer.getvalue()).decode()]})


def _tags(store: Store, run_id: str, record: Record) -> dict[str, str]:
    """What a version is found, compared and listed by."""
    run = store.run(run_id)
    backbone, measured = record.model.backbone, record.evaluation.metrics
    return {
        DIGEST: record.digest,
        SPLIT_TAG: record.split_digest,
        FORMAT_TAG: str(FORMAT),
        "commit": run.data.tags.get("commit", "none"),
        "backbone": backbone.entry,
        "untrained_backbone": str(backbone.untrained).lower(),
        # MLflow's page gives each tag a line; all that was measured is among the version's files.
        **{key: f"{measured[key]:.6g}" for key in (*versions.SHOWN, COMPARED) if key in measured},
    }


def _improves(store: Store, tags: Mapping[str, str], challenger: int | None) -> bool:
    """Whether the validation loss is below the challenger's, or cannot be compared with it."""
    if challenger is None:
        return True
    others = store.client.get_model_version(store.project, str(challenger)).tags
    if tags[SPLIT_TAG] != others.get(SPLIT_TAG) or COMPARED not in tags or COMPARED not in others:
        return True
    return float(tags[COMPARED]) < float(others[COMPARED])
