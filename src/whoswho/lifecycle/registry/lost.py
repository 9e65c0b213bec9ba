"""What a store lacks: versions whose run or files are gone, and a model that it never had."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlflow.entities import ViewType

from whoswho import params, paths
from whoswho.errors import UserError
from whoswho.lifecycle.registry import version_files, versions
from whoswho.lifecycle.registry.versions import Version
from whoswho.lifecycle.tracking import runs
from whoswho.lifecycle.tracking.runs import DIGEST
from whoswho.lifecycle.tracking.store import Store, public

CURE = "dvc repro -f -s register"  # `dvc repro` does nothing: nothing that it knows of changed


def missing_here(store: Store, workspace: Path) -> str:
    """That the store lacks the workspace's model, though `register` brought it into one, and the
    cure; empty where it has it, where none was registered, and where none is to be.
    """
    path = workspace / paths.REGISTERED
    if not path.is_file():
        return ""
    digest = paths.read_json(path)[DIGEST]
    if versions.version_of(store, digest) is not None:
        return ""
    known = runs.finished_run(store, digest) is not None
    if known and params.load_params(workspace).register_.when != "always":
        return ""
    return (
        f"{public(store.uri)} has no version of {store.project} that is the model at hand, which "
        f"was registered before ({paths.REGISTERED.as_posix()}): the store is another one, new or "
        f"lost, or the project has another name; to register the model here: {CURE}"
    )


def notes(store: Store, registered: Sequence[Version]) -> dict[int, str]:
    """Of each version what is gone of it: `files gone`, `run gone`; empty where nothing is."""
    there = {run.info.run_id for run in store.runs(view=ViewType.ACTIVE_ONLY)}

    def note(version: Version) -> str:
        try:
            gone = bool(version_files.missing(store, version.number))
        except UserError:
            gone = True
        parts = ["files gone"] * gone + ["run gone"] * (version.run_id not in there)
        return ", ".join(parts)

    with ThreadPoolExecutor(8) as pool:  # a request or three to a server for each
        numbers = (version.number for version in registered)
        return dict(zip(numbers, pool.map(note, registered), strict=True))
