"""The two sides of a comparison: a version, a run, a DVC experiment, or the workspace."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Run

from whoswho import params, paths
from whoswho.errors import UserError
from whoswho.lifecycle.registry import version_files, versions
from whoswho.lifecycle.registry.record import Record, read_record
from whoswho.lifecycle.registry.versions import Version
from whoswho.lifecycle.tracking import lineage, runs
from whoswho.lifecycle.tracking.store import Store, or_none

WORKSPACE = "workspace"
_SHORTEST_ID = 6  # letters of a run's id


@dataclass(frozen=True)
class Side:
    """A model, and what is known of how it came to be.

    Attributes:
        name: as a person reads it.
        params: as the store keeps them.
        tags: of the run: commit, dirty, data.dvc …
    """

    name: str
    record: Record
    params: Mapping[str, str]
    tags: Mapping[str, str]


def side(store: Store, workspace: Path, reference: str) -> Side:
    """The model that is meant.

    Args:
        reference: `workspace`; a version (`3`, an alias, `models:/PROJECT/3`); a run by its name,
            its id or the beginning of that; a DVC experiment by its name.

    Raises:
        UserError: nothing of that name, or several runs, or it was never judged.
    """
    if reference == WORKSPACE:
        return _workspace(store, workspace)
    if (
        reference.isdecimal()
        or reference.startswith("models:")
        or reference in versions.aliases(store)
    ):
        number = versions.resolve(store, reference)
        record = version_files.fetch_record(store, number)
        version = next(v for v in versions.all_versions(store) if v.number == number)
        made = _made(store, version, record)
        return Side(f"{version}, {_when(version.created)}", record, *made)
    run = _run(store, reference)
    record = version_files.fetch_run_record(store, run.info.run_id)
    started = datetime.datetime.fromtimestamp(run.info.start_time / 1000, datetime.UTC)
    name = f"run {run.info.run_name} ({run.info.run_id[:_SHORTEST_ID]}), {_when(started)}"
    return Side(name, record, run.data.params, run.data.tags)


def _workspace(store: Store, workspace: Path) -> Side:
    record = read_record((workspace / paths.MODEL).parent)
    run = runs.finished_run(store, record.digest)
    number = versions.version_of(store, record.digest)
    known = [f"version {number}"] * (number is not None)
    if run is not None:
        known.append(f"run {run.info.run_name}")
    read = params.flatten(params.load_params(workspace))
    flat = {**lineage.training_params(read), **record.model.params}
    name = f"{WORKSPACE} ({', '.join(known) or 'not registered'})"
    tags = lineage.tags(workspace, flat, record.model.inputs)
    return Side(name, record, Store.texts(flat), tags)


def _made(
    store: Store, version: Version, record: Record
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Params and tags of a version's training: of its own files, else its run, else its model."""
    files = version_files.lineage_of(store, version, None)
    if lineage.DESCRIPTION in files:
        content = json.loads(files[lineage.DESCRIPTION])
        return Store.texts(content["params"]), content["tags"]
    run = or_none(lambda: store.run(version.run_id))
    if run is None:
        return Store.texts(record.model.params), version.tags
    return run.data.params, run.data.tags


def _run(store: Store, reference: str) -> Run:
    """The run of that name or id, or of the DVC experiment of that name."""
    there = store.runs()
    matching = [run for run in there if run.info.run_id == reference]
    matching = matching or [run for run in there if reference == run.info.run_name]
    matching = matching or [
        run for run in there if reference == run.data.tags.get("dvc.experiment")
    ]
    if not matching and len(reference) >= _SHORTEST_ID:
        matching = [run for run in there if run.info.run_id.startswith(reference)]
    if not matching:
        raise UserError(
            f"{reference}: no version, alias, run or DVC experiment of {store.project} is called "
            f"so (`whoswho models` and `whoswho ui` list them), and it is not `{WORKSPACE}`; an "
            "experiment of elsewhere: `dvc exp apply`, then compare the workspace"
        )
    if len(matching) > 1:
        ids = ", ".join(run.info.run_id[:_SHORTEST_ID] for run in matching[:5])
        raise UserError(
            f"{reference}: {len(matching)} runs are called so; name one by its id: {ids}"
        )
    return matching[0]


def _when(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
