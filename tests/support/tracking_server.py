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

from support import processes
from support.lifecycle_store import environment, free_port


@pytest.fixture(scope="module", name="tracking_server")
def fixture_tracking_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with a store of its own, that keeps the artifacts too."""
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    server = processes.start(
        [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)],
        cwd=folder,
        env=environment(MLFLOW_DISABLE_TELEMETRY="true"),
        start_new_session=True,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        wait(f"{address}/health")
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # its workers and its job runner too
        server.wait()


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
