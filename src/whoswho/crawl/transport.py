"""GET with every bound there is: time, silence, size, redirects, repeats, and how often a host.

An address found on a page may lead anywhere: to a stream that never ends, to a host that sends a
byte a second, to a bomb of zeros. What is given up says why in a few words.
"""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from urllib.parse import urljoin

from urllib3 import BaseHTTPResponse, PoolManager, Retry, Timeout, exceptions
from urllib3.util import parse_url

from whoswho import __version__
from whoswho.crawl import addresses, connections
from whoswho.crawl.addresses import AddressRefused
from whoswho.crawl.politeness import Hosts
from whoswho.errors import one_line

CHUNK = 65536
REFERER = 4096  # letters; of a longer one browsers too say less, and hosts refuse the request
RETRIED = {408, 429, 500, 502, 503, 504}  # may be mended by asking again


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
    """Why no picture, or no answer, was had from an address or a file, in a few words.

    Attributes:
        retry: whether another try may mend it.
        wait: seconds after which the host says so; None where it says nothing.
    """

    def __init__(self, reason: str, *, retry: bool = False, wait: float | None = None) -> None:
        super().__init__(reason)
        self.retry = retry
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

    def __init__(
        self, limits: Limits | None = None, *, allow_private: bool = False, contact: str = ""
    ) -> None:
        """Prepare.

        Args:
            allow_private: let addresses lead to this machine and its network.
            contact: a mail address or page for whoever minds being asked, told to every host.
        """
        self.limits = limits or Limits()
        self.allow_private = allow_private
        self._user_agent = user_agent(contact)
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
                except DownloadError as error:
                    if not error.retry or number + 1 == self.limits.tries:
                        raise
                    wait = self.limits.pause * 2**number if error.wait is None else error.wait
                    if wait > clock.left:
                        raise DownloadError(f"{error}, asks to wait {wait:.0f} s") from None
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
        clock = self._local.clock = _Clock(self.limits.seconds)
        with self._lock:
            self._clocks.add(clock)
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
            except AddressRefused as error:
                raise DownloadError(str(error)) from None
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
        self._check_time(clock)
        silence = min(self.limits.silence, max(clock.left, 0.001))
        try:
            response = self._manager(proxy).request(
                "GET",
                url,
                headers={"User-Agent": self._user_agent} | _headers(url, page),
                redirect=False,
                retries=False,
                preload_content=False,
                timeout=Timeout(connect=silence, read=silence),
            )
            whole = False
            try:
                location = _location(response)
                if location is not None:
                    return b"", location  # whatever it sends beside the redirect is not read
                body = self._body(response, host, clock)
                whole = True
                return body, None
            finally:
                response.release_conn() if whole else response.close()
        except (exceptions.LocationValueError, UnicodeError) as error:
            # Found only by those who connect.
            raise DownloadError(f"not an address: {_words(error)}") from None
        except (exceptions.HTTPError, HTTPException, OSError) as error:
            self._check_time(clock)
            raise _failure(error, host, self.limits) from None

    def _body(self, response: BaseHTTPResponse, host: str, clock: _Clock) -> bytes:
        most = self.limits.bytes
        if response.status in RETRIED:
            wait = _retry_after(response)
            if wait is not None:
                self._hosts.rest(host, wait)
            raise DownloadError(f"HTTP {response.status}", retry=True, wait=wait)
        if response.status != 200:
            raise DownloadError(f"HTTP {response.status}")
        too_large = DownloadError(f"larger than {most / 2**20:g} MiB")
        with suppress(ValueError):  # no number, or more digits than Python reads
            if int(response.headers.get("Content-Length", "")) > most:
                raise too_large
        body = bytearray()
        while not clock.over and (chunk := response.read1(CHUNK)):
            body += chunk
            if len(body) > most:
                raise too_large
        self._check_time(clock)  # a cut socket looks like the end of the body
        return bytes(body)

    def _check_time(self, clock: _Clock) -> None:
        if self._stopped.is_set():
            raise DownloadError("interrupted")
        if clock.over:
            raise DownloadError(f"took longer than {self.limits.seconds:g} s")

    def _manager(self, proxy: str | None) -> PoolManager:
        with self._lock:
            if proxy not in self._managers:
                self._managers[proxy] = connections.new_manager(
                    proxy,
                    allow_private=self.allow_private,
                    at_once=self.limits.at_once,
                    on_socket=lambda sock: self._local.clock.uses(sock),
                )
            return self._managers[proxy]


def user_agent(contact: str = "") -> str:
    """What hosts are told of who asks.

    https://foundation.wikimedia.org/wiki/Policy:Wikimedia_Foundation_User-Agent_Policy
    """
    who = f"; {contact}" if contact else ""
    return f"Mozilla/5.0 (compatible; whoswho/{__version__}; a crawler of pictures{who})"


def _headers(url: str, page: str) -> dict[str, str]:
    headers = {"Accept": "image/*,*/*;q=0.8"}
    if page.startswith(("http://", "https://")):
        with suppress(exceptions.HTTPError):
            referer = parse_url(page)._replace(auth=None, fragment=None)
            safe = not (referer.scheme == "https" and url.startswith("http:"))
            if safe and len(referer.url) <= REFERER:
                headers["Referer"] = referer.url
    return headers


def _location(response: BaseHTTPResponse) -> str | None:
    location = response.get_redirect_location() or None
    with suppress(UnicodeError):  # headers come as Latin-1, what stands in them is often UTF-8
        return location and location.encode("latin-1").decode("utf-8")
    return location


def _retry_after(response: BaseHTTPResponse) -> float | None:
    """Seconds the host asks to wait, None where it says nothing that can be read."""
    try:
        return Retry().get_retry_after(response)
    except (exceptions.InvalidHeader, ValueError, OverflowError):
        return None


def _failure(error: Exception, host: str, limits: Limits) -> DownloadError:
    """What an error of the network means."""
    if isinstance(error, (exceptions.SSLError, ssl.SSLError)):
        return DownloadError(f"TLS with {host}: {_words(error)}")
    to = "the proxy" if isinstance(error, exceptions.ProxyError) else host
    reason = f"connection to {to}: {_words(error)}"
    timeouts = (exceptions.TimeoutError, TimeoutError)
    if isinstance(error, exceptions.NameResolutionError):
        reason = f"{host} does not resolve"
    elif isinstance(error, exceptions.DecodeError):
        reason = "its compression is broken"
    elif isinstance(error, timeouts) and not isinstance(error, exceptions.NewConnectionError):
        reason = f"no byte from {host} within {limits.silence:g} s"
    elif isinstance(error, exceptions.IncompleteRead) or "IncompleteRead" in str(error):
        reason = "ends early"
    return DownloadError(reason, retry=True)


def _words(error: Exception) -> str:
    """The last part of a nested error's text."""
    while len(error.args) > 1 and isinstance(error.args[-1], Exception):
        error = error.args[-1]
    text = re.sub(r"\(_ssl\.c:\d+\)", "", getattr(error, "strerror", None) or str(error))
    return one_line(text.rpartition(": ")[2]).strip(" .()'\"") or type(error).__name__
