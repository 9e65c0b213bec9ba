"""An embedded store to test on, processes of their own beside it, and what a run holds."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from support import processes, shared
from support.repository import REPOSITORY
from whoswho.lifecycle.tracking.store import Store, open_store

HANGUL = "새 폴더 2 #1 100%"
SOURCE = REPOSITORY / "src"


def project(folder: Path, name: str = "null") -> Path:
    """A repository as far as its store looks at it; `name` as in params.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dvc.yaml").touch()
    (folder / "params.yaml").write_text(f"project: {{name: {name}}}\n", encoding="utf-8")
    return folder


def empty_store() -> Path:
    """A root with an empty store: making one takes MLflow two seconds, copying it none."""
    return shared.made_once("store", lambda folder: open_store(project(folder)))


@pytest.fixture(scope="session", name="made")
def fixture_made() -> Path:
    return empty_store()


@pytest.fixture(name="root")
def fixture_root(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    folder = tmp_path / "repository"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder


def environment(**more: str) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DVC_"))}
    # MLflow finds its helpers through PATH, as in an activated environment.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**clean, "PATH": path, "PYTHONPATH": str(SOURCE), **more}


def start(
    code: str, cwd: Path, *, before: Sequence[str] = (), **more: str
) -> subprocess.Popen[str]:
    """A Python process in `cwd`; `before` is a command that runs it."""
    return processes.start(
        [*before, sys.executable, "-c", processes.QUICK + textwrap.dedent(code)],
        cwd=cwd,
        stdin=subprocess.PIPE if before else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**more),
        start_new_session=True,
    )


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return int(probe.getsockname()[1])


def points(store: Store, run_id: str) -> dict[str, list[tuple[int, float]]]:
    return {
        key: sorted((p.step, p.value) for p in store.client.get_metric_history(run_id, key))
        for key in store.run(run_id).data.metrics
    }


def everything(store: Store, run_id: str) -> dict[str, object]:
    run = store.run(run_id)

    def files(folder: str = "") -> list[str]:
        listed = store.client.list_artifacts(run_id, folder)
        return [p for a in listed for p in (files(a.path) if a.is_dir else [a.path])]

    return {
        "points": points(store, run_id),
        "params": run.data.params,
        "files": files(),
        "inputs": sorted(
            (i.dataset.name, i.dataset.digest, i.dataset.source, i.tags[0].value)
            for i in run.inputs.dataset_inputs
        ),
    }
