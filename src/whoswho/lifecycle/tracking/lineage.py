"""Where a training came from: code, data, params, and who asked for it."""

from __future__ import annotations

import getpass
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whoswho import git, paths
from whoswho.artifacts.model.backbone import BackboneSource

# A change here makes a training "dirty": what another clone needs to make the same model.
CODE = (
    "src", "dvc.yaml", "review.csv", "params.yaml", "data.dvc", "dvc.lock", "constraints.txt",
)  # fmt: skip
FOLDER = Path("lineage")  # among the artifacts of a run, and among those of its version
DESCRIPTION, PATCH = "lineage.json", "uncommitted.diff"
LONGEST_PATCH = 1_000_000  # bytes; a longer one is no work of an hour, and nobody reads it


def tags(workspace: Path, params: Mapping[str, Any], inputs: Mapping[str, str]) -> dict[str, str]:
    """Tags that say what made this model; `inputs` are the hashes of what train reads.

    That Git refuses to say is printed.
    """
    if refusal := git.refusal(workspace):
        print(f"whoswho: warning: {refusal}", file=sys.stderr, flush=True)
    commit = git.answer(workspace, "rev-parse", "HEAD")
    changed = git.answer(workspace, "status", "--porcelain", "--", *CODE)
    data = workspace / "data.dvc"
    tags = {
        "commit": commit or "none",
        "dirty": "unknown" if changed is None else str(bool(changed)).lower(),
        "data.dvc": paths.sha256(data) if data.is_file() else "none",
        "params": _digest(params),
        "inputs": _digest(inputs),
        "mlflow.user": user(workspace),
        "mlflow.source.name": "dvc repro",
        "mlflow.source.type": "PROJECT",
    }
    if commit:
        tags["mlflow.source.git.commit"] = commit
    if name := os.environ.get("DVC_EXP_NAME"):
        tags["dvc.experiment"] = name
    return tags


def files(workspace: Path, params: Mapping[str, Any], tags: Mapping[str, str]) -> dict[str, str]:
    """The files that say what made this model, by name: DESCRIPTION, with the params whole (a
    store cuts long ones) and data.dvc; and PATCH, where the commit does not hold all of it.
    """
    data = workspace / "data.dvc"
    content = {
        "tags": dict(tags),
        "params": dict(params),
        "data.dvc": data.read_text(encoding="utf-8") if data.is_file() else "",
    }
    texts = {DESCRIPTION: json.dumps(content, ensure_ascii=False, indent=2, default=str) + "\n"}
    patch = git.uncommitted(workspace, CODE) or ""
    if len(patch.encode()) > LONGEST_PATCH:
        names = ", ".join(changed_files(patch))
        patch = f"# {len(patch.encode())} bytes, too long to keep: {names}\n"
    return texts | ({PATCH: patch} if patch else {})


def changed_files(patch: str) -> list[str]:
    """The files that a patch changes; none of one that was too long to keep."""
    return re.findall(r"^diff --git \"?a/(.*?)\"? \"?b/", patch, re.M)


def user(folder: Path) -> str:
    """Whose run or decision it is: WHOSWHO_USER, Git's `user.name`, or the system's user."""
    named = os.environ.get("WHOSWHO_USER") or git.answer(folder, "config", "user.name")
    if named:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "unknown"


def backbone_tags(source: BackboneSource, crop: str) -> dict[str, str]:
    """Tags that say which backbone; the run's page in MLflow shows that it is untrained."""
    note = source.untrained_note(crop)
    return {"backbone": source.entry} | ({"mlflow.note.content": note} if note else {})


def training_params(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Of all params, those that lead to a model; the others name, judge or promote it."""
    later = ("project.", "evaluate.", "register.", "promote.")
    return {key: value for key, value in flat.items() if not key.startswith(later)}


def _digest(values: Mapping[str, Any]) -> str:
    return paths.digest(json.dumps(dict(values), sort_keys=True, default=str))
