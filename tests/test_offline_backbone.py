"""Without a network: what is untrained says so everywhere, and the printed command cures it."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path

import pytest
from support.pipeline import FAST, Workspace

# No connection and no look-up leaves a process; SQLite and pipes need none.
BLOCKED = """
import socket

def refuse(*_arguments, **_more):
    raise OSError("the network is blocked")

socket.getaddrinfo = socket.create_connection = refuse
socket.socket.connect = refuse
"""
UNTRAINED = "untrained (random weights)"


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
    space = Workspace(folder / "clone", **{**FAST, "backbone": backbone})
    (space.path / "src" / "sitecustomize.py").write_text(BLOCKED)
    return space


# A class each: two processes of a test run take one each.
@pytest.mark.slow
class TestDrawnPeople:
    def test_the_printed_command_gets_a_trained_backbone_with_no_network(
        self, tmp_path: Path
    ) -> None:
        space = clone(tmp_path)
        space.draw_sample(portraits=8)
        follow_the_printed_command(space, tmp_path)


@pytest.mark.slow
class TestPhotographedPeople:
    def test_the_printed_command_gets_a_trained_backbone_with_no_network(
        self, tmp_path: Path, cases: Path
    ) -> None:
        space = clone(tmp_path)
        photographed(space, cases)
        follow_the_printed_command(space, tmp_path)
        assert space.json("artifacts/suspects/suspects.json")["accuracy"] > 0.9


def follow_the_printed_command(space: Workspace, scratch: Path) -> None:
    """Train without a network, read what is said of it, type the command that cures it."""
    nowhere = {"TORCH_HOME": str(scratch / "torch"), "HF_HOME": str(scratch / "hub")}
    space.track_data()
    space.repro(**nowhere)

    lines = space.run("whoswho", "summary").stdout
    command = "dvc exp run -S backbone.arch=dlib_resnet29"
    assert f"resnet18, {UNTRAINED}" in lines
    assert f"trained, without a network: {command}\n" in lines
    first = next(p for p in sorted((space.path / "data").rglob("*.jpg")) if p.stat().st_size > 9e3)
    predict = ("whoswho", "predict", str(first), "--model", "artifacts/model")
    assert f"{UNTRAINED}: its answers mean nothing; " in space.run(*predict).stderr
    for name in ("model_card.md", "report.html"):
        text = (space.path / "reports" / name).read_text(encoding="utf-8")
        assert command in text
        assert "Untrained (random weights)" in text
    assert command in space.python(
        "from whoswho import paths\n"
        "from whoswho.lifecycle.tracking.store import open_store\n"
        "store = open_store(paths.root())\n"
        "print([run.data.tags['mlflow.note.content'] for run in store.runs()])"
    )

    space.run("git", "add", "-A")
    space.run("git", "commit", "-qm", "untrained")
    space.run("sh", "-c", command, **nowhere)
    source = space.json("artifacts/backbone/source.json")
    assert (source["arch"], source["entry"]) == ("dlib_resnet29", "face-recognition-models")
    assert UNTRAINED not in space.run("whoswho", "summary").stdout
    assert UNTRAINED not in space.run(*predict).stderr
    assert "Untrained" not in (space.path / "reports" / "model_card.md").read_text("utf-8")
