"""Servers of registered models, started on loopback, and what is asked of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from support import lifecycle_outputs as small
from support.lifecycle_models import NAMES, make_model, teach
from support.lifecycle_store import environment
from support.lifecycle_versions import POLICY
from whoswho.artifacts.model.description import read_description, write_description
from whoswho.lifecycle.registry import completion, promotion, registration
from whoswho.lifecycle.registry.record import read_record
from whoswho.lifecycle.tracking.store import open_store


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


def register(
    root: Path, *, seed: int = 0, labels: Sequence[str] = NAMES, taught: bool = False,
    **changes: object,
) -> tuple[int, Path]:  # fmt: skip
    """A version of a model in the store at `root`, and its folder there.

    Args:
        taught: it answers its test pictures as the record says, as the way to an alias asks.
        changes: fields of its model.json.
    """
    record = small.write(root, labels=labels, seed=str(seed))
    model = record.folder / "model"
    make_model(model, labels, seed=seed)
    if taught:
        teach(model)
    description = read_description(model)
    backbone = description.backbone.model_copy(update={"entry": "IMAGENET1K_V2"})
    changes = {"backbone": backbone, **changes}
    write_description(model, description.model_copy(update=changes))
    record = read_record(record.folder)
    store = open_store(root)
    run = completion.completed_run(store, record, root / "reports", small.PARAMS, {})
    number = registration.register(store, run.info.run_id, record, "always").number
    assert number is not None
    return number, model


def registered(root: Path) -> Path:
    """A champion in the store at `root`; returns its model folder."""
    number, model = register(root, taught=True)
    promotion.promote(open_store(root), str(number), POLICY)
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
