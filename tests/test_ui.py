"""`whoswho ui`: the run table that people came for, in a browser that was never here before."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image
from support import browser, processes
from support import lifecycle_outputs as small
from support.lifecycle_store import environment, free_port, project
from support.repository import REPOSITORY

from whoswho.artifacts.model.description import read_history
from whoswho.lifecycle.registry import completion, run_page
from whoswho.lifecycle.tracking import changes, lineage, runs
from whoswho.lifecycle.tracking.store import open_store

RUNS = (
    {},
    {"train.lr": 0.01},
    {"train.lr": 0.01, "train.epochs": 30, "backbone.weights": ["IMAGENET1K_V2"]},
)


@pytest.fixture(scope="module", name="tried")
def fixture_tried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three runs, as train and register leave them."""
    root = project(tmp_path_factory.mktemp("tried") / "repository")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("WHOSWHO_USER", "Mina Kim")
        for number, change in enumerate(RUNS):
            finish(root, {**small.PARAMS, **change}, str(number), wrong=range(number))
        run_page.write_view(open_store(root))
    return root


def finish(root: Path, params: dict[str, Any], seed: str, wrong: Any = ()) -> None:
    record = small.write(root, seed=seed, wrong=list(wrong))
    tags = lineage.tags(root, params, {})
    with runs.training_run(root, params, tags) as run:
        for row in read_history(record.folder / "model"):
            run.epoch(row)
        run.finished(record.digest)
    completion.completed_run(open_store(root), record, root / "reports", params, tags)


def ui(root: Path, port: int) -> subprocess.Popen[str]:
    return processes.start(
        [sys.executable, "-m", "whoswho.cli", "ui", "--port", str(port)],
        cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # A proxy is not for this machine's own addresses.
        env=environment() | {"ALL_PROXY": "socks5h://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""},
    )  # fmt: skip


@pytest.fixture(scope="module", name="address")
def fixture_address(tried: Path) -> Iterator[str]:
    """What `whoswho ui` prints, once it answers. A signal ends it with all that it started."""
    process = ui(tried, free_port())
    try:
        assert process.stdout is not None
        # MLflow's server says things of its own before.
        line = next((line for line in process.stdout if " shows the runs of " in line), "")
        assert line, process.communicate()
        started = psutil.Process(process.pid).children(recursive=True)
        assert started
        yield line.partition(" ")[0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
        assert not psutil.wait_procs(started, 5)[1]
    finally:
        process.terminate()
        process.wait(30)


def test_it_opens_the_run_table_with_what_people_compare_by(tried: Path, address: str) -> None:
    """WHOSWHO_SCREENSHOT=docs/runs.png keeps a picture of it."""
    wanted = {
        "Run Name", "User", "test/accuracy", "validation/accuracy",
        "backbone.weights", "train.epochs", "train.lr",
    }  # fmt: skip
    texts = "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText.trim())"
    with browser.chromium(1600, 620) as driver:
        driver.get(address)
        end = time.monotonic() + 90
        headers: set[str] = set()
        while time.monotonic() < end and not wanted <= headers:
            time.sleep(0.3)
            headers = set(driver.execute_script(texts, "[role=columnheader]"))
        assert headers - wanted <= {"", "Created", "Duration", "Metrics", "Parameters"}
        assert wanted <= headers
        cells = driver.execute_script(texts, "[role=gridcell]")
        assert cells.count("Mina Kim") == len(RUNS)
        links = driver.execute_script(texts, "[role=gridcell] a")
        assert links == ['weights=["IMAGENET1K_V2"] epochs=30', "lr=0.01", "first"]
        if target := os.environ.get("WHOSWHO_SCREENSHOT"):
            with Image.open(io.BytesIO(driver.get_screenshot_as_png())) as image:
                small_palette = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
                small_palette.save(REPOSITORY / target, optimize=True)


def test_a_taken_port_is_said_in_one_line_before_anything_else(tried: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        process = ui(tried, port)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"whoswho: cannot listen on 127.0.0.1, port {port}: Address already")
    assert line.endswith("; choose another with --host or --port")


def test_a_run_says_who_made_it_and_how_good_it_is(tried: Path) -> None:
    newest, second, first = open_store(tried).runs()
    assert [run.info.user_id for run in (newest, second, first)] == ["Mina Kim"] * 3
    assert newest.data.tags["mlflow.note.content"] == (
        "test accuracy 0.889\n\nbackbone resnet18\n\nchanged: backbone.weights "
        '["IMAGENET1K_V2"] (was ["random"]), train.epochs 30 (was 3)'
    )
    assert "changed" not in first.data.tags["mlflow.note.content"]


def test_a_note_that_a_person_wrote_stays(tried: Path) -> None:
    store = open_store(tried)
    newest = store.runs(most=1)[0]
    record = small.write(tried, seed="2", wrong=[0, 1])
    before = newest.data.tags["mlflow.note.content"]
    run_page.write_note(store, newest, record)
    assert store.run(newest.info.run_id).data.tags["mlflow.note.content"] == before
    store.client.set_tag(newest.info.run_id, "mlflow.note.content", "for the fair")
    run_page.write_note(store, store.run(newest.info.run_id), record)
    assert store.run(newest.info.run_id).data.tags["mlflow.note.content"] == "for the fair"
    store.client.set_tag(newest.info.run_id, "mlflow.note.content", before)


def test_a_run_is_named_by_what_differs() -> None:
    params = {"train.lr": "0.001", "train.seed": "0", "split.seed": "0", "clean.faces": "one"}
    tags = {"commit": "a", "data.dvc": "d"}

    def name(changed: dict[str, str], others: dict[str, str] = {}) -> str:  # noqa: B006
        return changes.name({**params, **changed}, {**tags, **others}, (params, tags))

    assert changes.name(params, tags, None) == "first"
    assert name({"train.lr": "0.01"}) == "lr=0.01"
    assert name({"train.seed": "1", "train.lr": "0.1"}) == "lr=0.1 train.seed=1"
    assert name({f"x.{n}": "1" for n in "abcdef"}) == "a=1 b=1 c=1 d=1 +2"
    assert name({"clean.faces": "x" * 30}) == f"faces={'x' * 23}…"
    assert name({}, {"data.dvc": "e", "commit": "b"}) == "other data other code"
    assert name({}) == "again"


def test_whose_run_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "root")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.delenv("WHOSWHO_USER", raising=False)
    assert lineage.user(tmp_path) == "root"
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "-C", tmp_path, "config", "user.name", "장원영"], check=True)
    assert lineage.user(tmp_path) == "장원영"
    monkeypatch.setenv("WHOSWHO_USER", "Mina Kim")
    assert lineage.user(tmp_path) == "Mina Kim"
