"""The stage report, as a process, on a model with real weights."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image
from reported import HOSTILE, workspace

from whoswho import paths
from whoswho.learning import model_folder, network
from whoswho.learning.training import Fitted
from whoswho.learning.weights import Source

OUTPUTS = {
    "metrics.json", "history.csv", "per_label.csv", "cleaning.csv", "predictions.csv",
    "model_card.md", "confusion_matrix.png", "mistakes.png", "calibration.png", "attention.png",
    "report.html", "clean.html",
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = workspace(tmp_path_factory.mktemp("run"))
    (folder / "dvc.yaml").touch()
    shutil.copy(REPOSITORY / "params.yaml", folder)
    described = paths.read_json(folder / paths.MODEL / "model.json")
    trunk = network.random_trunk("resnet18", 0)
    _, width = network.trunk_from("resnet18", trunk)
    shape = network.HeadShape((8,), 0.0, True)
    head = network.build_head(width, len(HOSTILE), shape).state_dict()
    state = {f"trunk.{n}": v for n, v in trunk.items()} | {f"head.{n}": v for n, v in head.items()}
    history = [
        dict.fromkeys(model_folder.HISTORY_COLUMNS, 1.0 / epoch) | {"epoch": epoch}
        for epoch in (1, 2)
    ]
    nothing = np.zeros((0, len(HOSTILE)), np.float32)
    model_folder.save(
        folder / paths.MODEL,
        Fitted("resnet18", HOSTILE, shape, state, history, 2, [], nothing, np.zeros(0, np.int64)),
        picture=described["picture"], temperature=1.5, threshold=0.6,
        params={"train.lr": 0.001}, inputs={}, source=Source("resnet18", "random", "ab", "seed 0"),
    )  # fmt: skip
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
    (folder / paths.EVALUATION / "metrics.json").unlink()
    gone = run(folder)
    assert (gone.returncode, len(gone.stderr.splitlines())) == (2, 1)
    assert "metrics.json" in gone.stderr
    (folder / "params.yaml").write_text("train: {}\n")
    bad = run(folder)
    assert (bad.returncode, len(bad.stderr.splitlines())) == (2, 1)
    assert "params.yaml" in bad.stderr
    assert json.loads((finished / "reports" / "metrics.json").read_text())
