"""What docs/compatibility.md promises is still so: names stay, and an old model answers."""

from __future__ import annotations

import argparse
import json
import lzma
import re
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from support.reported import workspace
from support.repository import REPOSITORY

from whoswho import __version__, cli, params, paths, tables
from whoswho.artifacts.decisions import Decision
from whoswho.artifacts.model.description import DESCRIPTION, FORMAT, WEIGHTS, ModelDescription
from whoswho.artifacts.split import SplitRow
from whoswho.artifacts.suspects import Suspect
from whoswho.dataset import forgotten, manifest, review
from whoswho.inference.predictor import Prediction
from whoswho.lifecycle import prediction
from whoswho.reporting import run_report

PROMISED = REPOSITORY / "tests" / "data" / "promised.json"
MODELS = sorted((REPOSITORY / "tests" / "data").glob("model-format-*"))


def options() -> dict[str, list[str]]:
    """The words of every command; what stands in its place has a name in capitals."""
    (commands,) = (
        action.choices
        for action in cli.parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return {
        name: sorted(
            word
            for action in command._actions
            for word in action.option_strings or [str(action.metavar or action.dest).upper()]
            if word not in ("-h", "--help")
        )
        for name, command in commands.items()
    }


def columns(folder: Path) -> dict[str, list[str]]:
    """The columns of the tables that are in Git, are printed, or travel with a version."""
    run_report.write_tables(run_report.read_run(workspace(folder)), folder / "reports")
    written = {
        f"reports/{path.name}": path.read_text(encoding="utf-8").splitlines()[0].split(",")
        for path in sorted((folder / "reports").glob("*.csv"))
    }
    answer = prediction.as_json(Prediction("x"), "y", 0)
    return written | {
        "review.csv": list(review.COLUMNS),
        "data/manifest/*.csv": list(manifest.COLUMNS),
        "data/forgotten/*.csv": list(tables.columns(forgotten.Bar)),
        "artifacts/clean/decisions.csv": [column.name for column in fields(Decision)],
        "artifacts/dataset/split.csv": list(tables.columns(SplitRow)),
        "artifacts/suspects/suspects.csv": list(Suspect.model_fields),
        "predict --csv": list(prediction.CSV_COLUMNS),
        "predict --json": list(answer),
    }


def test_names_stay(tmp_path: Path) -> None:
    """Where this fails, a name went or came: see docs/compatibility.md, then tests/data."""
    names: dict[str, Any] = {
        "params.yaml": sorted(params.flatten(params.load_params(REPOSITORY))),
        "commands": options(),
        "tables": columns(tmp_path),
        "model.json": {"format": FORMAT, "keys": sorted(ModelDescription.model_fields)},
    }
    assert names == json.loads(PROMISED.read_text(encoding="utf-8"))


def test_a_model_of_every_format_that_was_ever_released_is_kept() -> None:
    released = [f"model-format-{number}" for number in range(3, FORMAT + 1)]
    assert [folder.name for folder in MODELS] == released


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_an_old_model_answers_as_it_did(folder: Path, tmp_path: Path) -> None:
    from whoswho.inference.predictor import Predictor

    model = shutil.copytree(folder, tmp_path / "model")
    packed = model / f"{WEIGHTS}.xz"
    (model / WEIGHTS).write_bytes(lzma.decompress(packed.read_bytes()))
    packed.unlink()
    recorded = paths.read_json(model / "answers.json")
    answers = Predictor(model).predict([folder / "picture.png"])
    (answer,) = answers
    assert (answer.label, answer.unknown) == (recorded["label"], recorded["unknown"])
    assert answer.probabilities == pytest.approx(recorded["probabilities"], abs=1e-4)
    assert answer.similarity == pytest.approx(recorded["similarity"], abs=1e-4)
    assert paths.read_json(folder / DESCRIPTION)["format"] == int(folder.name.rpartition("-")[2])


def test_the_changelog_has_a_section_for_this_version_below_what_is_not_released() -> None:
    text = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert heads[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(__version__)}, \d{{4}}-\d\d-\d\d", heads[1])


def test_a_new_version_alone_runs_no_stage_again() -> None:
    """No stage lists the module that holds it, and none of its outputs can name it."""
    pipeline = (REPOSITORY / "dvc.yaml").read_text(encoding="utf-8")
    assert "src/whoswho/__init__.py" not in pipeline
    named = {
        path.relative_to(REPOSITORY / "src" / "whoswho").as_posix()
        for path in (REPOSITORY / "src").rglob("*.py")
        if "import __version__" in path.read_text(encoding="utf-8")
    }
    assert named == {"cli/__init__.py", "crawl/transport.py"}
