"""Without a network: what is untrained says so everywhere, and the printed command cures it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.offline import COMMAND, blocked, nowhere
from support.pipeline import FAST, Workspace, built_sample, commit, store

UNTRAINED = "untrained (random weights)"


@pytest.mark.slow
def test_weights_that_cannot_be_fetched_give_way_to_the_next(tmp_path: Path) -> None:
    weights = {"arch": "resnet18", "weights": ["IMAGENET1K_V1", "random"]}
    space = blocked(Workspace(tmp_path / "clone", **{**FAST, "backbone": weights}))
    done = space.run("python", "src/stage.py", "backbone", **nowhere(tmp_path))
    assert "random" in done.stdout
    assert "IMAGENET1K_V1" in done.stdout + done.stderr
    assert space.json("artifacts/backbone/source.json")["entry"] == "random"


@pytest.mark.slow(minutes=2)
def test_the_printed_command_gets_a_trained_backbone_with_no_network(tmp_path: Path) -> None:
    """Read what is said of an untrained one, type the command that cures it."""
    space = blocked(built_sample().copy(tmp_path / "clone"))
    first = next(p for p in sorted((space.path / "data").rglob("*.jpg")) if p.stat().st_size > 9e3)
    commands = (
        "import sys\nfrom whoswho import cli\nsys.stderr = sys.stdout\n"
        "cli.main(['summary'])\nprint('---')\n"
        f"cli.main(['predict', {str(first)!r}, '--model', 'artifacts/model'])"
    )
    lines, predicted = space.python(commands).split("---\n")
    assert f"resnet18, {UNTRAINED}" in lines
    assert f"trained, without a network: {COMMAND}\n" in lines
    assert f"{UNTRAINED}: its answers mean nothing; " in predicted
    for name in ("model_card.md", "report.html"):
        text = (space.path / "reports" / name).read_text(encoding="utf-8")
        assert COMMAND in text
        assert "Untrained (random weights)" in text
    (run,) = store(space)["runs"]
    assert COMMAND in run["tags"]["mlflow.note.content"]

    commit(space.path, "untrained")
    space.run("sh", "-c", COMMAND, **nowhere(tmp_path))
    source = space.json("artifacts/backbone/source.json")
    assert (source["arch"], source["entry"]) == ("dlib_resnet29", "face-recognition-models")
    lines, predicted = space.python(commands).split("---\n")
    assert COMMAND not in lines
    assert first.name in predicted
    assert UNTRAINED not in lines + predicted
    assert "Untrained" not in (space.path / "reports" / "model_card.md").read_text("utf-8")
    # The experiment's run lies beside the first one, in the one store.
    assert len(store(space)["runs"]) == 2
