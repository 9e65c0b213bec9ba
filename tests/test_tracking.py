"""Runs and their store, against the real MLflow: what is there after whatever happened."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support import lifecycle_outputs as small
from support.lifecycle_store import (  # noqa: F401
    HANGUL,
    everything,
    fixture_made,
    fixture_root,
    free_port,
    points,
    project,
    start,
)
from support.repository import skip_or_fail

from whoswho import paths, tables
from whoswho.artifacts.model.description import HistoryRow, read_history
from whoswho.errors import UserError
from whoswho.lifecycle import ui
from whoswho.lifecycle.registry import completion
from whoswho.lifecycle.registry.record import Record, read_record
from whoswho.lifecycle.tracking import lineage, process, runs
from whoswho.lifecycle.tracking.store import Store, open_store


def only_run(root: Path) -> tuple[Store, object]:
    store = open_store(root)
    (run,) = store.client.search_runs([store.experiment_id])
    return store, run


TRAINING = """
    import os, signal, sys, time
    from pathlib import Path
    from whoswho.errors import one_line_errors
    from whoswho.lifecycle.tracking import runs
    with one_line_errors(), runs.training_run(Path.cwd(), {"train.lr": 0.1}, {}) as run:
        for epoch in (1, 2, 3):
            run.epoch({"epoch": epoch, "train/loss": 1 / epoch, "validation/accuracy": 0.5})
            if epoch == 2:
                print("second", flush=True)
                %s
        run.finished("d" * 64)
"""


# The store


def test_many_processes_make_one_sound_store(tmp_path: Path) -> None:
    project(tmp_path)
    code = """
        from pathlib import Path
        from whoswho.lifecycle.tracking.store import open_store
        s = open_store(Path.cwd())
        s.client.log_text(s.client.create_run(s.experiment_id).info.run_id, "x", "x.txt")
    """
    started = [start(code, tmp_path) for _ in range(3)]
    outputs = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], outputs
    assert all(text == "" for pair in outputs for text in pair), "MLflow's own lines got through"
    store = open_store(tmp_path)
    assert len(store.client.search_runs([store.experiment_id])) == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        ".whoswho", "dvc.yaml", "mlartifacts", "mlflow.db", "params.yaml",
    ]  # fmt: skip


def test_the_store_moves_with_its_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(root)
    run = store.client.create_run(store.experiment_id).info.run_id
    store.client.log_text(run, "a figure", "그림.png")
    for name in (HANGUL, "and back"):
        moved = root.parent / name / "deeper"
        moved.parent.mkdir()
        root.rename(moved)
        (moved / "data").mkdir(exist_ok=True)
        monkeypatch.chdir(moved / "data")
        store = open_store()
        got = store.client.download_artifacts(run, "그림.png", str(root.parent))
        assert Path(got).read_text(encoding="utf-8") == "a figure"
        place = store.run(run).info.artifact_uri
        assert place.startswith((moved / "mlartifacts").as_uri())
        fresh = store.client.create_run(store.experiment_id).info.run_id
        store.client.log_text(fresh, "x", "x.txt")
        assert (moved / "mlartifacts" / fresh / "artifacts" / "x.txt").is_file()
        root = moved


def test_a_copy_leaves_the_original_alone(root: Path) -> None:
    store = open_store(root)
    run = store.client.create_run(store.experiment_id).info.run_id
    copy = root.parent / "copy"
    shutil.copytree(root, copy)
    other = open_store(copy)
    other.client.log_text(run, "x", "only in the copy.txt")
    assert [a.path for a in other.client.list_artifacts(run)] == ["only in the copy.txt"]
    assert open_store(root).client.list_artifacts(run) == []


def test_a_store_that_plain_mlflow_made_first_is_used(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    project(tmp_path)
    theirs = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    theirs.create_experiment("theirs", (tmp_path / "mlartifacts").as_uri())
    store = open_store(tmp_path)
    names = {e.name for e in store.client.search_experiments()}
    assert {"theirs", "whoswho"} <= names
    theirs.delete_experiment(store.experiment_id)
    assert open_store(tmp_path).experiment_id == store.experiment_id


def test_a_broken_store_is_named(root: Path) -> None:
    (root / "mlflow.db").write_bytes(b"not a database" * 100)
    with pytest.raises(UserError, match=r"mlflow\.db: not a tracking store .* move it away"):
        open_store(root)


def test_the_repositorys_own_store_named_from_a_subfolder_is_still_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert open_store(root).uri == f"sqlite:///{root}/mlflow.db"


# Reaching it


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Takes connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("kind", ["closed", "silent"])
def test_a_training_goes_on_without_its_server(
    kind: str, root: Path, silent_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = silent_server if kind == "silent" else f"http://someone:secret@127.0.0.1:{free_port()}"
    began = time.monotonic()
    process = start(TRAINING % "pass", root, MLFLOW_TRACKING_URI=uri)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out == "second\n"
    assert err.count("\n") == 1, err
    assert "goes on untracked" in err
    assert "secret" not in err
    assert time.monotonic() - began < 5 + 10  # importing and starting included
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    began = time.monotonic()
    with pytest.raises(UserError, match="unset MLFLOW_TRACKING_URI"):
        open_store(root)
    assert time.monotonic() - began < 6


def test_a_server_that_dies_in_the_middle_is_said_once(
    root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    with runs.training_run(root, {}, {}) as run:
        run.epoch({"epoch": 1, "train/loss": 1.0})
        lost = f"http://127.0.0.1:{free_port()}"
        assert run.store is not None
        run.store = Store(lost, root, "whoswho", MlflowClient(lost), run.store.experiment_id)
        run.epoch({"epoch": 2, "train/loss": 0.5})
        run.epoch({"epoch": 3, "train/loss": 0.4})
        run.finished("d" * 64)
    err = capfd.readouterr().err
    assert err.count("goes on untracked") == 1
    assert err.count("\n") == 1, err


class Ended:
    """A server that ended at once."""

    pid, returncode = 2**22 + 1, 1  # no process has that number

    def __init__(self, command: list[str], **_: object) -> None:
        self.host = command[command.index("--host") + 1]
        HOSTS.append(self.host)

    def poll(self) -> int:
        return 1

    def wait(self, _seconds: float | None = None) -> int:
        return 1


HOSTS: list[str] = []


def test_pages_open_to_others_are_warned_of(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ui.subprocess, "Popen", Ended)
    for host in ("127.0.0.1", "0.0.0.0"):
        with pytest.raises(UserError, match="ended by itself, code 1"):
            ui.serve(root, host, free_port())
        assert HOSTS[-1] == host
        err = capfd.readouterr().err
        assert ("0.0.0.0 is open to others" in err) is (host == "0.0.0.0")


# How a run ends


@pytest.mark.parametrize(
    ("then", "name", "code", "status", "reason"),
    [
        ("time.sleep(30)", "SIGTERM", 143, "KILLED", "SIGTERM"),
        ("time.sleep(30)", "SIGHUP", 129, "KILLED", "SIGHUP"),
        ("time.sleep(30)", "SIGINT", 130, "KILLED", "SIGINT (Ctrl-C)"),
        ("sys.exit(0)", None, 0, "FAILED", "sys.exit(0)"),
        ("raise ValueError('no\\n way')", None, 1, "FAILED", "ValueError: no way"),
        ("pass", None, 0, "FINISHED", None),
    ],
)
def test_a_run_ends_as_its_training_did(
    root: Path, then: str, name: str | None, code: int, status: str, reason: str | None
) -> None:
    process = start(TRAINING % then, root)
    assert process.stdout is not None
    assert process.stdout.readline() == "second\n"
    if name:
        process.send_signal(signal.Signals[name])
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    store, run = only_run(root)
    assert run.info.status == status
    assert run.data.tags.get("reason") == reason
    assert run.data.tags.get("model.sha256") == ("d" * 64 if status == "FINISHED" else None)
    assert len(points(store, run.info.run_id)["train/loss"]) == (3 if then == "pass" else 2)
    assert run.data.params == {"train.lr": "0.1"}


def test_a_second_signal_does_not_cut_the_closing_short(root: Path) -> None:
    process = start(TRAINING % "time.sleep(30)", root)
    assert process.stdout is not None
    process.stdout.readline()
    for _ in range(3):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.01)
    process.communicate(timeout=60)
    assert only_run(root)[1].info.status == "KILLED"


def test_after_kill_9_the_next_command_closes_the_orphan(root: Path) -> None:
    process = start(TRAINING % "time.sleep(30)", root)
    assert process.stdout is not None
    process.stdout.readline()
    assert only_run(root)[1].info.status == "RUNNING", "a living training is left alone"
    process.kill()
    process.communicate()
    run = only_run(root)[1]
    assert run.info.status == "KILLED"
    assert run.data.tags["reason"] == f"process {process.pid} ended without a word"


def test_an_orphan_is_told_from_a_living_and_a_foreign_process() -> None:
    mine = process.tags()
    assert not process.is_orphan(mine)
    assert process.is_orphan({**mine, "pid.start": str(int(mine["pid.start"]) - 1000)})
    assert not process.is_orphan({**mine, "host": "another", "pid": "999999"})
    gone = {**mine, "pid": "99999999"}
    assert process.is_orphan(gone)
    assert process.is_orphan({**mine, "boot": "before the power cut"})
    # Machines that were copied or containers may share a name, and numbers of processes.
    for name in ("machine", "pid.namespace"):
        assert not process.is_orphan({**gone, name: "another"})
    assert not process.is_orphan({"host": mine["host"]})


def test_a_clock_that_is_set_makes_no_living_process_an_orphan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = process.tags()
    created = process.psutil.Process.create_time
    monkeypatch.setattr(process.psutil.Process, "create_time", lambda p: created(p) - 3600)
    assert not process.is_orphan(mine)


def test_a_living_training_in_a_container_is_not_closed_from_outside(root: Path) -> None:
    """A namespace of processes of its own, as a container has, on the same machine and store."""
    contained = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*contained, "true"], capture_output=True, check=False).returncode:
        skip_or_fail("needs the right to make a namespace (root, or unshare -r)")
    training = start(TRAINING % "sys.stdin.readline()", root, before=contained)
    assert training.stdout is not None
    assert training.stdout.readline() == "second\n"
    run = only_run(root)[1]
    assert run.info.status == "RUNNING"
    assert run.data.tags["boot"] == process.tags()["boot"]
    _, err = training.communicate("go on\n", timeout=60)
    assert training.returncode == 0, err
    assert only_run(root)[1].info.status == "FINISHED"


def test_an_ended_block_without_a_model_is_no_success(root: Path) -> None:
    with runs.training_run(root, {}, {}):
        pass
    assert only_run(root)[1].info.status == "FAILED"


# Names and lineage


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *arguments],
        check=True, capture_output=True,
    )  # fmt: skip


@pytest.fixture
def committed(tmp_path: Path) -> Path:
    """A repository of nothing but what makes a model, all of it committed."""
    (tmp_path / "src").mkdir()
    for name in ("src/a.py", *lineage.CODE[1:], "notes.txt"):
        (tmp_path / name).write_text(f"{name}\n\n", encoding="utf-8")
    assert lineage.tags(tmp_path, {}, {})["commit"] == "none"
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_lineage_says_what_made_the_model(
    committed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "lr-05")
    clean = lineage.tags(committed, {"train.lr": 1}, {"dataset": "x"})
    assert len(clean["commit"]) == 40
    assert clean["dirty"] == "false"
    assert clean["dvc.experiment"] == "lr-05"
    (committed / "notes.txt").write_text("not what trains", encoding="utf-8")
    assert lineage.tags(committed, {}, {})["dirty"] == "false"
    (committed / "review.csv").write_text("changed", encoding="utf-8")
    changed = lineage.tags(committed, {"train.lr": 2}, {"dataset": "y"})
    assert changed["dirty"] == "true"
    for key in ("params", "inputs"):
        assert changed[key] != clean[key]
    assert changed["data.dvc"] == clean["data.dvc"]


@pytest.mark.parametrize("name", ["src/a.py", "src/new 얼굴.py", *lineage.CODE[1:]])
def test_what_is_not_committed_makes_a_training_dirty_and_is_kept_as_a_patch(
    name: str, committed: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert lineage.PATCH not in lineage.files(committed, {}, {})
    (committed / name).write_text(f"{name}\nedited\n\n", encoding="utf-8")
    assert lineage.tags(committed, {}, {})["dirty"] == "true"
    patch = lineage.files(committed, {}, {})[lineage.PATCH]
    other = tmp_path_factory.mktemp("other") / "clone"
    git(committed, "clone", "-q", ".", str(other))
    (other / "patch").write_text(patch, encoding="utf-8")
    git(other, "apply", "patch")
    assert (other / name).read_bytes() == (committed / name).read_bytes()
    if name == "src/a.py":
        (committed / name).write_text("x\n" * lineage.LONGEST_PATCH, encoding="utf-8")
        short = lineage.files(committed, {}, {})[lineage.PATCH]
        assert short.endswith("too long to keep: src/a.py\n")
        assert short.count("\n") == 1


def test_a_repository_of_another_owner_is_named_with_gits_cure(
    committed: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(committed.parent / "gitconfig"))
    tags = lineage.tags(committed, {}, {})
    assert (tags["commit"], tags["dirty"]) == ("none", "unknown")
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith(f"whoswho: warning: {committed}: Git reads no repository of another")
    subprocess.run(err.partition("trust this one: ")[2], shell=True, check=True)
    assert len(lineage.tags(committed, {}, {})["commit"]) == 40
    assert capfd.readouterr().err == ""


def test_a_param_too_long_for_the_store_is_whole_in_the_run_and_in_its_model(
    root: Path, committed: Path
) -> None:
    params = {"backbone.weights": ["a" * 7000, "random"]}
    store = open_store(root)
    run = runs.new_run(store, params, {}, lineage.files(committed, params, {}))
    assert run.run_id
    assert len(store.run(run.run_id).data.params["backbone.weights"]) == 6000
    got = store.client.download_artifacts(run.run_id, "lineage/lineage.json", str(root))
    kept = paths.read_json(Path(got))
    assert kept["params"] == params
    assert kept["data.dvc"] == "data.dvc\n\n"


# Completing


def history(record: Record) -> list[HistoryRow]:
    return read_history(record.folder / "model")


def complete(root: Path, record: Record) -> tuple[Store, object]:
    store = open_store(root)
    run = completion.completed_run(store, record, root / "reports", small.PARAMS, {"commit": "c"})
    return store, run


def trained(root: Path, record: Record, epochs: int = 3, digest: str | None = None) -> str:
    with runs.training_run(root, small.PARAMS, {"commit": "c"}) as run:
        for row in history(record)[:epochs]:
            run.epoch(row)
        run.finished(digest or record.digest)
    assert run.run_id is not None
    return run.run_id


def test_restoring_and_finishing_lead_to_the_same_run(root: Path) -> None:
    record = small.write(root)
    run_id = trained(root, record)
    store, finished = complete(root, record)
    assert finished.info.run_id == run_id
    assert "restored" not in finished.data.tags
    other = project(root.parent / "clone")
    store_2, restored = complete(other, small.write(other))
    assert restored.data.tags["restored"] == "true"
    assert restored.info.status == "FINISHED"
    assert everything(store, run_id) == everything(store_2, restored.info.run_id)


def test_a_complete_run_holds_what_the_design_names(root: Path) -> None:
    record = small.write(root, wrong=[0])
    store, run = complete(root, record)
    held = everything(store, run.info.run_id)
    assert held["params"] == {
        "train.lr": "0.001", "train.epochs": "3", "backbone.weights": '["random"]',
        "train.seed": "0",
    }  # fmt: skip
    curves = held["points"]
    assert isinstance(curves, dict)
    assert [step for step, _ in curves["validation/loss"]] == [1, 2, 3]
    assert curves["test/accuracy"] == [(0, pytest.approx(1 - 1 / 18))]
    assert {key.partition("/")[0] for key in curves} == {"train", "validation", "test"}
    assert not [key for key in curves if "recall" in key], "labels are a table, no metrics"
    kept = store.client.download_artifacts(run.info.run_id, "evaluation/per_label.csv", str(root))
    recalls = {
        row["label"]: float(row["recall"])
        for row in tables.read(Path(kept))
        if row["split"] == "test"
    }
    assert recalls == pytest.approx({**dict.fromkeys(small.LABELS, 1.0), "장원영": 2 / 3})
    assert held["files"] == [
        "cleaning.csv", "confusion_matrix.png", "dataset/split.csv",
        "evaluation/attention.json", "evaluation/confusion_matrix.csv",
        "evaluation/evaluation.json", "evaluation/per_label.csv",
        "evaluation/predictions.csv", "evaluation/robustness.csv", "evaluation/shortcuts.csv",
        "model/history.csv", "model/model.json", "model_card.md", "report.html",
    ]  # fmt: skip
    assert [(name, context) for name, _, _, context in held["inputs"]] == [
        ("test", "test"), ("training", "training"), ("validation", "validation"),
    ]  # fmt: skip


def test_completing_again_changes_nothing_and_new_results_are_one_more_point(root: Path) -> None:
    record = small.write(root)
    store, run = complete(root, record)
    before = everything(store, run.info.run_id)
    store, again = complete(root, record)
    assert again.info.run_id == run.info.run_id
    assert everything(store, run.info.run_id) == before
    store, _ = complete(root, small.write(root, log_loss=0.25))
    after = everything(store, run.info.run_id)["points"]
    assert after["validation/log_loss"] == [(0, 0.5), (1, 0.25)]
    assert store.run(run.info.run_id).data.metrics["validation/log_loss"] == 0.25
    del after["validation/log_loss"], before["points"]["validation/log_loss"]
    assert after == before["points"]


def test_a_run_that_lost_its_server_gets_its_missing_epochs(root: Path) -> None:
    record = small.write(root)
    run_id = trained(root, record, epochs=1)
    store, run = complete(root, record)
    assert run.info.run_id == run_id
    assert [step for step, _ in points(store, run_id)["train/loss"]] == [1, 2, 3]


def test_an_epoch_is_one_point_however_often_it_is_said(root: Path) -> None:
    record = small.write(root)
    with runs.training_run(root, {}, {}) as run:
        for row in [*history(record)[:2], *history(record)]:
            run.epoch(row)
        run.finished("f" * 64)
    store, stored_run = only_run(root)
    assert {key: [step for step, _ in curve]
            for key, curve in points(store, stored_run.info.run_id).items()} == {
        key: [1, 2, 3] for key in stored_run.data.metrics
    }  # fmt: skip


def test_a_failed_completion_leaves_the_training_finished(root: Path) -> None:
    record = small.write(root)
    run_id = trained(root, record)
    (record.folder / "evaluation" / "evaluation.json").unlink()
    with pytest.raises(UserError, match=r"evaluation\.json: not there"):
        complete(root, read_record(record.folder))
    assert open_store(root).run(run_id).info.status == "FINISHED"


def test_another_models_run_is_not_taken(root: Path) -> None:
    record = small.write(root)
    other = trained(root, record, digest="0" * 64)
    _, run = complete(root, record)
    assert run.info.run_id != other
    assert run.data.tags["restored"] == "true"


def test_a_set_without_test_pictures_is_judged_on_validation(root: Path) -> None:
    record = small.write(root, test=False)
    store, run = complete(root, record)
    assert not [key for key in run.data.metrics if key.startswith("test/")]
    got = store.client.download_artifacts(
        run.info.run_id, "evaluation/confusion_matrix.csv", str(root)
    )
    assert "predicted/장원영" in Path(got).read_text(encoding="utf-8")
