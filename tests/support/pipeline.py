"""Runs the real pipeline, through real DVC, in a scratch copy of the repository."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

import pytest

from bench.workspace import REPOSITORY, commit, copy_of_the_repository, environment, set_params
from support import shared
from support.lifecycle_store import empty_store
from support.processes import QUICK
from whoswho import sample, tables
from whoswho.lifecycle.tracking import embedded_store
from whoswho.lifecycle.tracking.store import open_store

__all__ = ["FAST", "Workspace", "commit", "set_params"]

# A small backbone and few epochs: the same stages, in seconds.
FAST: dict[str, dict[str, object]] = {
    # Among a dozen drawn faces one more clears another or not; test_identity has sets to tell by.
    "clean": {"identity_false_alarm_rate": 0.0},
    "picture": {"size": 64},
    "backbone": {"arch": "resnet18", "weights": ["random"]},
    "augment": {"views": 1},
    "train": {"epochs": 2, "cv_repeats": 1},
    "evaluate": {"bootstrap": 200, "altered": 4},
}


PORTRAITS = 8  # of each person, where a test needs no more


def drawn_sample() -> Path:
    """The sample with fewer portraits, and all of its dirt; to be read or copied."""
    return shared.made_once("drawn", lambda folder: sample.draw(folder, 0, PORTRAITS))


def committed_sample() -> dict[str, Path]:
    """The files of the whole sample, each where the remote in the repository has it."""
    objects = REPOSITORY / "sample" / "files" / "md5"
    (tree,) = objects.rglob("*.dir")
    listed = json.loads(tree.read_text(encoding="utf-8"))
    return {each["relpath"]: objects / each["md5"][:2] / each["md5"][2:] for each in listed}


class Workspace:
    """A copy of the repository, in Git, without data until something is put there."""

    def __init__(
        self, folder: Path, *, with_store: bool = True, **changes: dict[str, object]
    ) -> None:
        self.path = copy_of_the_repository(folder, **changes)
        if with_store:  # an empty one, which the first command would make
            shutil.copy(empty_store() / embedded_store.DATABASE, self.path)
        for name in ("data.dvc", "dvc.lock"):
            (self.path / name).unlink(missing_ok=True)
        shutil.rmtree(self.path / "sample", ignore_errors=True)

    @classmethod
    def at(cls, folder: Path) -> Self:
        """The workspace that lies in a folder."""
        workspace = cls.__new__(cls)
        workspace.path = folder
        return workspace

    def copy(self, folder: Path) -> Self:
        """The workspace as it stands, with outputs, cache and store, in another folder."""
        return self.at(Path(shutil.copytree(self.path, folder, symlinks=True)))

    def draw_sample(self) -> None:
        """Fill data/ with the sample, with fewer portraits and all of its dirt."""
        shutil.copytree(drawn_sample(), self.path / "data")

    def track_data(self) -> None:
        """`dvc add data` and commit, as README tells a user to."""
        commit(self.path, "code")  # DVC works inside a Git repository
        self.run("dvc", "add", "-q", "data")
        commit(self.path, "data")

    def run(
        self, *command: str | Path, code: int | None = 0, cwd: Path | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the workspace; `code` is the exit code it must have (None: any)."""
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd or self.path,
            env=environment(self.path, OMP_NUM_THREADS="1", **more),
            capture_output=True,
            text=True,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def repro(self, *arguments: str, code: int | None = 0, **more: str) -> str:
        """`dvc repro`; its whole output."""
        done = self.run("dvc", "repro", *arguments, code=code, **more)
        return done.stdout + done.stderr

    def ran(self, output: str) -> list[str]:
        """The stages that `output` of a repro says were run or restored, in order."""
        return [
            line.split("'")[1]
            for line in output.splitlines()
            if line.startswith("Running stage") or "is cached" in line
        ]

    def rows(self, file: str) -> list[tables.Row]:
        return tables.read(self.path / file)

    def json(self, file: str) -> Any:
        return json.loads((self.path / file).read_text(encoding="utf-8"))

    def python(self, code: str, **more: str) -> str:
        """Run Python code in the workspace's own code and store; what it printed."""
        return self.run("python", "-c", QUICK + code, **more).stdout


def built_sample() -> Workspace:
    """The drawn sample with few portraits after one `dvc repro`; read it, or work in a copy.

    What `dvc repro` printed lies beside it, in repro.txt.
    """

    def build(folder: Path) -> None:
        workspace = Workspace(folder / "clone", with_store=False, **FAST)
        workspace.draw_sample()
        workspace.track_data()
        assert "check:" in workspace.run("whoswho", "check").stdout
        (folder / "repro.txt").write_text(workspace.repro(), encoding="utf-8")

    return Workspace.at(shared.made_once("built", build) / "clone")


NOT_PEOPLE: dict[str, dict[str, object]] = {
    **FAST,
    "clean": {"faces": "any"},
    "picture": {"size": 64, "crop": "whole"},
}

ALL = [
    "clean",
    "preprocess",
    "backbone",
    "features",
    "suspects",
    "train",
    "evaluate",
    "report",
    "register",
]


def store(workspace: Workspace) -> dict[str, Any]:
    """The runs, versions and aliases that the workspace's own store holds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        opened = open_store(workspace.path)
    client = opened.client
    runs = [
        {
            "id": run.info.run_id,
            "status": run.info.status,
            "params": run.data.params,
            "tags": run.data.tags,
            "history": {
                key: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, key)]
                for key in run.data.metrics
            },
            "inputs": [data.dataset.name for data in run.inputs.dataset_inputs],
            "artifacts": sorted(file.path for file in client.list_artifacts(run.info.run_id)),
        }
        for run in opened.runs()
    ]
    versions = [
        {"version": version.version, "run": version.run_id, "tags": version.tags}
        for version in opened.versions("name='whoswho'")
    ]
    aliases = client.get_registered_model("whoswho").aliases if versions else {}
    return {"runs": runs, "versions": versions, "aliases": aliases}
