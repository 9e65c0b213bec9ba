"""Which runs and registered versions still hold a picture, for whoever must take it down.

A run keeps the split of its training, a row a picture (sha256, label), beside its figures and
pages; that row is how a picture is found again in a model registered long ago.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from whoswho.artifacts.split import read_split
from whoswho.lifecycle import registry, tracking
from whoswho.lifecycle.outputs import SPLIT
from whoswho.lifecycle.registry import NAME, Version
from whoswho.lifecycle.tracking import Store, answering


@dataclass(frozen=True)
class Holder:
    """A run that saw one of the pictures, with the versions registered from it.

    Attributes:
        run: id of the run; its artifacts show faces. Empty where the store lost it.
        deleted: whether the run is deleted already, though not collected.
        versions: newest first.
        splits: which splits held the pictures; empty where the table that says so is gone.
        models: MLflow's ids of the run's weights.
    """

    run: str
    deleted: bool
    versions: Sequence[Version]
    splits: Sequence[str]
    models: Sequence[str]

    def __str__(self) -> str:
        names = [
            f"version {one.number}" + (f" ({', '.join(one.aliases)})" if one.aliases else "")
            for one in self.versions
        ]
        where = f"run {self.run}" if self.run else "a run that is gone"
        who = f"{', '.join(names)} of {where}" if names else where
        if not self.splits:
            return f"{who}: nobody can tell, its dataset/split.csv is gone"
        return f"{who}: in its {', '.join(self.splits)} pictures"

    @property
    def deletion(self) -> list[str]:
        """The commands that delete it, with MLFLOW_TRACKING_URI set as `whoswho store` says."""
        calls = [f"c.delete_model_version('{NAME}', '{one.number}')" for one in self.versions]
        calls += [f"c.delete_logged_model('{model}')" for model in self.models]
        lines = []
        if calls:
            # MLflow has no command for these two.
            code = "; ".join(("import mlflow", "c = mlflow.MlflowClient()", *calls))
            lines.append(f'python -c "{code}"')
        if self.run and not self.deleted:
            lines.append(f"mlflow runs delete --run-id {self.run}")
        if self.run:
            lines.append(
                f'mlflow gc --backend-store-uri "$MLFLOW_TRACKING_URI" --run-ids {self.run}'
            )
        return lines


def holding(root: Path, pictures: Set[str], labels: Set[str]) -> list[Holder]:
    """Runs that saw a picture of these sha256 or of these labels, newest first.

    Deleted runs count as long as `mlflow gc` has not collected them.

    Raises:
        UserError: the store does not answer.
    """
    opened = tracking.open_store(root)
    versions = registry.versions(opened)
    found, seen = [], set()
    with answering(opened):
        for run in registry.runs(opened):
            name = run.info.run_id
            seen.add(name)
            own = [version for version in versions if version.run_id == name]
            splits = _splits(opened, name, pictures, labels)
            if splits or (own and splits is None):
                deleted = run.info.lifecycle_stage == "deleted"
                found.append(
                    Holder(name, deleted, own, splits or (), registry.weights_of(opened, run))
                )
    lost = [version for version in versions if version.run_id not in seen]
    return found + [Holder("", False, [version], (), ()) for version in lost]


def _splits(
    opened: Store, run: str, pictures: Set[str], labels: Set[str]
) -> tuple[str, ...] | None:
    """The splits of a run that held one of them; None where the run has no such table."""
    listed = opened.client.list_artifacts(run, SPLIT.parent.as_posix())
    if SPLIT.as_posix() not in {file.path for file in listed}:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        table = opened.client.download_artifacts(run, SPLIT.as_posix(), scratch)
        rows = read_split(Path(table).parent)
    return tuple(
        sorted({row.split for row in rows if row.sha256 in pictures or row.label in labels})
    )
