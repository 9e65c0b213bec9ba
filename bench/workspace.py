"""A scratch copy of the repository to run the real pipeline in; benchmark and tests start here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

REPOSITORY = Path(__file__).resolve().parents[1]
PROGRAMS = Path(sys.executable).parent


def environment(workspace: Path, **more: str) -> dict[str, str]:
    """The surroundings of a command in `workspace`: its own code, its own store, this Python."""
    surroundings = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MLFLOW_", "DVC_", "GIT_"))
    }
    return surroundings | {
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(workspace / "src"),
        "GIT_CEILING_DIRECTORIES": str(workspace.parent),
        **more,
    }


def copy_of_the_repository(folder: Path, **changes: dict[str, object]) -> Path:
    """What Git tracks (or would), copied to `folder`, with sections of params.yaml changed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, listed):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / name)
    set_params(folder, **changes)
    return folder


def set_params(workspace: Path, **changes: dict[str, object]) -> None:
    """Change keys of params.yaml and keep its comments."""
    yaml = YAML()
    yaml.width = 200
    params = yaml.load(workspace / "params.yaml")
    for section, values in changes.items():
        params[section].update(values)
    yaml.dump(params, workspace / "params.yaml")


def commit(workspace: Path, message: str = "state") -> None:
    """Make `workspace` a Git repository if it is none, and commit everything in it."""
    if not (workspace / ".git").exists():
        subprocess.run(["git", "init", "-q", "-b", "main"], cwd=workspace, check=True)
    subprocess.run(["git", "add", "-A"], cwd=workspace, check=True)
    subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@t.invalid", "commit", "-qm", message],
        cwd=workspace, check=True,
    )  # fmt: skip
