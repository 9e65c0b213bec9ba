"""The review page as a web application: its addresses, its errors, and what it lets a browser do.

A picture is named by the hash of its bytes; no path is ever taken from a request.
"""

from __future__ import annotations

import mimetypes
from dataclasses import asdict, replace
from typing import Any

from flask import Flask, Response, abort, render_template, request
from werkzeug.exceptions import HTTPException

from whoswho.dataset.review import Change, Outcome, ReviewDecision
from whoswho.errors import UserError
from whoswho.listening import page_headers
from whoswho.reviewing.guard import check_request
from whoswho.reviewing.page import Page, Refused

MOST_BYTES = 2**19  # of a request: fifty decisions with long reasons
_HEADERS = page_headers("'self'")


def application(page: Page, host: str = "127.0.0.1") -> Flask:
    """The web application of one page, for a server that listens on `host`."""
    mimetypes.add_type("text/javascript", ".js")  # a system's own table may say otherwise
    app = Flask(__name__, static_url_path="")
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    app.before_request(lambda: check_request(host, page.token))
    app.after_request(_harden)
    _answer_errors(app)
    _answer_requests(app, page)
    return app


def _harden(response: Response) -> Response:
    response.headers.update(_HEADERS)
    return response


def _answer_errors(app: Flask) -> None:
    """Every error is one line of JSON for the page to show."""

    @app.errorhandler(UserError)
    @app.errorhandler(Refused)
    def refused(error: Exception) -> tuple[dict[str, str], int]:
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
        return Response(page.shown, mimetype="application/json")

    @app.get("/decisions")
    def decisions() -> dict[str, Any]:
        return {"version": page.version, "decisions": page.decisions()}

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
        body = request.get_json()
        if not isinstance(body, dict) or set(body) != {"cleaned", "changes"}:
            abort(400, "a request has cleaned and changes")
        if not isinstance(body["cleaned"], str) or not isinstance(body["changes"], list):
            abort(400, "cleaned is a text, changes a list")
        changes = dict(map(_change, body["changes"]))
        outcomes = page.decide(body["cleaned"], changes)
        return {"outcomes": [_outcome(outcomes[key]) for key in changes]}


def _outcome(outcome: Outcome | Refused) -> dict[str, Any]:
    if isinstance(outcome, Refused):
        return {"error": str(outcome)}
    return {"decision": outcome.current and asdict(outcome.current), "changed": outcome.changed}


def _change(body: object) -> tuple[tuple[str, str], Change]:
    """A picture and what is to be written about it, checked for their kind."""
    if not isinstance(body, dict) or set(body) != {"sha256", "label", "decision", "seen"}:
        abort(400, "a change has sha256, label, decision and seen")
    if not isinstance(body["sha256"], str) or not isinstance(body["label"], str):
        abort(400, "sha256 and label are texts")
    decision, seen = _decision(body["decision"]), _decision(body["seen"])
    if decision is not None:  # one line, as a table's cell should be
        decision = replace(decision, why=" ".join(decision.why.split()))
    return (body["sha256"], body["label"]), Change(decision, seen)


def _decision(value: object) -> ReviewDecision | None:
    if value is None:
        return None
    names = {"decision", "other_label", "why", "when"}
    if not isinstance(value, dict) or set(value) != names:
        abort(400, f"decision and seen are null or have {', '.join(sorted(names))}")
    if not all(isinstance(part, str) for name, part in value.items() if name != "when"):
        abort(400, "the parts of decision and seen are texts")
    if not isinstance(value["when"], str | None):
        abort(400, "when is a text, or null for now")
    try:
        "".join(part or "" for part in value.values()).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        abort(400, "half a letter cannot be written")
    return ReviewDecision(**value)
