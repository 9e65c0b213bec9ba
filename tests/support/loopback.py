"""A web server on loopback that does what a test tells it, address by address."""

from __future__ import annotations

import functools
import io
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from PIL import Image

from whoswho.crawl.transport import Limits

QUICK = Limits(seconds=2, silence=1, pause=0.02, gap=0, at_once=8)


@functools.cache
def picture(number: int, kind: str = "JPEG", size: tuple[int, int] = (96, 72)) -> bytes:
    """A picture like no other number's."""
    blocks = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC).save(file, kind)
    return file.getvalue()


@dataclass
class Reply:
    """What the server answers.

    Attributes:
        pieces: sent one after the other instead of `body`, until the client goes away.
        raw: everything, status line and all, instead of the rest.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    pieces: Iterator[bytes] | None = None
    raw: bytes | None = None


Answer = Reply | bytes | Callable[["Request"], "Reply | bytes"]


@dataclass
class Request:
    """What was asked: the path with its query, the headers, and the how manieth time it is."""

    path: str
    headers: dict[str, str]
    times: int


class Server:
    """Answers by path, first with the whole path, then without its query; and what was asked."""

    def __init__(self, port: int) -> None:
        self.root = f"http://127.0.0.1:{port}"
        self.answers: dict[str, Answer] = {}
        self.requests: list[Request] = []
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()

    def __getitem__(self, path: str) -> str:
        """The address of a path."""
        return f"{self.root}{path}"

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def pictures(self, count: int, prefix: str = "/p") -> list[str]:
        """Serve so many pictures; their addresses."""
        for number in range(count):
            self.answers[f"{prefix}{number}"] = picture(number)
        return [self[f"{prefix}{number}"] for number in range(count)]


class _Handler(BaseHTTPRequestHandler):
    server_object: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server_object
        with server.lock:
            server.counts[self.path] += 1
            request = Request(self.path, dict(self.headers), server.counts[self.path])
            server.requests.append(request)
        try:
            answer = server.answers.get(
                self.path, server.answers.get(self.path.partition("?")[0], Reply(status=404))
            )
            reply = answer(request) if callable(answer) else answer
            self.send(Reply(reply) if isinstance(reply, bytes) else reply)
        except OSError:  # the client is gone
            self.close_connection = True

    def send(self, reply: Reply) -> None:
        if reply.raw is not None:
            self.wfile.write(reply.raw)
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.pieces is None and not {"Content-Length", "Transfer-Encoding"} & set(
            reply.headers
        ):
            self.send_header("Content-Length", str(len(reply.body)))
        if reply.pieces is not None or int(reply.headers.get("Content-Length", -1)) > len(
            reply.body
        ):
            self.close_connection = True
        self.end_headers()
        self.wfile.write(reply.body)
        for piece in reply.pieces or ():
            self.wfile.write(piece)
            self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        pass


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that goes away is what many tests are about."""


@contextmanager
def serving() -> Iterator[Server]:
    handler = type("Handler", (_Handler,), {})
    listening = _Quiet(("127.0.0.1", 0), handler)
    handler.server_object = Server(listening.server_address[1])  # type: ignore[attr-defined]
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield handler.server_object  # type: ignore[attr-defined]
    finally:
        listening.shutdown()
        with suppress(OSError):
            listening.server_close()


@pytest.fixture(scope="module", name="running")
def fixture_running() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture(name="server")
def fixture_server(running: Server) -> Server:
    running.answers = {}
    running.requests = []
    running.counts.clear()
    return running
