"""The stage scripts train and register on a small drawn set: what they leave in MLflow."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.drawn_sets import decisions, draw_set
from support.lifecycle_store import environment, fixture_made, fixture_root, points  # noqa: F401
from support.repository import REPOSITORY

from bench.workspace import set_params
from whoswho import tables
from whoswho.artifacts.decisions import write_decisions
from whoswho.artifacts.model.description import model_digest
from whoswho.inference.predictor import Predictor
from whoswho.lifecycle.registry import version_files, versions
from whoswho.lifecycle.tracking.store import open_store

pytestmark = pytest.mark.slow(minutes=2)
LABELS = ("C++", "None", "장원영")
SIZES = {"train": 8, "validation": 3, "test": 3}
COUNTS = {split: dict.fromkeys(LABELS, size) for split, size in SIZES.items()}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace up to the stage features."""
    workspace = tmp_path_factory.mktemp("prepared")
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(REPOSITORY / name, workspace)
    set_params(
        workspace, backbone={"arch": "resnet18", "weights": ["random"]}, augment={"views": 1},
        evaluate={"bootstrap": 200, "altered": 4},
    )  # fmt: skip
    dataset = draw_set(workspace / "artifacts" / "dataset", COUNTS)
    write_decisions(workspace / "artifacts" / "clean", decisions(dataset))
    (workspace / "reports").mkdir()
    (workspace / "reports" / "model_card.md").write_text("# Model card: Who's Who\n")
    for stage in ("backbone", "features"):
        run(workspace, stage)
    return workspace


@pytest.fixture(scope="module")
def registered(made: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace up to the stage register."""
    workspace = tmp_path_factory.mktemp("registered")
    for source in (made, prepared):
        shutil.copytree(source, workspace, dirs_exist_ok=True)
    for stage in ("train", "evaluate", "register"):
        run(workspace, stage)
    return workspace


@pytest.fixture
def workspace(root: Path, registered: Path) -> Path:
    return shutil.copytree(registered, root, dirs_exist_ok=True)


def command(stage: str) -> list[str]:
    return [sys.executable, str(REPOSITORY / "src" / "stage.py"), stage]


def run(workspace: Path, stage: str, **more: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(stage), cwd=workspace, env=environment(**more), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "a library's line got through"
    assert done.stdout.startswith(f"{stage}: ")
    assert len(done.stdout.splitlines()) == 1
    return done


def test_from_training_to_a_registered_version(workspace: Path) -> None:
    store = open_store(workspace)
    (stored_run,) = store.client.search_runs([store.experiment_id])
    assert stored_run.info.status == "FINISHED"
    digest = model_digest(workspace / "artifacts" / "model")
    tags = stored_run.data.tags
    assert tags["model.sha256"] == digest
    assert tags["backbone"] == "random"
    assert {"commit", "dirty", "data.dvc", "params", "inputs", "host", "pid", "start"} <= set(tags)
    assert "restored" not in tags
    assert stored_run.data.params["train.lr"] == "0.001"
    assert stored_run.data.params["split.train"] == "0.7"
    assert not [
        name for name in stored_run.data.params if name.startswith(("register.", "promote."))
    ]
    curves = points(store, stored_run.info.run_id)
    history = tables.read(workspace / "artifacts" / "model" / "history.csv")
    for name in ("train/loss", "train/accuracy", "validation/loss", "validation/accuracy"):
        assert curves[name] == [(int(r["epoch"]), float(r[name])) for r in history]
    assert not [name for name in curves if "C++" in name or "recall" in name]
    kept = store.client.list_artifacts(stored_run.info.run_id, "evaluation")
    assert "evaluation/per_label.csv" in {file.path for file in kept}
    page = workspace / "reports" / "register.html"
    logged = store.client.download_artifacts(stored_run.info.run_id, page.name)
    assert Path(logged).read_bytes() == page.read_bytes()
    assert f"{stored_run.info.run_id}</code>" in page.read_text(encoding="utf-8")
    written = (workspace / "artifacts" / "registered.json").read_bytes()
    assert json.loads(written) == {"model.sha256": digest}
    before = curves
    run(workspace, "register")
    assert points(store, stored_run.info.run_id) == before
    assert (workspace / "artifacts" / "registered.json").read_bytes() == written
    (version,) = versions.all_versions(store)
    assert version.run_id == stored_run.info.run_id
    assert version.tags["untrained_backbone"] == "true"


def test_the_registered_version_answers_as_evaluate_did(workspace: Path) -> None:
    split = {r["file"]: r for r in tables.read(workspace / "artifacts/dataset/split.csv")}
    judged = tables.read(workspace / "artifacts" / "evaluation" / "predictions.csv")
    # As large as the network's input already, so preparing them again changes nothing.
    files = [workspace / "artifacts" / "dataset" / split[row["file"]]["path"] for row in judged]
    folder = version_files.model_folder(open_store(workspace), "models:/whoswho@challenger")
    answers = Predictor(folder).predict(files)
    for row, answer in zip(judged, answers, strict=True):
        assert answer.label == row["predicted"]
        assert answer.unknown == bool(int(row["unknown"]))
        for label, probability in answer.probabilities.items():
            assert probability == pytest.approx(float(row[f"probability/{label}"]), abs=1e-5)


def test_a_store_that_knows_no_run_gets_the_same_one_back(workspace: Path) -> None:
    store = open_store(workspace)
    (first,) = store.client.search_runs([store.experiment_id])
    store.client.delete_run(first.info.run_id)
    run(workspace, "register")
    (restored,) = store.client.search_runs([store.experiment_id])
    assert restored.info.run_id != first.info.run_id
    assert restored.data.tags["restored"] == "true"
    assert restored.data.params == first.data.params
    assert points(store, restored.info.run_id) == points(store, first.info.run_id)


def test_a_training_that_goes_on_has_one_point_an_epoch(root: Path, prepared: Path) -> None:
    """Killed at whatever point of an epoch; the next run tells the whole training once."""
    workspace = shutil.copytree(prepared, root, dirs_exist_ok=True)
    set_params(workspace, train={"epochs": 150})
    killed = 0
    for after in (1, 3):
        process = subprocess.Popen(
            command("train"), cwd=workspace, env=environment(), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        checkpoints = workspace / ".whoswho" / "checkpoints"
        seen: set[int] = set()
        while process.poll() is None and len(seen) < after + 5:
            seen |= {file.stat().st_mtime_ns for file in checkpoints.glob("*.pt")}
            time.sleep(0.005)
        killed += process.poll() is None
        process.kill()
        process.wait()
    assert killed == 2, "the training was too quick for this test"
    run_ = subprocess.run(
        command("train"), cwd=workspace, env=environment(), capture_output=True, text=True
    )
    assert run_.returncode == 0, run_.stderr
    assert "training goes on after epoch" in run_.stdout
    store = open_store(workspace)
    runs = store.client.search_runs([store.experiment_id])
    assert sorted(run.info.status for run in runs) == ["FINISHED", "KILLED", "KILLED"]
    for each in runs:
        for name, curve in points(store, each.info.run_id).items():
            steps = [step for step, _ in curve]
            assert steps == list(range(1, len(steps) + 1)), name
            assert len(steps) == 150 or each.info.status == "KILLED"
