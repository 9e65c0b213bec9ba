"""MLflow's own servers, started on loopback by the test: its pages, its API, a served model."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
from support import lifecycle_outputs as small
from support import tracking_server
from support.lifecycle_models import NAMES
from support.lifecycle_store import (  # noqa: F401
    HANGUL,
    environment,
    everything,
    fixture_made,
    fixture_root,
    free_port,
)
from support.pictures import png
from support.serving import ask, registered, serving

from whoswho.artifacts.model.description import read_history
from whoswho.inference.predictor import Predictor
from whoswho.lifecycle import ui
from whoswho.lifecycle.registry import version_files, versions
from whoswho.lifecycle.tracking import runs
from whoswho.lifecycle.tracking.store import open_store

pytestmark = pytest.mark.slow(minutes=2)
MLFLOW = [sys.executable, "-m", "mlflow"]


def listening(port: int) -> set[str]:
    return {
        c.laddr.ip
        for c in psutil.net_connections("tcp")
        if c.laddr and c.laddr.port == port and c.status == psutil.CONN_LISTEN
    }


def test_a_served_model_answers_as_predict_does_in_every_form(root: Path) -> None:
    """From a moved folder, with nothing of this repository on the server's path."""
    moved = root.parent / HANGUL
    root.rename(moved)
    os.chdir(moved)
    model = registered(moved)
    (expected,) = Predictor(model).predict([png()])
    shutil.rmtree(moved / "artifacts")
    port = free_port()
    command = [*MLFLOW, "models", "serve", "-m", "models:/whoswho@champion"]
    command += ["-p", str(port), "--env-manager", "local"]
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
            code, reply = ask(address, body)
            assert code == 200, reply
            assert len(reply["predictions"]) == len(texts)
            for answer in reply["predictions"]:
                assert answer["label"] == expected.label
                assert answer["probability"] == pytest.approx(expected.probability, abs=1e-5)
                assert answer["probabilities"] == pytest.approx(expected.probabilities, abs=1e-5)
                assert answer["unknown"] is False
                assert answer["problem"] is None
        secret = moved / "secret.png"
        secret.write_bytes(png())
        bad = [str(secret), secret.as_uri(), "/etc/passwd", base64.b64encode(b"x").decode(), plain]
        code, reply = ask(address, {"dataframe_records": [{"image": value} for value in bad]})
        assert code == 200, reply
        assert [a["label"] for a in reply["predictions"]] == [None] * 4 + [expected.label]
        assert all(a["problem"] for a in reply["predictions"][:4])
        assert "secret" not in json.dumps(reply)
        assert ask(address, {"dataframe_records": [{"picture": plain}]})[0] == 400
    # The same from the command line, in the environment that the version asks for.
    (moved / "rows.json").write_text(json.dumps({"inputs": {"image": [plain]}}), encoding="utf-8")
    command = [*MLFLOW, "models", "predict", "-m", "models:/whoswho@champion", "-t", "json"]
    command += ["-i", "rows.json", "-o", "answer.json", "--env-manager", "local"]
    surroundings = environment(MLFLOW_TRACKING_URI=uri, PYTHONPATH="")
    subprocess.run(command, cwd=moved, env=surroundings, check=True)
    (answer,) = json.loads((moved / "answer.json").read_text("utf-8"))["predictions"]
    assert answer["label"] == expected.label
    assert answer["probability"] == pytest.approx(expected.probability, abs=1e-5)


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
    """Train, complete, register, promote and predict through HTTP; then the server dies.

    It dies in the middle of a training, which costs that no epoch.
    """
    home = tmp_path / "server"
    home.mkdir()
    port = free_port()
    command = [*MLFLOW, "server", "--backend-store-uri", f"sqlite:///{home}/server.db"]
    command += ["--artifacts-destination", str(home / "files"), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    record = small.write(root, labels=NAMES)
    server = serving(command, port, home, **tracking_server.SETTINGS)
    with ExitStack() as stack:
        address = stack.enter_context(server)
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
        folder = version_files.model_folder(open_store(root), "champion")
        loaded = Predictor(folder)
        (answer,) = loaded.predict([png()])
        assert answer.label in NAMES
        ui.serve(root)
        assert f"{address}/#/experiments/{store.experiment_id}/runs?" in capfd.readouterr().out
        with runs.training_run(root, {}, {}) as run:
            run.epoch({"epoch": 1, "train/loss": 1.0})
            stack.close()  # the server dies
            began = time.monotonic()
            run.epoch({"epoch": 2, "train/loss": 0.5})
            run.epoch({"epoch": 3, "train/loss": 0.4})
            run.finished("1" * 64)
        assert time.monotonic() - began < 15
    err = capfd.readouterr().err
    assert err.count("goes on untracked") == 1, err
    assert err.count("\n") == 1, err
    shutil.rmtree(home)
    # The weights fetched before are kept, but aliases are asked for each time.
    began = time.monotonic()
    with runs.training_run(root, {}, {}) as run:
        run.epoch({"epoch": 1, "train/loss": 1.0})
        run.finished("1" * 64)
    assert time.monotonic() - began < 6
    assert capfd.readouterr().err.count("goes on untracked") == 1
