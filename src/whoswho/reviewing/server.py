"""The review page's server: it shows pictures of data/ and writes decisions into review.csv.

It is made for one person at one machine. Any web page may send requests to 127.0.0.1, so it
answers only what its own page asks: the Host must be this machine (else a name that is made to
point here could read everything), the browser must not say that another site asks, and a decision
needs the token that is in the page alone. A picture is named by the hash of its bytes; no path is
ever taken from a request.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
import socket
import sys
import threading
from dataclasses import asdict
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, abort, render_template_string, request
from werkzeug.exceptions import HTTPException
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from whoswho import paths
from whoswho.dataset import review
from whoswho.dataset.review import ReviewDecision
from whoswho.errors import UserError
from whoswho.pictures import opening
from whoswho.reporting import fonts
from whoswho.reviewing import gallery, thumbnails
from whoswho.reviewing.gallery import Gallery, Picture

MOST_BYTES = 2**16  # of a request
MOST_LETTERS = 1000  # of a person's reason
_FILES = {"page.js": "text/javascript", "page.css": "text/css", "page.svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Faces of third persons do not go into a browser's cache on disk.
    "Cache-Control": "no-store",
}
_LOCAL = {"127.0.0.1", "localhost", "::1"}


class Refused(Exception):  # noqa: N818 - an answer for the page, not a defect
    """A decision that cannot be taken, and why."""


class Page:
    """What one server shows; its gallery is read again when a table has changed."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.data = workspace / paths.DATA
        self.review = workspace / paths.REVIEW
        self.token = secrets.token_urlsafe()
        self._read: tuple[Gallery, dict[str, Any]] | None = None
        self._lock = threading.Lock()

    @property
    def gallery(self) -> Gallery:
        """The pictures as the last `dvc repro` left them."""
        return self._now()[0]

    @property
    def shown(self) -> dict[str, Any]:
        """The gallery as the page reads it."""
        return self._now()[1]

    def _now(self) -> tuple[Gallery, dict[str, Any]]:
        with self._lock:
            if self._read is None or self._read[0].version != gallery.version(self.workspace):
                read = gallery.load(self.workspace)
                shown = gallery.as_json(read)
                version = paths.digest(json.dumps(shown))
                self._read = read, shown | {"version": version}
            return self._read

    def words(self) -> list[dict[str, Any]]:
        """What review.csv says of each picture, the rows of pictures not shown among them."""
        held = {row.picture: row.bare for row in review.read(self.review)}
        return [
            {"sha256": sha256, "label": label, "word": asdict(word)}
            for (sha256, label), word in held.items()
        ]

    def decide(
        self, cleaned: str, sha256: str, label: str, word: ReviewDecision | None, seen: ReviewDecision | None
    ) -> ReviewDecision | None:
        """Write a decision about a picture that is there; see `review.record`.

        DVC notes review.csv as it is when a stage ends, not as the stage read it: a decision made
        meanwhile would count as taken and not be. So none is written while cleaning runs, nor on a
        page from before it.
        """
        if not (self.workspace / gallery.DECISIONS).exists():
            raise Refused(
                "`dvc repro` is cleaning, or was interrupted, and would miss this decision; "
                "decide when it is done"
            )
        shown = self.gallery
        if cleaned != shown.cleaned:
            raise Refused("the pictures were cleaned anew since this page was loaded; reload it")
        picture = shown.by_key.get((sha256, label))
        if picture is None:
            raise Refused(
                "This picture is not in artifacts/clean/decisions.csv any more; reload the page"
            )
        self._check(picture, word, shown)
        return review.record(self.review, picture.key, word, seen=seen)

    def thumbnail(self, sha256: str) -> bytes | None:
        """A JPEG of the picture with these bytes, None where no file of the set has them."""
        for picture in self.gallery.by_sha256.get(sha256, ()):
            try:
                return thumbnails.jpeg(self.data / picture.file, sha256, self.data)
            except (thumbnails.Gone, opening.ImageOpenError, OSError):
                continue
        return None

    def letters(self) -> list[bytes]:
        """Fonts for the letters on the page that the machine may lack."""
        names = json.dumps(self.shown, ensure_ascii=False)
        whys = "".join(one.why for one in review.read(self.review))
        return _fonts_for(fonts.uncommon(names + whys))

    def _check(self, picture: Picture, word: ReviewDecision | None, shown: Gallery) -> None:
        if not thumbnails.is_there(self.data / picture.file, picture.sha256, self.data):
            raise Refused(
                f"data/{picture.file} is gone, or has changed since cleaning; run `dvc repro`, "
                "then reload the page"
            )
        if word is None:
            return
        if picture.fixed and word.decision == review.KEEP:
            raise Refused(f"data/{picture.file} cannot be kept: {picture.fixed}")
        if word.decision not in (review.KEEP, review.DROP):
            raise Refused(f"a decision is {review.KEEP} or {review.DROP}")
        if word.other_label and word.decision == review.DROP:
            raise Refused("a dropped picture has no other label")
        if word.other_label and word.other_label not in shown.labels:
            raise Refused("no folder in data/ has that label; make it first, then `dvc repro`")
        if len(word.why) > MOST_LETTERS:
            raise Refused(f"a reason has at most {MOST_LETTERS} letters")


def serve(workspace: Path, host: str, port: int) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        UserError: nothing to review yet, review.csv is not sound, or the port is taken.
    """
    page = Page(workspace)
    count = len(page.gallery.pictures)
    page.words()
    if not is_loopback(host):
        print(
            f"whoswho: warning: {host} is open to others, and this page asks for no password: "
            "whoever reaches it can see the pictures and decide about them",
            file=sys.stderr,
        )
    server = listen(page, host, port)
    shown = f"[{host}]" if ":" in host else host
    print(
        f"http://{shown}:{server.port} shows {count} pictures; decisions go to {paths.REVIEW}, "
        "`dvc repro` takes them (Ctrl-C ends it)",
        flush=True,
    )
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()
    finally:
        server.server_close()


def listen(page: Page, host: str, port: int) -> BaseWSGIServer:
    """A server that listens, ready for `serve_forever`; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        opened = socket.create_server((host, port), family=family)
    except (OSError, OverflowError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(
            f"cannot listen on {host}, port {port}: {why}; choose another with --host or --port"
        ) from None
    with opened:  # the server duplicates it
        return make_server(
            host, opened.getsockname()[1], application(page, host), threaded=True,
            request_handler=_Quiet, fd=opened.fileno(),
        )  # fmt: skip


def application(page: Page, host: str = "127.0.0.1") -> Flask:
    """The web application of one page, for a server that listens on `host`."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES

    @app.before_request
    def guard() -> None:
        _check_asker(host, page.token)

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers.update(_HEADERS)
        return response

    @app.errorhandler(UserError)
    @app.errorhandler(Refused)
    def cannot(error: Exception) -> tuple[dict[str, str], int]:
        return {"error": " ".join(str(error).split())}, 422

    @app.errorhandler(OSError)
    def broken(error: OSError) -> tuple[dict[str, str], int]:
        return {"error": f"{error.filename or 'a file'}: {error.strerror}"}, 500

    @app.errorhandler(HTTPException)
    def plain(error: HTTPException) -> tuple[dict[str, str], int]:
        return {"error": error.description or error.name}, error.code or 500

    @app.errorhandler(review.Changed)
    def changed(error: review.Changed) -> tuple[dict[str, Any], int]:
        return {"error": "changed", "word": error.current and asdict(error.current)}, 409

    @app.get("/")
    def index() -> str:
        return render_template_string(_read("page.html"), token=page.token)

    @app.get("/<any('page.js', 'page.css', 'page.svg'):name>")
    def file(name: str) -> Response:
        return Response(_read(name), mimetype=_FILES[name])

    @app.get("/gallery")
    def pictures() -> dict[str, Any]:
        return page.shown | {"words": page.words()}

    @app.get("/words")
    def words() -> dict[str, Any]:
        return {"version": page.shown["version"], "words": page.words()}

    @app.get("/thumbnail/<sha256>")
    def thumbnail(sha256: str) -> Response:
        content = page.thumbnail(sha256)
        if content is None:
            abort(404)
        return Response(content, mimetype="image/jpeg")

    @app.get("/letters.css")
    def letters() -> Response:
        return Response(_letters_css(len(page.letters())), mimetype="text/css")

    @app.get("/letters/<int:number>")
    def letter(number: int) -> Response:
        cut = page.letters()
        if number >= len(cut):
            abort(404)
        return Response(cut[number], mimetype="font/woff")

    @app.post("/decision")
    def decision() -> dict[str, Any]:
        now = page.decide(*_asked(request.get_json()))
        return {"word": now and asdict(now)}

    return app


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Quiet(WSGIRequestHandler):
    """Says nothing of requests: they would bury the one line a person needs."""

    def log_request(self, *_: object) -> None:
        pass


def _check_asker(host: str, token: str) -> None:
    """Refuse what the server's own page did not ask."""
    if not _is_this_machine(request.headers.get("Host", ""), host):
        abort(403, "this address is not the review page's; open the one `whoswho review` printed")
    site = request.headers.get("Sec-Fetch-Site", "none")
    opened = request.path == "/" and request.headers.get("Sec-Fetch-Mode") == "navigate"
    if site not in ("same-origin", "none") and not (opened and request.method == "GET"):
        abort(403, "another page asked for this")
    if request.method in ("GET", "HEAD"):
        return
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"http://{request.headers['Host']}":
        abort(403, "another page asked for this")
    given = request.headers.get("X-Whoswho-Token", "")
    if not secrets.compare_digest(given.encode(), token.encode()):
        abort(403, "the server was started anew; reload the page")


def _is_this_machine(header: str, host: str) -> bool:
    """Whether a Host header names this machine; its port may be a tunnel's.

    A name that somebody else made point here is what must not pass; an address cannot be one.
    """
    try:
        name = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    if name in _LOCAL or name == host.lower():
        return True
    if is_loopback(host):
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in (socket.gethostname().lower(), socket.getfqdn().lower())
    return True


def _asked(asked: object) -> tuple[str, str, str, ReviewDecision | None, ReviewDecision | None]:
    """The parts of a decision, checked for their kind."""
    texts = ("cleaned", "sha256", "label")
    if not isinstance(asked, dict) or set(asked) != {*texts, "word", "seen"}:
        abort(400, f"a decision has {', '.join(texts)}, word and seen")
    if not all(isinstance(asked[name], str) for name in texts):
        abort(400, f"{', '.join(texts)} are texts")
    word = _word(asked["word"])
    if word is not None:
        # One line, as a table's cell should be.
        word = ReviewDecision(word.decision, word.other_label, " ".join(word.why.split()), word.when)
    return asked["cleaned"], asked["sha256"], asked["label"], word, _word(asked["seen"])


def _word(value: object) -> ReviewDecision | None:
    if value is None:
        return None
    names = {"decision", "other_label", "why", "when"}
    if not isinstance(value, dict) or set(value) != names:
        abort(400, f"word and seen are null or have {', '.join(sorted(names))}")
    if not all(isinstance(part, str) for name, part in value.items() if name != "when"):
        abort(400, "the parts of word and seen are texts")
    if not isinstance(value["when"], str | None):
        abort(400, "when is a text, or null for now")
    try:
        "".join(part or "" for part in value.values()).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        abort(400, "half a letter cannot be written")
    return ReviewDecision(**value)


def _letters_css(count: int) -> str:
    faces = "".join(
        f"@font-face {{ font-family: letters{number}; src: url(letters/{number}); }}\n"
        for number in range(count)
    )
    families = "".join(f"letters{number}, " for number in range(count))
    return f"{faces}:root {{ --letters: {families}system-ui, sans-serif; }}\n"


@lru_cache(2)
def _fonts_for(letters: str) -> list[bytes]:
    return fonts.subsets(letters)


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
