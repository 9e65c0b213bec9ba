"""Which requests the review page's server answers: those of its own page, and nobody else's.

Any web page may send requests to 127.0.0.1. So the Host must be this machine (else a name that is
made to point here could read everything), the browser must not say that another site asks, and
what changes something needs the token that is in the page alone.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from urllib.parse import urlsplit

from flask import abort, request

_LOCAL = {"127.0.0.1", "localhost", "::1"}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_request(host: str, token: str) -> None:
    """Refuse (403) the request at hand where it is not the own page's.

    Args:
        host: the one the server listens on.
        token: what the page holds, asked of every request that may change something.
    """
    if not _is_this_machine(request.headers.get("Host", ""), host):
        abort(403, "this address is not the review page's; open the one `whoswho review` printed")
    site = request.headers.get("Sec-Fetch-Site", "none")
    mode = request.headers.get("Sec-Fetch-Mode")
    followed = request.path == "/" and mode == "navigate" and request.method == "GET"
    if site not in ("same-origin", "none") and not followed:
        abort(403, "another page asked for this")
    if request.method in ("GET", "HEAD"):
        return
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"http://{request.headers['Host']}":
        abort(403, "another page asked for this")
    shown = request.headers.get("X-Whoswho-Token", "")
    if not secrets.compare_digest(shown.encode(), token.encode()):
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
