"""Without a network: what is untrained says so everywhere, and the printed command cures it."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path

import pytest
from support.pipeline import FAST, Workspace, built_sample, commit, store

# No connection and no look-up leaves a process; SQLite and pipes need none.
BLOCKED = """
import socket

def refuse(*_arguments, **_more):
    raise OSError("the network is blocked")

socket.getaddrinfo = socket.create_connection = refuse
socket.socket.connect = refuse
"""
UNTRAINED = "untrained (random weights)"
COMMAND = "dvc exp run -S backbone.arch=dlib_resnet29"


def photographed(workspace: Workspace, cases: Path, people: int = 3, pictures: int = 9) -> None:
    """Press pictures that show one person of the label well."""
    taken: Counter[str] = Counter()
    with (cases / "people" / "sports_celebrities_truth.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            label = row["file"].partition("/")[0]
            if row["main_ok"] != "1" or row["same"] != "1" or taken[label] == pictures:
                continue
            if label in taken or len(taken) < people:
                taken[label] += 1
                target = workspace.path / "data" / row["file"]
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(cases / "people" / "sports_celebrities" / row["file"], target)


def clone(folder: Path) -> Workspace:
    """A workspace whose every process finds the network blocked."""
    backbone = {"arch": "resnet18", "weights": ["IMAGENET1K_V1", "random"]}
    train = {**FAST["train"], "epochs": 30}
    return blocked(Workspace(folder / "clone", **{**FAST, "backbone": backbone, "train": train}))


def blocked(space: Workspace) -> Workspace:
    (space.path / "src" / "sitecustomize.py").write_text(BLOCKED)
    return space


@pytest.mark.slow(minutes=2)
def test_the_printed_command_gets_a_trained_backbone_with_no_network(
    tmp_path: Path, cases: Path
) -> None:
    """Train without a network, read what is said of it, type the command that cures it."""
    space = clone(tmp_path)
    photographed(space, cases)
    space.track_data()
    space.repro(**nowhere(tmp_path))

    lines = space.run("whoswho", "summary").stdout
    assert f"resnet18, {UNTRAINED}" in lines
    assert f"trained, without a network: {COMMAND}\n" in lines
    predict = predicting(space)
    assert f"{UNTRAINED}: its answers mean nothing; " in space.run(*predict).stderr
    for name in ("model_card.md", "report.html"):
        text = (space.path / "reports" / name).read_text(encoding="utf-8")
        assert COMMAND in text
        assert "Untrained (random weights)" in text
    (run,) = store(space)["runs"]
    assert COMMAND in run["tags"]["mlflow.note.content"]

    commit(space.path, "untrained")
    follow_the_command(space, tmp_path)
    assert space.json("reports/metrics.json")["cv/accuracy"] > 0.9


@pytest.mark.slow
def test_the_command_works_on_drawn_people_too(tmp_path: Path) -> None:
    space = blocked(built_sample().copy(tmp_path / "clone"))
    commit(space.path, "untrained")
    follow_the_command(space, tmp_path)


def nowhere(scratch: Path) -> dict[str, str]:
    """Caches of weights in which nothing lies."""
    return {"TORCH_HOME": str(scratch / "torch"), "HF_HOME": str(scratch / "hub")}


def predicting(space: Workspace) -> tuple[str, ...]:
    first = next(p for p in sorted((space.path / "data").rglob("*.jpg")) if p.stat().st_size > 9e3)
    return ("whoswho", "predict", str(first), "--model", "artifacts/model")


def follow_the_command(space: Workspace, scratch: Path) -> None:
    """Type the command that gets a trained backbone; nothing calls the model untrained then."""
    space.run("sh", "-c", COMMAND, **nowhere(scratch))
    source = space.json("artifacts/backbone/source.json")
    assert (source["arch"], source["entry"]) == ("dlib_resnet29", "face-recognition-models")
    assert UNTRAINED not in space.run("whoswho", "summary").stdout
    assert UNTRAINED not in space.run(*predicting(space)).stderr
    assert "Untrained" not in (space.path / "reports" / "model_card.md").read_text("utf-8")
