"""The stage report, as a process."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.reported import workspace
from support.repository import REPOSITORY

from bench.workspace import set_params
from whoswho import paths

OUTPUTS = {
    "metrics.json", "measures.csv", "history.csv", "per_label.csv", "cleaning.csv",
    "predictions.csv", "model_card.md", "confusion_matrix.png", "mistakes.png", "calibration.png",
    "attention.png", "training_batch.png", "report.html", "clean.html",
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = workspace(tmp_path_factory.mktemp("run"))
    (folder / "dvc.yaml").touch()
    shutil.copy(REPOSITORY / "params.yaml", folder)
    set_params(folder, augment={"views": 2})  # what the model was trained with
    return folder


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning", REPOSITORY / "src" / "stage.py", "report"],
        cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip


def test_it_writes_its_files_the_same_twice_and_says_one_line(finished: Path) -> None:
    first = run(finished)
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    assert first.stdout.splitlines() == [
        "report: test accuracy 0.123 (95% interval 0.133 to 0.143; chance 0.153); "
        "open reports/report.html"
    ]
    written = {path.name: path.read_bytes() for path in (finished / "reports").iterdir()}
    assert set(written) == OUTPUTS
    with Image.open(finished / "reports" / "attention.png") as image:
        assert len(set(np.asarray(image.convert("RGB")).reshape(-1, 3).tobytes())) > 100
    assert run(finished).returncode == 0
    again = {path.name: path.read_bytes() for path in (finished / "reports").iterdir()}
    assert again == written


def test_bad_params_and_an_absent_artifact_are_one_line(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    (folder / paths.EVALUATION / "evaluation.json").unlink()
    earlier = folder / "reports" / "report.html"
    earlier.parent.mkdir(exist_ok=True)
    earlier.write_text("the last run's")
    gone = run(folder)
    assert (gone.returncode, len(gone.stderr.splitlines())) == (2, 1)
    assert "evaluation.json" in gone.stderr
    (folder / "params.yaml").write_text("train: {}\n")
    bad = run(folder)
    assert (bad.returncode, len(bad.stderr.splitlines())) == (2, 1)
    assert "params.yaml" in bad.stderr
    assert earlier.read_text() == "the last run's"
