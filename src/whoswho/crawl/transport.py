"""GET with every bound there is: time, silence, size, redirects, repeats, and how often a host.

An address found on a page may lead anywhere: to a stream that never ends, to a host that sends a
byte a second, to a bomb of zeros. What is given up says why in a few words.
"""

from __future__ import annotations

import functools
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urljoin

import certifi
from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager, Retry, Timeout
from urllib3.contrib.socks import SOCKSProxyManager
from urllib3.exceptions import (
    DecodeError,
    HTTPError,
    IncompleteRead,
    InvalidHeader,
    LocationValueError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as NoAnswer
from urllib3.util import parse_url

from whoswho import __version__
from whoswho.crawl import addresses
from whoswho.crawl.addresses import AddressRefused
from whoswho.crawl.politeness import Hosts

USER_AGENT = f"Mozilla/5.0 (compatible; whoswho/{__version__}; a crawler of pictures)"
CHUNK = 65536
REFERER = 4096  # letters; of a longer one browsers too say less, and hosts refuse the request
AGAIN = {408, 429, 500, 502, 503, 504}  # may be mended by asking again
REDIRECTS = {301, 302, 303, 307, 308}


@dataclass(frozen=True)
class Limits:
    """How much one address may cost.

    Attributes:
        seconds: from its first request on, with redirects, repeats and the waits between.
        silence: seconds without a byte, also while connecting.
        bytes: of the body, unpacked.
        redirects: in a row.
        tries: how often it is asked for.
        pause: seconds before the second try, doubled before each further one.
        at_once: requests to one host.
        gap: seconds between the starts of two requests to one host.
    """

    seconds: float = 60
    silence: float = 10
    bytes: int = 64 * 2**20
    redirects: int = 5
    tries: int = 3
    pause: float = 1
    at_once: int = 4
    gap: float = 0.05


class DownloadError(Exception):
    """Why nothing was had from an address, in a few words."""


class _Again(Exception):  # noqa: N818
    """A failure that another try may mend, after so many seconds where the host says."""

    def __init__(self, reason: str, host: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.host = host
        self.wait = wait


class _Clock:
    """The time of one address. When it is over, the socket in use is cut."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends: float | None = None
        self._timer = threading.Timer(seconds, self.cut)
        self._timer.daemon = True
        self._sock: socket.socket | None = None
        self._lock = threading.Lock()
        self.over = False

    def start(self) -> None:
        if self._ends is None:
            self._ends = time.monotonic() + self._seconds
            self._timer.start()

    @property
    def left(self) -> float:
        return self._seconds if self._ends is None else max(0.0, self._ends - time.monotonic())

    def uses(self, sock: socket.socket | None) -> None:
        with self._lock:
            self._sock = sock
        if self.over:
            self.cut()

    def cut(self) -> None:
        self.over = True
        with self._lock:
            if self._sock is not None:
                with suppress(OSError):
                    # Not SSLSocket's own: that one takes the session from under the reader.
                    socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def stop(self) -> None:
        self._timer.cancel()
        self.uses(None)


class Transport:
    """Asks for addresses, from many threads."""

    def __init__(self, limits: Limits | None = None, *, allow_private: bool = False) -> None:
        """Prepare; `allow_private` lets addresses lead to this machine and its network."""
        self.limits = limits or Limits()
        self.allow_private = allow_private
        self._stopped = threading.Event()
        self._hosts = Hosts(self.limits.at_once, self.limits.gap, self._stopped)
        self._local = threading.local()
        self._lock = threading.Lock()
        self._managers: dict[str | None, PoolManager] = {}
        self._clocks: set[_Clock] = set()

    def get(self, url: str, *, page: str = "", proxy: str | None = None) -> bytes:
        """The body of `url`, unpacked.

        Args:
            page: the page that names the address; it is told to the host.
            proxy: http, https, socks4 or socks5 address; see `addresses.check`.

        Raises:
            DownloadError: what stood in the way, after all tries.
        """
        with self._clock() as clock:
            for number in range(self.limits.tries):
                try:
                    return self._follow(url, page, proxy, clock)
                except _Again as again:
                    wait = self.limits.pause * 2**number if again.wait is None else again.wait
                    if again.wait is not None:
                        self._hosts.rest(again.host, wait)
                    if number + 1 == self.limits.tries:
                        raise DownloadError(str(again)) from None
                    if wait > clock.left:
                        raise DownloadError(f"{again}, asks to wait {wait:.0f} s") from None
                    self._stopped.wait(wait)
        raise AssertionError("at least one try")

    def stop(self) -> None:
        """Break everything off that is under way, and ask for nothing any more."""
        self._stopped.set()
        with self._lock:
            for clock in self._clocks:
                clock.cut()

    def close(self) -> None:
        """Give the connections back."""
        for manager in self._managers.values():
            manager.clear()

    @contextmanager
    def _clock(self) -> Iterator[_Clock]:
        clock = _Clock(self.limits.seconds)
        with self._lock:
            self._clocks.add(clock)
        self._local.clock = clock
        try:
            yield clock
        finally:
            clock.stop()
            with self._lock:
                self._clocks.discard(clock)

    def _follow(self, url: str, page: str, proxy: str | None, clock: _Clock) -> bytes:
        """Ask once, going after redirects."""
        for _ in range(self.limits.redirects + 1):
            try:
                _, host, _ = addresses.split(url)
                if proxy:
                    addresses.check(url, allow_private=self.allow_private)
                with self._hosts.turn(host, clock.left):
                    clock.start()
                    body, location = self._ask(url, host, page, proxy, clock)
            except AddressRefused as refusal:
                raise DownloadError(str(refusal)) from None
            except TimeoutError as error:
                raise DownloadError(f"{host} {error}") from None
            if location is None:
                return body
            try:
                url = urljoin(url, location)
            except ValueError:  # brackets that are no IPv6 address
                raise DownloadError("redirects to what is not an address") from None
        raise DownloadError(f"more than {self.limits.redirects} redirects")

    def _ask(
        self, url: str, host: str, page: str, proxy: str | None, clock: _Clock
    ) -> tuple[bytes, str | None]:
        """One request: its body, or where it redirects to."""
        limits = self.limits
        if clock.over or self._stopped.is_set():
            raise self._over()
        quiet = min(limits.silence, max(clock.left, 0.001))
        try:
            response = self._manager(proxy).request(
                "GET", url, headers=_headers(url, page), redirect=False, retries=False,
                preload_content=False, decode_content=True,
                timeout=Timeout(connect=quiet, read=quiet),
            )  # fmt: skip
            try:
                location = _location(response)
                body = b"" if location is not None else self._body(response, host, clock)
            except BaseException:
                response.close()
                raise
            if location is None:
                response.release_conn()
            else:
                response.close()  # whatever it sends beside the redirect is not read
            return body, location
        except (LocationValueError, UnicodeError) as error:  # found only by those who connect
            raise DownloadError(f"not an address: {_words(error)}") from None
        except (HTTPError, HTTPException, OSError) as error:
            if clock.over or self._stopped.is_set():
                raise self._over() from None
            raise _verdict(error, host, limits) from None

    def _body(self, response: BaseHTTPResponse, host: str, clock: _Clock) -> bytes:
        limits = self.limits
        if response.status in AGAIN:
            raise _Again(f"HTTP {response.status}", host, _retry_after(response))
        if response.status != 200:
            raise DownloadError(f"HTTP {response.status}")
        too_large = f"larger than {limits.bytes / 2**20:g} MiB"
        announced = response.headers.get("Content-Length", "")
        with suppress(ValueError):  # no number, or more digits than Python reads
            if int(announced) > limits.bytes:
                raise DownloadError(too_large)
        body = bytearray()
        while chunk := response.read1(CHUNK):
            body += chunk
            if len(body) > limits.bytes:
                raise DownloadError(too_large)
            if clock.over:
                break
        if clock.over:  # a cut socket looks like the end of the body
            raise self._over()
        return bytes(body)

    def _over(self) -> DownloadError:
        if self._stopped.is_set():
            return DownloadError("interrupted")
        return DownloadError(f"took longer than {self.limits.seconds:g} s")

    def _manager(self, proxy: str | None) -> PoolManager:
        with self._lock:
            if proxy not in self._managers:
                self._managers[proxy] = self._new_manager(proxy)
            return self._managers[proxy]

    def _new_manager(self, proxy: str | None) -> PoolManager:
        options: dict[str, Any] = {
            "ssl_context": _certificates(), "num_pools": 64, "maxsize": self.limits.at_once,
        }  # fmt: skip
        if proxy is None:
            manager = PoolManager(**options)
            addresses.guard(manager, allow_private=self.allow_private)
        elif proxy.startswith("socks"):
            manager = SOCKSProxyManager(proxy, **options)
        else:
            manager = ProxyManager(proxy, **options)
        _tell_sockets(manager, lambda sock: self._local.clock.uses(sock))
        return manager


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Whom to trust: the system's list, and certifi's, for some systems bring none."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _tell_sockets(manager: PoolManager, told: Callable[[socket.socket | None], None]) -> None:
    """Make `manager` tell, before an answer is awaited, on which socket.

    Connections are kept and used again, so that it is not enough to know the new ones.
    """

    def telling(pool: Any) -> Any:
        class Connection(pool.ConnectionCls):  # type: ignore[misc]
            def getresponse(self) -> Any:
                told(self.sock)
                return super().getresponse()

        return type(pool.__name__, (pool,), {"ConnectionCls": Connection})

    manager.pool_classes_by_scheme = {
        scheme: telling(pool) for scheme, pool in manager.pool_classes_by_scheme.items()
    }


def _headers(url: str, page: str) -> dict[str, str]:
    headers = {"User-Agent": USER_AGENT, "Accept": "image/*,*/*;q=0.8"}
    if page.startswith(("http://", "https://")):
        with suppress(HTTPError):
            referer = parse_url(page)._replace(auth=None, fragment=None)
            safe = not (referer.scheme == "https" and url.startswith("http:"))
            if safe and len(referer.url) <= REFERER:
                headers["Referer"] = referer.url
    return headers


def _location(response: BaseHTTPResponse) -> str | None:
    location = response.headers.get("Location")
    if response.status not in REDIRECTS or not location:
        return None
    try:  # headers come as Latin-1, what stands in them is often UTF-8
        return location.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return location


def _retry_after(response: BaseHTTPResponse) -> float | None:
    """Seconds the host asks to wait, None where it says nothing that can be read."""
    text = response.headers.get("Retry-After")
    if not text:
        return None
    try:
        return Retry().parse_retry_after(text)
    except (InvalidHeader, ValueError, OverflowError):
        return None


def _verdict(error: Exception, host: str, limits: Limits) -> DownloadError | _Again:
    """What an error of the network means, and whether another try may mend it."""
    if isinstance(error, NameResolutionError):
        return _Again(f"{host} does not resolve", host)
    if isinstance(error, (SSLError, ssl.SSLError)):
        return DownloadError(f"TLS with {host}: {_words(error)}")
    if isinstance(error, DecodeError):
        return _Again("its compression is broken", host)
    if isinstance(error, (NoAnswer, TimeoutError)) and not isinstance(error, NewConnectionError):
        return _Again(f"no byte from {host} within {limits.silence:g} s", host)
    if isinstance(error, IncompleteRead) or "IncompleteRead" in str(error):
        return _Again("ends early", host)
    to = "the proxy" if isinstance(error, ProxyError) else host
    return _Again(f"connection to {to}: {_words(error)}", host)


def _words(error: Exception) -> str:
    """The last part of a nested error's text."""
    while len(error.args) > 1 and isinstance(error.args[-1], Exception):
        error = error.args[-1]
    text = re.sub(r"\(_ssl\.c:\d+\)", "", getattr(error, "strerror", None) or str(error))
    return " ".join(text.rpartition(": ")[2].split()).strip(" .()'\"") or type(error).__name__
