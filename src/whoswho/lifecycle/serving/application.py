"""The addresses of `whoswho serve`: the page, `/predict`, and those of MLflow's scoring app."""

from __future__ import annotations

import asyncio
import contextlib
import json
import mimetypes
import sys
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whoswho import listening
from whoswho.errors import one_line
from whoswho.lifecycle.serving import bodies
from whoswho.lifecycle.serving.champion import Champion
from whoswho.lifecycle.serving.version import ServedVersion
from whoswho.reporting.pages import fonts
from whoswho.workers.pool import cores

T = TypeVar("T")

SECONDS = 2.0  # between two looks at the alias
# Pictures at a time: what a client that went away still costs, and how long others wait.
PART = 8
BODIES = 8  # in memory at once; the others wait unread
_STATIC = Path(__file__).parent / "static"


class Service:
    """Answers requests with the champion."""

    def __init__(self, champion: Champion) -> None:
        self.champion = champion
        self._bodies = asyncio.Semaphore(BODIES)
        self._parts = asyncio.Semaphore(cores())  # each part takes one core

    @contextlib.asynccontextmanager
    async def following(self, _app: Starlette) -> AsyncIterator[None]:
        """Follow the alias while the server runs."""
        task = asyncio.create_task(self._follow())
        yield
        task.cancel()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(SECONDS)
            await asyncio.to_thread(self.champion.follow)

    async def predict(self, request: Request) -> Response:
        """The answers to pictures: a list where several are asked about."""
        async with self._bodies:
            body = await bodies.read(request)
            kind = request.headers.get("content-type", "")
            uploads, fields = await asyncio.to_thread(bodies.pictures, kind, body)
            del body
            version = self.champion.version
            answer = partial(version.answer, page="page" in fields)
            parts = await self._in_parts(
                request, uploads, lambda part: asyncio.to_thread(answer, part)
            )
        answers = [answer for part in parts for answer in part]
        return _json(answers[0] if len(answers) == 1 else answers, version)

    async def invocations(self, request: Request) -> Response:
        """What MLflow's scoring app says of the rows, in its own form."""
        async with self._bodies:
            body = await bodies.read(request)
            kind = request.headers.get("content-type", "")
            rows = await asyncio.to_thread(bodies.rows, kind, body)
            del body
            version = self.champion.version
            parts = await self._in_parts(
                request, rows, lambda part: _scored(version.scoring, part)
            )
        return _json({"predictions": [answer for part in parts for answer in part]}, version)

    async def model(self, _request: Request) -> Response:
        """Which model answers, and what is to be said about it."""
        version = self.champion.version
        description = version.predictor.model.description
        notes = [self.champion.trouble, description.untrained_note]
        content = {
            "version": version.name,
            "labels": version.predictor.model.labels,
            "notes": [note for note in notes if note],
            "no_why": version.no_why,
        }
        return _json(content, version)

    async def scoring(self, request: Request) -> Response:
        """MLflow's own answer at /ping, /health and /version."""
        version = self.champion.version
        status, body = await _ask(version.scoring, "GET", request.url.path, b"")
        return _named(Response(body, status), version)

    async def letters(self, request: Request) -> Response:
        """Fonts for the labels, whose letters the machine may lack: their sheet, or one."""
        labels = "".join(self.champion.version.predictor.model.labels)
        subsets = await asyncio.to_thread(fonts.subsets, fonts.uncommon(labels))
        number = request.path_params.get("number")
        if number is None:
            names = [f"letters{number}" for number in range(len(subsets))]
            faces = [
                f"@font-face {{ font-family: {name}; src: url(letters/{number}); }}"
                for number, name in enumerate(names)
            ]
            family = ", ".join([*names, "system-ui", "sans-serif"])
            css = "\n".join([*faces, f":root {{ --letters: {family}; }}"])
            return Response(css, media_type="text/css")
        if number >= len(subsets):
            raise HTTPException(404)
        return Response(subsets[number], media_type="font/woff")

    async def _in_parts(
        self, request: Request, items: Sequence[T], answer: Callable[[Sequence[T]], Any]
    ) -> list[Any]:
        """What `answer` gives for each part; no further part once the client is gone."""
        answers = []
        for start in range(0, len(items), PART):
            async with self._parts:
                if await request.is_disconnected():
                    raise HTTPException(bodies.GONE, "the client is gone")
                answers.append(await answer(items[start : start + PART]))
        return answers


def application(champion: Champion, host: str, allowed: Collection[str] = ()) -> ASGIApp:
    """The web application, for a server that listens on `host`.

    Args:
        allowed: further names under which it may be asked.
    """
    mimetypes.add_type("text/javascript", ".js")  # a system's own table may say otherwise
    service = Service(champion)
    static = StaticFiles(directory=_STATIC, html=True)
    probes = [Route(path, service.scoring) for path in ("/ping", "/health", "/version")]
    app = Starlette(
        routes=[
            Route("/model", service.model),
            Route("/predict", service.predict, methods=["POST"]),
            Route("/invocations", service.invocations, methods=["POST"]),
            *probes,
            Route("/letters.css", service.letters),
            Route("/letters/{number:int}", service.letters),
            Route("/", static),
            Route("/{name}", static),
        ],
        exception_handlers={HTTPException: _refused, Exception: _failed},
        lifespan=service.following,
    )
    return _guarded(app, host, allowed)


def _guarded(app: ASGIApp, host: str, allowed: Collection[str]) -> ASGIApp:
    """Refuse requests that are not a person's own, and say to browsers what a page may do."""
    headers = listening.page_headers("'self' blob: data:")

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        answering = app
        if scope["type"] == "http":
            request = Request(scope)
            why = listening.refusal(
                request.method, request.url.path, request.headers, host, allowed
            )
            if why:
                answering = JSONResponse({"error": why}, 403)
        await answering(scope, receive, hardened)

    return guarded


async def _scored(app: ASGIApp, rows: Sequence[str]) -> list[Any]:
    """The predictions of MLflow's app for rows that it understands."""
    status, body = await _ask(app, "POST", "/invocations", bodies.split(rows))
    if status != 200:
        # The rows have its form: what went wrong is the model's, and the body would repeat them.
        raise RuntimeError(f"MLflow's scoring app answered {status}")
    predictions: list[Any] = json.loads(body)["predictions"]
    return predictions


async def _ask(app: ASGIApp, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of an ASGI application's answer to one request."""
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    version = {"asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http"}
    address = {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""}
    scope = {"type": "http", "method": method, "headers": headers} | version | address
    requests: asyncio.Queue[Message] = asyncio.Queue()
    requests.put_nowait({"type": "http.request", "body": body, "more_body": False})
    status, parts = 500, []

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)
        parts.append(message.get("body", b""))

    await app(scope, requests.get, send)
    return status, b"".join(parts)


def _json(content: Any, version: ServedVersion) -> Response:
    return _named(JSONResponse(content), version)


def _named(response: Response, version: ServedVersion) -> Response:
    """The answer, with the version that gave it."""
    response.headers["X-Whoswho-Version"] = str(version.number)
    return response


def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


def _failed(request: Request, error: Exception) -> Response:
    """A defect of ours: one line here and one to the client, who gets no trace."""
    line = f"{request.method} {request.url.path}: {type(error).__name__}: {one_line(error)}"
    print(f"whoswho: warning: {line}", file=sys.stderr, flush=True)
    return JSONResponse({"error": "the model failed; its server says why"}, 500)
