"""The tables in which people compare experiments fit a terminal of 100 columns, whole."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from support.evaluations import make_evaluation, prediction_row
from support.reported import HELD_OUT
from support.repository import REPOSITORY

from bench.workspace import commit, environment
from whoswho.params import load_params

EXPERIMENTS = (
    "dvc exp show --only-changed --md --drop '.*/|Created|register' "
    "--keep 'cv/accuracy$|test/accuracy$'"
)
FIGURES = "dvc metrics diff --all --no-path"

PIPELINE = """\
metrics:
  - reports/metrics.json
stages:
  measure:
    cmd: python measure.py
    params: [{sections}]
    outs:
      - artifacts/model.json
      - reports/metrics.json: {{cache: false}}
"""
MEASURE = """\
import hashlib, json
from pathlib import Path
params = Path("params.yaml").read_bytes()
Path("artifacts").mkdir(exist_ok=True)
Path("artifacts/model.json").write_bytes(params)
def value(name):
    return int(hashlib.sha256(name.encode() + params).hexdigest()[:12], 16) / 16**12
metrics = {name: value(name) for name in json.loads(Path("names.json").read_text())}
Path("reports/metrics.json").write_text(json.dumps(metrics))
"""


def headline() -> list[str]:
    """The names of metrics.json, each that there can be."""
    rows = [
        prediction_row("ab", f"{split}.jpg", split, "a", "a") for split in ("validation", "test")
    ]
    kinds = [
        "pictures", "accuracy", "accuracy_low", "accuracy_high", "chance", "balanced_accuracy",
        "macro_f1", "log_loss", "ece", "false_reject_rate", "accuracy_mean", "accuracy_deviation",
    ]  # fmt: skip
    metrics = HELD_OUT | {
        f"{split}/{kind}": 0.5 for split in ("validation", "test") for kind in kinds
    }
    return list(make_evaluation(["a", "b"], rows, metrics).headline)


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_readme_has_the_commands(name: str) -> None:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    assert EXPERIMENTS in text
    assert FIGURES in text


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with all our params and figures, in which an experiment was run."""
    folder = tmp_path_factory.mktemp("tried")
    shutil.copy(REPOSITORY / "params.yaml", folder)
    sections = ", ".join(load_params(REPOSITORY).model_dump(by_alias=True))
    (folder / "dvc.yaml").write_text(PIPELINE.format(sections=sections))
    (folder / "measure.py").write_text(MEASURE)
    (folder / "names.json").write_text(json.dumps(headline()))
    (folder / "reports").mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=folder, check=True)
    for command in ("dvc init -q", "dvc config core.analytics false", "dvc repro -q"):
        run(folder, command)
    commit(folder)
    changes = "-S train.epochs=100 -S 'train.head=[256]' -S register.when=never"
    run(folder, f"dvc exp run -q -n longer {changes}")
    return folder


def run(folder: Path, command: str) -> str:
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment(folder), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_table_of_experiments_is_whole_and_fits(tried: Path) -> None:
    table = run(tried, EXPERIMENTS)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.strip().split("\n")]
    assert rows[0] == [
        "Experiment", "test/accuracy", "cv/accuracy", "train.epochs", "train.head",
    ]  # fmt: skip
    by_name = {row[0].rpartition(" ")[2]: row[3:] for row in rows}
    assert by_name["main"] == ["30", "[128]"]
    assert by_name["[longer]"] == ["100", "[256]"]
    assert max(map(len, table.split("\n"))) <= 100


@pytest.mark.slow
def test_the_figures_are_a_row_each_and_fit(tried: Path) -> None:
    table = run(tried, FIGURES)
    names = [line.split()[0] for line in table.strip().split("\n")[1:]]
    assert sorted(names) == sorted(headline())
    assert max(map(len, table.split("\n"))) <= 100
