"""The review page as a web application: its addresses, its errors, and what it lets a browser do.

A picture is named by the hash of its bytes; no path is ever taken from a request.
"""

from __future__ import annotations

import mimetypes
import secrets
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from flask import Flask, Response, abort, render_template, request
from werkzeug.exceptions import HTTPException

from whoswho import listening
from whoswho.dataset.review import Change, ReviewDecision
from whoswho.errors import UserError
from whoswho.reviewing.page import Page

MOST_BYTES = 2**19  # of a request: fifty decisions with long reasons
_HEADERS = listening.page_headers("'self'")


def application(page: Page, host: str = "127.0.0.1") -> Flask:
    """The web application of one page, for a server that listens on `host`."""
    mimetypes.add_type("text/javascript", ".js")  # a system's own table may say otherwise
    app = Flask(__name__, static_url_path="")
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    app.before_request(lambda: _check_request(host, page.token))
    app.after_request(_harden)
    _answer_errors(app)
    _answer_requests(app, page)
    return app


def _check_request(host: str, token: str) -> None:
    """Refuse (403) the request at hand where it is not the own page's.

    Besides what any page of this machine asks, what may change something needs the token that is
    in the page alone.
    """
    if why := listening.refusal(request.method, request.path, request.headers, host):
        abort(403, why)
    shown = request.headers.get("X-Whoswho-Token", "")
    reads = request.method in ("GET", "HEAD")
    if not reads and not secrets.compare_digest(shown.encode(), token.encode()):
        abort(403, "the server was started anew; reload the page")


def _harden(response: Response) -> Response:
    response.headers.update(_HEADERS)
    return response


def _answer_errors(app: Flask) -> None:
    """Every error is one line of JSON for the page to show."""

    @app.errorhandler(UserError)
    def refused(error: UserError) -> tuple[dict[str, str], int]:
        return {"error": " ".join(str(error).split())}, 422

    @app.errorhandler(OSError)
    def broken(error: OSError) -> tuple[dict[str, str], int]:
        return {"error": f"{error.filename or 'a file'}: {error.strerror}"}, 500

    @app.errorhandler(HTTPException)
    def plain(error: HTTPException) -> tuple[dict[str, str], int]:
        return {"error": error.description or error.name}, error.code or 500


def _answer_requests(app: Flask, page: Page) -> None:
    @app.get("/")
    def index() -> str:
        return render_template("page.html", token=page.token)

    @app.get("/gallery")
    def pictures() -> Response:
        return Response(page.shown.content, mimetype="application/json")

    @app.get("/decisions")
    def decisions() -> dict[str, Any]:
        return {"version": page.shown.version, "decisions": page.decisions()}

    @app.get("/thumbnail/<sha256>", defaults={"large": False})
    @app.get("/picture/<sha256>", defaults={"large": True})
    def thumbnail(sha256: str, large: bool) -> Response:
        content = page.thumbnail(sha256, large=large)
        if content is None:
            abort(404)
        return Response(content, mimetype="image/jpeg")

    @app.get("/letters.css")
    def letters() -> Response:
        css = render_template("letters.css", count=len(page.letters()))
        return Response(css, mimetype="text/css")

    @app.get("/letters/<int:number>")
    def letter(number: int) -> Response:
        subsets = page.letters()
        if number >= len(subsets):
            abort(404)
        return Response(subsets[number], mimetype="font/woff")

    @app.post("/decisions")
    def decide() -> dict[str, Any]:
        body = _parts(request.get_json(), {"cleaned": str, "changes": list})
        changes = dict(map(_change, body["changes"]))
        outcomes = page.decide(body["cleaned"], changes)
        return {"outcomes": [asdict(outcomes[key]) for key in changes]}


def _change(body: object) -> tuple[tuple[str, str], Change]:
    """A picture and what is to be written about it, checked for their kind."""
    kinds = {"sha256": str, "label": str, "decision": dict | None, "seen": dict | None}
    parts = _parts(body, kinds)
    decision, seen = _decision(parts["decision"]), _decision(parts["seen"])
    if decision is not None:  # one line, as a table's cell should be
        decision = replace(decision, why=" ".join(decision.why.split()))
    return (parts["sha256"], parts["label"]), Change(decision, seen)


def _decision(body: object) -> ReviewDecision | None:
    if body is None:
        return None
    kinds = {"decision": str, "other_label": str, "why": str, "when": str | None}
    parts = _parts(body, kinds)
    try:
        "".join(part or "" for part in parts.values()).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        abort(400, "half a letter cannot be written")
    return ReviewDecision(**parts)


def _parts(body: object, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of an object of JSON; 400 where they are not those of `kinds`."""
    if not isinstance(body, dict) or body.keys() != kinds.keys():
        abort(400, f"an object has {', '.join(kinds)}")
    for name, kind in kinds.items():
        if not isinstance(body[name], kind):
            abort(400, f"{name} is of another kind")
    return body
