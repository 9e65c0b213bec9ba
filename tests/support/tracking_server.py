"""A tracking server of MLflow, as a team has one."""

from __future__ import annotations

import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
import requests

from support import processes
from support.lifecycle_store import environment, free_port

# Without the second a server starts eight more processes, for language models.
SETTINGS = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


@pytest.fixture(scope="module", name="tracking_server")
def fixture_tracking_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with a store of its own, that keeps the artifacts too."""
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    server = processes.start(
        [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)],
        cwd=folder,
        env=environment(**SETTINGS),
        start_new_session=True,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        wait(f"{address}/health")
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # its workers too
        server.wait()


def answer(address: str, name: str, password: str) -> None:
    """Have a server with accounts answer once: that opens its databases.

    On a busy machine it takes longer than our commands wait.
    """
    first = f"{address}/api/2.0/mlflow/experiments/search?max_results=1"
    requests.get(first, auth=(name, password), timeout=60).raise_for_status()


def wait(address: str, seconds: float = 90) -> None:
    """Until something answers there."""
    end = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
