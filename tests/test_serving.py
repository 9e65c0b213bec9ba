"""MLflow's own servers, started on loopback by the test: its pages, its API, a served model."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import lifecycle_outputs as small
from support.lifecycle_models import NAMES, make_model
from support.lifecycle_store import (  # noqa: F401
    HANGUL,
    environment,
    everything,
    fixture_made,
    fixture_root,
    free_port,
)
from support.pictures import png

from whoswho.artifacts.model.description import read_description, read_history, write_description
from whoswho.inference.predictor import Predictor
from whoswho.lifecycle import promotion, ui
from whoswho.lifecycle.registry import completion, registration, version_files, versions
from whoswho.lifecycle.tracking import runs
from whoswho.lifecycle.tracking.store import open_store
from whoswho.params import Promote

pytestmark = pytest.mark.slow
POLICY = Promote(
    margin=0.02, recall_floor=0.0, significance=None, strangers_margin=0.1, newcomer_likeness=0.7
)


@contextmanager
def serving(command: list[str], port: int, cwd: Path, **more: str) -> Iterator[str]:
    """Run a server in a process group of its own; everything it started ends with it."""
    log = cwd / "server.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=cwd, env=environment(**more), stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    try:
        for _ in range(720):
            assert process.poll() is None, log.read_text()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                    break
            except OSError:
                time.sleep(0.25)
        else:
            raise AssertionError(log.read_text())
        yield f"http://127.0.0.1:{port}"
    finally:
        for each in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, each)
                process.wait(10)


def listening(port: int) -> set[str]:
    return {
        c.laddr.ip
        for c in psutil.net_connections("tcp")
        if c.laddr and c.laddr.port == port and c.status == psutil.CONN_LISTEN
    }


def registered(root: Path) -> Path:
    """A champion in the store at `root`; returns its model folder."""
    record = small.write(root, labels=NAMES)
    model = record.folder / "model"
    make_model(model, NAMES)
    description = read_description(model)
    backbone = description.backbone.model_copy(update={"entry": "IMAGENET1K_V2"})
    write_description(model, description.model_copy(update={"backbone": backbone}))
    store = open_store(root)
    run = completion.completed_run(store, record, root / "reports", small.PARAMS, {})
    number = registration.register(store, run.info.run_id, record, "always").number
    promotion.promote(store, str(number), POLICY)
    return model


def ask(address: str, body: object) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"{address}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_served_model_answers_as_predict_does_in_every_form(root: Path) -> None:
    """From a moved folder, with nothing of this repository on the server's path."""
    moved = root.parent / HANGUL
    root.rename(moved)
    os.chdir(moved)
    model = registered(moved)
    (expected,) = Predictor(model).predict([png()])
    shutil.rmtree(moved / "artifacts")
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/whoswho@champion",
        "-p", str(port), "--env-manager", "local",
    ]  # fmt: skip
    uri = open_store(moved).uri
    with serving(command, port, root.parent, MLFLOW_TRACKING_URI=uri, PYTHONPATH="") as address:
        assert listening(port) == {"127.0.0.1"}
        plain = base64.b64encode(png()).decode()
        texts = [
            plain,
            base64.encodebytes(png()).decode(),
            base64.urlsafe_b64encode(png()).decode().rstrip("="),
            f"data:image/png;base64,{plain}",
        ]
        for body in (
            {"dataframe_split": {"columns": ["image"], "data": [[text] for text in texts]}},
            {"dataframe_records": [{"image": text} for text in texts]},
            {"inputs": {"image": texts}},
            {"inputs": [{"image": text} for text in texts]},
        ):
            code, said = ask(address, body)
            assert code == 200, said
            assert len(said["predictions"]) == len(texts)
            for answer in said["predictions"]:
                assert answer["label"] == expected.label
                assert answer["probability"] == pytest.approx(expected.probability, abs=1e-5)
                assert answer["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)
                assert answer["unknown"] is False
                assert answer["problem"] is None
        secret = moved / "secret.png"
        secret.write_bytes(png())
        bad = [str(secret), secret.as_uri(), "/etc/passwd", base64.b64encode(b"x").decode(), plain]
        code, said = ask(address, {"dataframe_records": [{"image": value} for value in bad]})
        assert code == 200, said
        assert [a["label"] for a in said["predictions"]] == [None] * 4 + [expected.label]
        assert all(a["problem"] for a in said["predictions"][:4])
        assert "secret" not in json.dumps(said)
        assert ask(address, {"dataframe_records": [{"picture": plain}]})[0] == 400


def test_the_pages_show_the_runs_and_nothing_else(root: Path) -> None:
    moved = root.parent / HANGUL
    root.rename(moved)
    os.chdir(moved)
    registered(moved)
    store = open_store(moved)
    (version,) = versions.all_versions(store)
    (moved / "secret.txt").write_text("secret", encoding="utf-8")
    port = free_port()
    code = (
        "import sys\nfrom pathlib import Path\nfrom whoswho.lifecycle import ui\n"
        f"ui.serve(Path({str(moved)!r}), port={port})"
    )
    with serving([sys.executable, "-c", code], port, root.parent) as address:
        assert listening(port) == {"127.0.0.1"}
        got = f"{address}/get-artifact?run_uuid={version.run_id}&path="
        with urllib.request.urlopen(f"{got}confusion_matrix.png", timeout=30) as answer:
            assert answer.read() == b"confusion_matrix.png"
        for path in ("../../../secret.txt", "%2e%2e%2f%2e%2e%2fsecret.txt", "/etc/passwd",
                     f"{moved}/secret.txt".replace(" ", "%20").replace("#", "%23")
                     .encode().decode("ascii", "ignore")):  # fmt: skip
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(got + path, timeout=30)
            assert refused.value.code >= 400


def test_the_same_code_works_against_a_server(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Train, complete, register, promote and predict through HTTP; then the server dies."""
    home = tmp_path / "server"
    home.mkdir()
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri",
        f"sqlite:///{home}/server.db", "--artifacts-destination", str(home / "files"),
        "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    record = small.write(root, labels=NAMES)
    with serving(command, port, home, MLFLOW_DISABLE_TELEMETRY="true") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with runs.training_run(root, small.PARAMS, {}) as run:
            for row in read_history(record.folder / "model"):
                run.epoch(row)
            run.finished("0" * 64)
        registered(root)
        store = open_store(root)
        assert store.uri == address
        assert everything(store, versions.all_versions(store)[0].run_id)["files"]
        shutil.rmtree(root / "artifacts")
        folder = version_files.model_folder(open_store(root), "models:/whoswho@champion")
        loaded = Predictor(folder)
        (answer,) = loaded.predict([png()])
        assert answer.label in NAMES
        ui.serve(root)
        assert f"{address} shows the runs" in capfd.readouterr().out
    shutil.rmtree(home)
    # The weights fetched before are kept, but aliases are asked for each time.
    began = time.monotonic()
    with runs.training_run(root, {}, {}) as run:
        run.epoch({"epoch": 1, "train/loss": 1.0})
        run.finished("1" * 64)
    assert time.monotonic() - began < 6
    assert capfd.readouterr().err.count("goes on untracked") == 1


def test_a_server_that_dies_in_the_middle_costs_no_training(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "server"
    home.mkdir()
    port = free_port()
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri",
        f"sqlite:///{home}/server.db", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1",
    ]  # fmt: skip
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    with _server_that_dies(command, port, home, root) as run:
        began = time.monotonic()
        run.epoch({"epoch": 2, "train/loss": 0.5})
        run.epoch({"epoch": 3, "train/loss": 0.4})
        run.finished("1" * 64)
    assert time.monotonic() - began < 15
    err = capfd.readouterr().err
    assert err.count("goes on untracked") == 1, err
    assert err.count("\n") == 1, err


@contextmanager
def _server_that_dies(
    command: list[str], port: int, home: Path, root: Path
) -> Iterator[runs.TrainingRun]:
    server = serving(command, port, home)
    server.__enter__()
    alive = True
    try:
        with runs.training_run(root, {}, {}) as run:
            run.epoch({"epoch": 1, "train/loss": 1.0})
            server.__exit__(None, None, None)
            alive = False
            yield run
    finally:
        if alive:
            server.__exit__(None, None, None)
