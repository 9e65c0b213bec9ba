"""A web server on loopback that publishes one weights file, well or badly."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site:
    """A loopback server of one weights file, behaving as told."""

    def __init__(self, content: bytes, name: str) -> None:
        self.content = content
        self.name = name
        self.manner = "whole"
        self.request_count = 0
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.request_count += 1
                site.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/models/{self.name}"

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        if self.manner == "403":
            to.send_error(403)
            return
        if self.manner == "silent":
            time.sleep(5)
            return
        page = self.manner == "page"
        body = b"<html>sign in" if page else self.content
        to.send_response(200)
        to.send_header("Content-Type", "text/html" if page else "application/octet-stream")
        to.send_header("Content-Length", str(len(body)))
        to.end_headers()
        half = len(body) // 2
        try:
            if self.manner == "half":
                to.wfile.write(body[:half])
            elif self.manner == "stalls":
                to.wfile.write(body[:half])
                time.sleep(5)
            elif self.manner == "slow":
                for start in range(0, len(body), len(body) // 5):
                    to.wfile.write(body[start : start + len(body) // 5])
                    to.wfile.flush()
                    time.sleep(0.3)
            elif self.manner == "other bytes":
                to.wfile.write(bytes(len(body)))
            else:
                to.wfile.write(body)
        except OSError:
            pass  # the caller had seen enough
