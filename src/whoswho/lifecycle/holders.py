"""Which runs and registered versions still hold a picture, for whoever must take it down.

A run keeps the split of its training, a row a picture (sha256, label), beside its figures and
pages, and a version beside its weights; that row is how a picture is found again in a model
registered long ago.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mlflow.entities import ViewType

from whoswho.artifacts.split import SplitRow, read_split
from whoswho.errors import UserError
from whoswho.lifecycle.registry.record import SPLIT
from whoswho.lifecycle.registry.version_files import fetch_record
from whoswho.lifecycle.registry.versions import CHAMPION, Version, all_versions, model_id
from whoswho.lifecycle.serving import running
from whoswho.lifecycle.tracking.runs import DIGEST
from whoswho.lifecycle.tracking.store import Store, or_none


@dataclass(frozen=True)
class Holder:
    """A run that saw one of the pictures, with the versions registered from it.

    Attributes:
        run: id of the run; its artifacts show faces. Empty where the store lost it.
        deleted: whether the run is deleted already, though not collected.
        versions: newest first.
        splits: which splits held the pictures; empty where the table that says so is gone.
        models: MLflow's ids of the run's weights, or of the version's where the run is lost.
        digest: of the model; empty where there is none.
    """

    run: str
    deleted: bool
    versions: Sequence[Version]
    splits: Sequence[str]
    models: Sequence[str]
    digest: str

    def __str__(self) -> str:
        run = f"run {self.run}" if self.run else "a run that is gone"
        who = f"{', '.join(map(str, self.versions))} of {run}" if self.versions else run
        if not self.splits:
            return f"{who}: nobody can tell, its dataset/split.csv is gone"
        return f"{who}: in its {', '.join(self.splits)} pictures"

    @property
    def lines(self) -> list[str]:
        """What to say of it: also of servers, which keep what they loaded in memory."""
        served = [version for version in self.versions if CHAMPION in version.aliases]
        return [str(self)] + [
            f"version {version.number}, in the memory of every `whoswho serve`: promote another, "
            "or end it"
            for version in served
        ]

    @property
    def deletion(self) -> list[str]:
        """The commands that delete it, with MLFLOW_TRACKING_URI set as `whoswho store` says."""
        calls = [f"c.delete_model_version('{v.project}', '{v.number}')" for v in self.versions]
        calls += [f"c.delete_logged_model('{model}')" for model in self.models]
        lines = []
        if calls:
            # MLflow has no command for these two.
            code = "; ".join(("import mlflow", "c = mlflow.MlflowClient()", *calls))
            lines.append(f'python -c "{code}"')
        if self.run and not self.deleted:
            lines.append(f"mlflow runs delete --run-id {self.run}")
        if self.run:
            store = '--backend-store-uri "$MLFLOW_TRACKING_URI"'
            lines.append(f"mlflow gc {store} --run-ids {self.run}")
        return lines


def holding(store: Store, pictures: Set[str], labels: Set[str]) -> list[Holder]:
    """Runs that saw a picture of these sha256 or of these labels, newest first.

    Deleted runs count as long as `mlflow gc` has not collected them.
    """
    versions = all_versions(store)
    holders, seen = [], set()
    for run in store.runs(view=ViewType.ALL):
        run_id = run.info.run_id
        seen.add(run_id)
        own = [version for version in versions if version.run_id == run_id]
        splits = _splits(store, run_id, own, pictures, labels)
        if splits or (own and splits is None):
            deleted = run.info.lifecycle_stage == "deleted"
            outputs = run.outputs.model_outputs if run.outputs else []
            models = _weights(store, [output.model_id for output in outputs])
            digest = run.data.tags.get(DIGEST, "")
            holders.append(Holder(run_id, deleted, own, splits or (), models, digest))
    for version in versions:
        if version.run_id not in seen:
            splits = _splits(store, "", [version], pictures, labels)
            if splits != ():
                models = _weights(store, [model_id(store, version.number)])
                digest = version.tags.get(DIGEST, "")
                holders.append(Holder("", False, [version], splits or (), models, digest))
    return holders


def served(store: Store, holders: Sequence[Holder]) -> list[str]:
    """What to say of servers here that answer with a holder's version, or with a deleted one."""
    clear = {version.number for version in all_versions(store)}
    clear -= {version.number for holder in holders for version in holder.versions}
    return [
        f"server {pid} (`kill {pid}` ends it): version {number} in its memory"
        for pid, number in running.versions(store.root).items()
        if number not in clear
    ]


def digests(store: Store) -> set[str]:
    """The digests of all models that a run or a version is of."""
    tags = [run.data.tags for run in store.runs(view=ViewType.ALL)]
    tags += [dict(version.tags) for version in all_versions(store)]
    return {each[DIGEST] for each in tags if each.get(DIGEST)}


def _weights(store: Store, ids: Sequence[str]) -> list[str]:
    """Of MLflow's ids of weights those that are not deleted yet."""
    models = [or_none(partial(store.client.get_logged_model, name)) for name in ids]
    return [str(model.model_id) for model in models if model is not None]


def _splits(
    store: Store, run: str, own: Sequence[Version], pictures: Set[str], labels: Set[str]
) -> tuple[str, ...] | None:
    """The splits that held one of them; None where neither a run nor its versions tell."""
    rows = _rows(store, run) if run else None
    for version in own if rows is None else ():
        with suppress(UserError):
            rows = fetch_record(store, version.number).split
            break
    if rows is None:
        return None
    held = {row.split for row in rows if row.sha256 in pictures or row.label in labels}
    return tuple(sorted(held))


def _rows(store: Store, run: str) -> Sequence[SplitRow] | None:
    """The split of a run's training; None where the run no longer has it."""
    listed = store.client.list_artifacts(run, SPLIT.parent.as_posix())
    if SPLIT.as_posix() not in {file.path for file in listed}:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        table = store.client.download_artifacts(run, SPLIT.as_posix(), scratch)
        return read_split(Path(table).parent)
