"""The review page's server, made for one person at one machine."""

from __future__ import annotations

from pathlib import Path

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from whoswho import listening, paths
from whoswho.reviewing.application import application
from whoswho.reviewing.page import Page


def serve(workspace: Path, host: str, port: int) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        UserError: nothing to review yet, review.csv is not sound, or the port is taken.
    """
    page = Page(workspace)
    count = len(page.shown.gallery.pictures)
    page.decisions()
    listening.warn(host, "see the pictures and decide about them")
    server = listen(page, host, port)
    print(
        f"{listening.address(host, server.port)} shows {count} pictures; decisions go to "
        f"{paths.REVIEW}, `dvc repro` takes them (Ctrl-C ends it)",
        flush=True,
    )
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print()
    finally:
        server.server_close()


def listen(page: Page, host: str, port: int) -> BaseWSGIServer:
    """A server that listens, ready for `serve_forever`; port 0 takes a free one.

    Raises:
        UserError: the port is taken, or the host is not this machine's.
    """
    with listening.listen(host, port) as opened:  # the server duplicates it
        port = opened.getsockname()[1]
        app, descriptor = application(page, host), opened.fileno()
        return make_server(host, port, app, True, request_handler=_Quiet, fd=descriptor)


class _Quiet(WSGIRequestHandler):
    """Says nothing of requests: they would bury the one line a person needs."""

    def log_request(self, *_: object) -> None:
        pass
