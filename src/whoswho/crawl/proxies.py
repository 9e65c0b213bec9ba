"""The list of proxies: a file with one a line, or AutoCrawler's list with commas."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from whoswho.crawl.lists import read_lines
from whoswho.errors import UserError

SCHEMES = ("http", "https", "socks4", "socks5")


def read(source: str) -> list[str]:
    """The proxies that a file's name or a list with commas gives, as scheme://host:port.

    Raises:
        UserError: there is none, or one that cannot be used; the message has no password in it.
    """
    if "://" in source:
        parts = map(str.strip, source.split(","))
        lines = [("--proxies", part) for part in parts if part]
    else:
        lines = list(read_lines(Path(source), "write one proxy a line, or give http://host:port"))
    if not lines:
        raise UserError(f"{source}: names no proxy; write http://host:port, one a line")
    return [_proxy(line, where) for where, line in lines]


def _proxy(text: str, where: str) -> str:
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise UserError(f"{where}: not a proxy; write scheme://host:port")
    if parts.username is not None:
        raise UserError(
            f"{where}: a user name and a password cannot be given to the browser; use a proxy "
            "that knows you by your address"
        )
    scheme = "socks5" if parts.scheme == "socks" else parts.scheme  # as AutoCrawler writes it
    if scheme not in SCHEMES:
        raise UserError(f"{where}: {scheme} is no kind of proxy; one of {', '.join(SCHEMES)}")
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
