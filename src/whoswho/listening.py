"""Pages that this machine serves to its own person: the socket, and which requests are theirs.

Any web page may send requests to 127.0.0.1. So the Host must be this machine (else a name that is
made to point here could read everything), and the browser must not say that another site asks.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Collection
from typing import Protocol
from urllib.parse import urlsplit

from whoswho.errors import UserError

_LOCAL = {"127.0.0.1", "localhost", "::1"}


class Headers(Protocol):
    """A request's headers, whatever the case of their names."""

    def get(self, key: str, default: str, /) -> str:
        """The value of a header, `default` where the request has none."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def warn(host: str, what: str) -> None:
    """Say on stderr what others can do where the host is open to them."""
    if not is_loopback(host):
        print(
            f"whoswho: warning: {host} is open to others, and this page asks for no password: "
            f"whoever reaches it can {what}",
            file=sys.stderr,
        )


def address(host: str, port: int) -> str:
    """What a browser opens."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes a free one.

    Raises:
        UserError: the port is taken, or the host is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        opened = socket.create_server((host, port), family=family)
        # Its connections inherit this: an answer in two packets would wait 40 ms for the second.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened
    except (OSError, OverflowError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(
            f"cannot listen on {host}, port {port}: {why}; choose another with --host or --port"
        ) from None


def refusal(
    method: str, path: str, headers: Headers, host: str, allowed: Collection[str] = ()
) -> str:
    """Why a request is not the own page's, nor a person's; empty where it is.

    Args:
        host: the one the server listens on.
        allowed: further names under which it may be asked.
    """
    own = headers.get("Host", "")
    if not _is_this_machine(own, host, allowed):
        return "this server has another address; open the one it printed"
    navigates = headers.get("Sec-Fetch-Mode", "") == "navigate"
    followed = path == "/" and navigates and method == "GET"
    if headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none") and not followed:
        return "another page asked for this"
    # A proxy that passes its own name on is asked by https.
    origins = {"", f"http://{own}", *([f"https://{own}"] if allowed else ())}
    if method not in ("GET", "HEAD") and headers.get("Origin", "") not in origins:
        return "another page asked for this"
    return ""


def page_headers(images: str) -> dict[str, str]:
    """What a browser may do with a page: nothing that asks anybody else.

    Args:
        images: where its pictures may come from, as Content-Security-Policy has it.
    """
    return {
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
        f"img-src {images}; font-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        # Faces of third persons do not go into a browser's cache on disk.
        "Cache-Control": "no-store",
    }


def _is_this_machine(header: str, host: str, allowed: Collection[str]) -> bool:
    """Whether a Host header names this machine; its port may be a tunnel's.

    A name that somebody else made point here is what must not pass; an address cannot be one.
    """
    try:
        name = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    if name in _LOCAL or name == host.lower() or name in {each.lower() for each in allowed}:
        return True
    if is_loopback(host):
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in (socket.gethostname().lower(), socket.getfqdn().lower())
    return True
