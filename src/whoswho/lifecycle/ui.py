"""The server of MLflow's pages over the store of this repository, opened at the run table."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlflow.exceptions import MlflowException

from whoswho import listening
from whoswho.errors import UserError
from whoswho.lifecycle.registry import run_page
from whoswho.lifecycle.tracking import embedded_store, signals
from whoswho.lifecycle.tracking.store import Store, open_store, public

STARTS_WITHIN_S = 120.0


def serve(root: Path, host: str = "127.0.0.1", port: int = 5000) -> None:
    """Serve MLflow's pages over the embedded store, artifacts included, until a signal ends it.

    Where MLFLOW_TRACKING_URI names a server, only the address of its run table is printed.

    Raises:
        UserError: the port is taken, or the server ended by itself.
    """
    elsewhere = embedded_store.named_elsewhere(root) or ""
    if not elsewhere.startswith("http"):
        listening.listen(host, port).close()  # nothing listens there yet
    store = open_store(root)
    with suppress(MlflowException):  # whoever may only read has the view that is there
        run_page.write_view(store)
    if elsewhere.startswith("http"):
        table = run_table(public(elsewhere).rstrip("/"), store)
        print(f"{table} shows the runs: MLFLOW_TRACKING_URI names it")
        return
    listening.warn(host, "read and delete runs, models and pictures")
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # where it answers this machine
    with _server(store, host, port) as server:
        try:
            _wait(server, f"{listening.address(here, port)}/health")
            table = run_table(listening.address(host, port), store)
            print(f"{table} shows the runs of {root} (Ctrl-C ends it)", flush=True)
            server.wait()
        except KeyboardInterrupt:
            return
    raise UserError(f"ui: MLflow's server ended by itself, code {server.returncode}")


def run_table(address: str, store: Store) -> str:
    """The address of the run table with this project's columns, on the server at `address`."""
    return (
        f"{address}/#/experiments/{store.experiment_id}/runs"
        f"?workflowType=machine_learning&viewStateShareKey={run_page.VIEW}"
    )


@contextmanager
def _server(store: Store, host: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's server, ended with all its processes when the block is."""
    artifacts = (store.root.resolve() / embedded_store.ARTIFACTS).as_uri()
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--backend-store-uri", store.uri, "--default-artifact-root", artifacts]
    command += ["--host", host, "--port", str(port)]
    with signals.as_exceptions():
        # Whatever MLflow itself makes lands beside the store.
        server = subprocess.Popen(command, cwd=store.root, start_new_session=True)
        try:
            yield server
        finally:
            with signals.held_off():
                _end(server)


def _end(server: subprocess.Popen[bytes]) -> None:
    """End a server and what it started, which outlives it otherwise."""
    if os.name == "nt":
        server.terminate()
        server.wait()
        return
    for number, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 0.0)):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with suppress(subprocess.TimeoutExpired):
            server.wait(seconds or None)


def _wait(server: subprocess.Popen[bytes], address: str) -> None:
    """Until the server answers or has ended."""
    end = time.monotonic() + STARTS_WITHIN_S
    while server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            if time.monotonic() > end:
                raise UserError(f"ui: MLflow's server does not answer at {address}") from None
            time.sleep(0.2)
