"""Connections that go to checked addresses alone, and that another thread can cut."""

from __future__ import annotations

import functools
import socket
import ssl
from collections.abc import Callable
from typing import Any

import certifi
from urllib3 import PoolManager, ProxyManager
from urllib3.connection import HTTPConnection
from urllib3.contrib.socks import SOCKSProxyManager
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from whoswho.crawl import addresses


def new_manager(
    proxy: str | None,
    *,
    allow_private: bool,
    at_once: int,
    on_socket: Callable[[socket.socket | None], None],
) -> PoolManager:
    """A pool of connections, through `proxy` where one is given.

    Args:
        allow_private: let a host be in a private network. It is checked here only without a
            proxy, which resolves and connects itself.
        at_once: connections kept to one host.
        on_socket: called with the socket in use before an answer is awaited on it. Connections
            are kept and used again, so that it is not enough to know the new ones.
    """
    options: dict[str, Any] = {"ssl_context": _certificates(), "num_pools": 64, "maxsize": at_once}
    if proxy is None:
        manager = PoolManager(**options)
    elif proxy.startswith("socks"):
        manager = SOCKSProxyManager(proxy, **options)
    else:
        manager = ProxyManager(proxy, **options)

    class Watched:
        sock: socket.socket | None

        def getresponse(self) -> Any:
            on_socket(self.sock)
            return super().getresponse()  # type: ignore[misc]

    class Guarded(Watched):
        def _new_conn(self: Any) -> socket.socket:
            return _connect(self, allow_private=allow_private)

    watched = Watched if proxy else Guarded

    def watch(pool: Any) -> Any:
        connection = type("Connection", (watched, pool.ConnectionCls), {})
        return type(pool.__name__, (pool,), {"ConnectionCls": connection})

    pools = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: watch(pool) for scheme, pool in pools.items()}
    return manager


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Whom to trust: the system's list, and certifi's, for some systems bring none."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _connect(connection: HTTPConnection, *, allow_private: bool) -> socket.socket:
    """Connect to the first of the host's checked addresses that answers, resolving it once."""
    host, port = connection.host, connection.port
    try:
        resolved = addresses.resolve(host, port, allow_private=allow_private)
    except (OSError, UnicodeError) as error:
        failure = error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
        raise NameResolutionError(host, connection, failure) from None
    problem = OSError("resolves to nothing")
    timeout = connection.timeout if isinstance(connection.timeout, (int, float)) else None
    for family, kind, protocol, address in resolved:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(timeout)
            for option in connection.socket_options or ():
                sock.setsockopt(*option)
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            problem = error
    if isinstance(problem, TimeoutError):
        raise ConnectTimeoutError(connection, "does not answer")
    raise NewConnectionError(connection, problem.strerror or str(problem))
