"""`python -m bench.serving`: how soon a served model answers 1 to 8 clients, ours and MLflow's."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import psutil

from bench.workspace import REPOSITORY, environment

CLIENTS = (1, 2, 4, 8)
SECONDS = 15.0  # for each number of clients
PICTURES = 40
WHOSWHO = [sys.executable, "-m", "whoswho.cli"]
MLFLOW = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]

Request = tuple[str, dict[str, str], bytes]  # path, headers, body


def serving(scratch: Path) -> None:
    """Ask the champion of this repository about its pictures, behind both servers."""
    listed = subprocess.run(
        [*WHOSWHO, "models"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if "champion" not in listed.stdout:
        print("not measured; run `make repro` and `whoswho promote` first")
        return
    pictures = [path.read_bytes() for path in sorted((REPOSITORY / "data").rglob("*.jpg"))]
    pictures = pictures[:: max(1, len(pictures) // PICTURES)]
    rows = list(map(as_row, pictures))
    with running([*WHOSWHO, "serve", "--port"], scratch) as server:
        compare("whoswho serve, /predict", server, list(map(as_form, pictures)))
        compare("whoswho serve, /invocations", server, rows)
        version = json.loads(ask(server.port, "GET", "/model"))["version"]
    store = subprocess.run(
        [*WHOSWHO, "store"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    uri = store.stdout.strip()
    with running([*MLFLOW, "-m", version, "-p"], scratch, MLFLOW_TRACKING_URI=uri) as server:
        compare("mlflow models serve, /invocations", server, rows)


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    port: int
    process: psutil.Process

    @property
    def processor(self) -> float:
        """Seconds of processor that it and its children have used."""
        processes = [self.process, *self.process.children(recursive=True)]
        return sum(sum(process.cpu_times()[:2]) for process in processes)


def as_form(picture: bytes) -> Request:
    """A picture as curl -F sends it."""
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    head = b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a.jpg"\r\n\r\n'
    return "/predict", kind, head + picture + b"\r\n--x--\r\n"


def as_row(picture: bytes) -> Request:
    """A picture as MLflow's clients send it."""
    body = {"inputs": {"image": [base64.b64encode(picture).decode()]}}
    return "/invocations", {"Content-Type": "application/json"}, json.dumps(body).encode()


@contextmanager
def running(command: list[str], scratch: Path, **more: str) -> Iterator[Server]:
    """A server, once it answers; its port is the last word of the command."""
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = int(probe.getsockname()[1])
    with (scratch / "server.log").open("w") as log:
        server = subprocess.Popen(
            [*command, str(port)], cwd=REPOSITORY, stdout=log, stderr=log,
            env=environment(REPOSITORY, **more), start_new_session=True,
        )  # fmt: skip
    try:
        while True:
            if server.poll() is not None:
                sys.exit(f"bench: {(scratch / 'server.log').read_text()}")
            try:
                ask(port, "GET", "/health")
                break
            except OSError:
                time.sleep(0.2)
        yield Server(port, psutil.Process(server.pid))
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A server's answer to one request over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    with closing(connection):
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        content = response.read()
    if response.status != 200:
        sys.exit(f"bench: {path} answered {response.status}: {content[:200]!r}")
    return content


def compare(title: str, server: Server, requests: list[Request]) -> None:
    """Print the waiting times and the rate for each number of clients."""
    for clients in CLIENTS:
        end = time.perf_counter() + SECONDS

        def client(number: int, end: float = end) -> list[float]:
            seconds = []
            for path, headers, body in islice(cycle(requests), number, None):
                started = time.perf_counter()
                if started > end:
                    return seconds
                ask(server.port, "POST", path, body, **headers)
                seconds.append(time.perf_counter() - started)
            return seconds

        began, used = time.perf_counter(), server.processor
        with ThreadPoolExecutor(clients) as pool:
            waited = [s for each in pool.map(client, range(clients)) for s in each]
        rate = len(waited) / (time.perf_counter() - began)
        used = (server.processor - used) / len(waited)
        half, worst = np.percentile(waited, (50, 99))
        print(
            f"{title}, {clients} at once: {rate:.1f} pictures/s, half within "
            f"{1000 * half:.0f} ms, 99 % within {1000 * worst:.0f} ms, "
            f"{1000 * used:.0f} ms of a core each",
            flush=True,
        )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="whoswho-bench-") as folder:
        serving(Path(folder))
