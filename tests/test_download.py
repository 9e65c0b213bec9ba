"""From an address to a picture: every bound, every kind of file, every range of addresses."""

from __future__ import annotations

import base64
import email.utils
import gzip
import io
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import quote_from_bytes

import pytest
from PIL import Image
from support.loopback import (
    QUICK,
    Reply,
    Request,
    Server,
    fixture_running,  # noqa: F401
    fixture_server,  # noqa: F401
    picture,
    serving,
)

from whoswho.crawl import addresses, download
from whoswho.crawl.politeness import Hosts
from whoswho.crawl.site import Hit
from whoswho.crawl.transport import DownloadError, Limits, Transport
from whoswho.pictures import opening


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport(QUICK, allow_private=True)
    yield made
    made.close()


def why(transport: Transport, url: str, **options: str) -> str:
    with pytest.raises(DownloadError) as caught:
        transport.get(url, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- What never ends -----------------------------------------------------------------------------


def drip(piece: bytes) -> Iterator[bytes]:
    for _ in range(600):
        time.sleep(0.05)
        yield piece


def test_a_stream_behind_a_redirect_ends_with_the_time_limit(server: Server) -> None:
    server.answers["/picture"] = Reply(status=302, headers={"Location": "/live"})
    server.answers["/live"] = lambda _: Reply(picture(0)[:200], pieces=drip(b"x"))
    bounded = Transport(Limits(seconds=0.6, silence=1), allow_private=True)
    assert why(bounded, server["/picture"]) == "took longer than 0.6 s"
    assert server.paths() == ["/picture", "/live"]


@pytest.mark.parametrize(
    "reply",
    [
        lambda: Reply(headers={"Transfer-Encoding": "chunked"}, pieces=drip(b"1\r\nx\r\n")),
        lambda: Reply(headers={"Content-Length": "5000"}, pieces=drip(b"x")),
        lambda: Reply(headers={"Content-Encoding": "gzip"}, pieces=drip(b"\x1f")),
    ],
    ids=["chunks", "length", "gzip"],
)
def test_no_way_to_send_slowly_gets_round_it(server: Server, reply: object) -> None:
    server.answers["/p"] = lambda _: reply()  # type: ignore[operator]
    bounded = Transport(Limits(seconds=0.4, silence=1, pause=0.01), allow_private=True)
    assert why(bounded, server["/p"]) in (
        "took longer than 0.4 s",
        "its compression is broken",
    )


def test_headers_that_never_end_are_cut_off_also_on_a_connection_used_again() -> None:
    """A connection kept from the request before is watched like a new one."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        accepted, _ = listening.accept()
        accepted.recv(65536)
        accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        accepted.recv(65536)
        with pytest.raises(OSError):
            for piece in itertools.chain([b"HTTP/1.1 200 OK\r\nX: "], itertools.repeat(b"x")):
                accepted.sendall(piece)
                time.sleep(0.05)

    thread = threading.Thread(target=serve)
    thread.start()
    bounded = Transport(Limits(seconds=0.5, silence=1), allow_private=True)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/"
    assert bounded.get(address) == b"ok"
    assert why(bounded, address) == "took longer than 0.5 s"
    thread.join(5)
    assert not thread.is_alive()
    listening.close()


def test_a_silent_host_is_asked_again_and_given_up(server: Server) -> None:
    server.answers["/p"] = lambda _: time.sleep(0.6) or b""  # type: ignore[func-returns-value]
    bounded = Transport(Limits(silence=0.2, pause=0.01, tries=2), allow_private=True)
    assert "no byte from 127.0.0.1 within 0.2 s" in why(bounded, server["/p"])
    assert server.counts["/p"] == 2


# --- What is too large ---------------------------------------------------------------------------


def test_size_is_bounded_as_announced_as_sent_and_as_unpacked(server: Server) -> None:
    small = Transport(Limits(bytes=2**20), allow_private=True)
    sent = []

    def endless() -> Iterator[bytes]:
        for _ in range(200):
            sent.append(1)
            yield b"\0" * 2**20

    server.answers["/announced"] = Reply(headers={"Content-Length": str(200 * 2**20)})
    server.answers["/sent"] = lambda _: Reply(pieces=endless())
    server.answers["/bomb"] = Reply(
        gzip.compress(bytes(100 * 2**20), 9), headers={"Content-Encoding": "gzip"}
    )
    for path in ("/announced", "/sent", "/bomb"):
        assert why(small, server[path]) == "larger than 1 MiB"
    assert len(sent) < 100
    assert server.paths() == ["/announced", "/sent", "/bomb"]  # none is asked for twice


def test_a_body_packed_for_the_way_is_unpacked(server: Server, transport: Transport) -> None:
    server.answers["/p"] = Reply(
        gzip.compress(picture(0)), headers={"Content-Encoding": "gzip", "Content-Type": "x/y"}
    )
    assert transport.get(server["/p"]) == picture(0)


@pytest.mark.parametrize("name", ["png_decompression_dos.png", "decompression_bomb.gif"])
def test_a_real_bomb_is_refused_or_known_harmless_by_its_header(cases: Path, name: str) -> None:
    data = (cases / "awkward" / name).read_bytes()
    try:
        fetched = download.identify(data)
    except DownloadError:
        return
    assert fetched.width * fetched.height <= opening.MOST_PIXELS


def test_too_many_pixels_are_refused_without_decoding_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = io.BytesIO()
    Image.new("1", (20_000, 10_000)).save(file, "PNG")
    monkeypatch.setattr(
        Image.Image, "load", lambda *_: pytest.fail("a pixel was asked for"), raising=True
    )
    with pytest.raises(DownloadError, match="megapixels"):
        download.identify(file.getvalue())


# --- Asking again --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_failure_is_asked_again(
    server: Server, transport: Transport, status: int
) -> None:
    server.answers["/p"] = lambda request: Reply(status=status) if request.times < 3 else b"ok"
    assert transport.get(server["/p"]) == b"ok"
    assert server.counts["/p"] == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_a_lasting_failure_is_not(server: Server, transport: Transport, status: int) -> None:
    server.answers["/p"] = Reply(status=status)
    assert why(transport, server["/p"]) == f"HTTP {status}"
    assert server.counts["/p"] == 1


def test_tries_end(server: Server, transport: Transport) -> None:
    server.answers["/p"] = Reply(status=503)
    assert why(transport, server["/p"]) == "HTTP 503"
    assert server.counts["/p"] == QUICK.tries


@pytest.mark.parametrize("how", ["seconds", "date"])
def test_retry_after_is_honoured_for_the_whole_host(
    server: Server, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    patient = Transport(Limits(seconds=100, gap=0), allow_private=True)
    monkeypatch.setattr(Hosts, "rest", lambda self, host, seconds: waits.append(seconds))
    monkeypatch.setattr(patient._stopped, "wait", waits.append)
    value = "40" if how == "seconds" else email.utils.formatdate(time.time() + 40.5, usegmt=True)
    server.answers["/p"] = lambda request: (
        Reply(status=429, headers={"Retry-After": value}) if request.times == 1 else b"ok"
    )
    assert patient.get(server["/p"]) == b"ok"
    assert len(waits) == 2  # the host's rest, and our own
    assert all(37 < wait < 42 for wait in waits)


def test_a_host_that_asks_for_too_long_a_wait_is_given_up_at_once(
    server: Server, transport: Transport
) -> None:
    server.answers["/p"] = Reply(status=429, headers={"Retry-After": "5000"})
    assert why(transport, server["/p"]) == "HTTP 429, asks to wait 5000 s"
    assert "asks to wait" in why(transport, server["/other"])
    assert server.paths() == ["/p"]  # the host rests, whatever the address


@pytest.mark.parametrize(
    "reply",
    [
        Reply(picture(0)[:500], headers={"Content-Length": str(len(picture(0)))}),
        Reply(b"5\r\nxxxxx\r\n", headers={"Transfer-Encoding": "chunked"}, pieces=iter(())),
        Reply(b"zzz", headers={"Content-Encoding": "gzip"}),
        Reply(raw=b""),
        Reply(raw=b"nonsense\r\n\r\n"),
    ],
    ids=["short", "chunk", "unpacked", "closed", "nonsense"],
)
def test_a_broken_answer_is_asked_again_and_never_taken(
    server: Server, transport: Transport, reply: Reply
) -> None:
    server.answers["/p"] = lambda request: reply if request.times < 3 else b"ok"
    assert transport.get(server["/p"]) == b"ok"
    server.answers["/q"] = reply
    why(transport, server["/q"])
    assert server.counts["/q"] == QUICK.tries


def test_a_host_that_is_not_there_is_named(transport: Transport) -> None:
    with serving() as gone:
        address = gone["/"]
    assert "Connection refused" in why(transport, address)
    assert "does not resolve" in why(transport, "http://nobody.invalid/")


# --- Redirects and headers -----------------------------------------------------------------------


def test_redirects_are_followed_relative_ones_too_and_end(
    server: Server, transport: Transport
) -> None:
    server.answers["/a/1"] = Reply(status=301, headers={"Location": "../b?x=1"})
    server.answers["/b"] = Reply(status=307, headers={"Location": server["/c"]})
    server.answers["/c"] = b"ok"
    server.answers["/loop"] = Reply(status=302, headers={"Location": "/loop"})
    server.answers["/nowhere"] = Reply(status=302)
    assert transport.get(server["/a/1"]) == b"ok"
    assert why(transport, server["/loop"]) == "more than 5 redirects"
    assert why(transport, server["/nowhere"]) == "HTTP 302"


@pytest.mark.parametrize("location", ["http://[", "//[::1", "http://\u2100.com/", "http://h:x/"])
def test_a_redirect_to_no_address_is_given_up(
    server: Server, transport: Transport, location: str
) -> None:
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    server.answers["/p"] = Reply(raw=head.encode())
    assert "not an address" in why(transport, server["/p"])


@pytest.mark.parametrize("length", ["9" * 5000, "many", "\u00b2", "-1"])
def test_an_announced_length_that_is_no_number_says_nothing(
    server: Server, transport: Transport, length: str
) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
    server.answers["/p"] = Reply(raw=head.encode("latin-1") + b"abc")
    assert transport.get(server["/p"]) == b"abc"


def test_the_page_is_told_but_nothing_secret(server: Server, transport: Transport) -> None:
    server.answers["/p"] = b"ok"
    transport.get(server["/p"], page="http://me:secret@site/가?q=1#here")
    transport.get(server["/p"], page="https://site/a")  # never from https to http
    transport.get(server["/p"])
    first, second, third = (request.headers for request in server.requests)
    assert first["Referer"] == "http://site/%EA%B0%80?q=1"
    assert "Referer" not in second
    assert "Referer" not in third
    assert "whoswho" in first["User-Agent"]


# --- Politeness ----------------------------------------------------------------------------------


def together(transport: Transport, urls: list[str]) -> None:
    threads = [threading.Thread(target=transport.get, args=(url,)) for url in urls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)


def test_a_host_gets_only_so_many_requests_at_once(server: Server) -> None:
    polite = Transport(Limits(at_once=2, gap=0), allow_private=True)
    lock, unanswered = threading.Lock(), [0]
    at_once: list[int] = []

    def slow(_: Request) -> bytes:
        with lock:
            unanswered[0] += 1
            at_once.append(unanswered[0])
        time.sleep(0.05)
        with lock:  # before the client can have the answer and ask again
            unanswered[0] -= 1
        return b"ok"

    server.answers["/p"] = slow
    together(polite, [server["/p"]] * 8)
    assert len(at_once) == 8
    assert max(at_once) <= 2


def test_requests_to_a_host_keep_their_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            now[0] += timeout or 0
            return False

    monkeypatch.setattr("whoswho.crawl.politeness.time.monotonic", lambda: now[0])
    hosts = Hosts(at_once=4, gap=0.05, stop=Stop())
    started = []
    for host in ("a", "a", "b", "a"):
        with hosts.turn(host, longest=10):
            started.append((host, round(now[0], 6)))
    assert started == [("a", 100.0), ("a", 100.05), ("b", 100.05), ("a", 100.1)]


def test_stopping_breaks_off_what_is_under_way(server: Server) -> None:
    patient = Transport(Limits(), allow_private=True)
    server.answers["/p"] = lambda _: Reply(pieces=drip(b"x"))
    timer = threading.Timer(0.3, patient.stop)
    timer.start()
    assert why(patient, server["/p"]) == "interrupted"
    assert why(patient, server["/p"]) == "interrupted"


# --- Where an address may lead -------------------------------------------------------------------

PRIVATE = [
    "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
    "100.64.0.1", "100.100.100.200", "0.0.0.0", "224.0.0.1", "239.1.1.1", "240.0.0.1",
    "255.255.255.255", "192.0.0.192", "192.0.2.1", "198.18.0.1", "168.63.129.16",
    "::1", "::", "fe80::1", "fe80::1%1", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1",
    "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "2002:7f00:1::",
    "2002:a00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2001:0:1::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "2002:808:808::", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_ranges_are_told(address: str) -> None:
    assert not addresses.public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_ones_too(address: str) -> None:
    assert addresses.public(ip_address(address))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "LOCALHOST.", "127.1", "0x7f.1", "2130706433", "0", "[::1]",
     "[::ffff:127.0.0.1]", "127.0.0.1.", "a@127.0.0.1", "１２７.0.0.1"],
)  # fmt: skip
def test_no_spelling_of_this_machine_is_asked(server: Server, host: str) -> None:
    guarded = Transport(QUICK)
    port = server.root.rpartition(":")[2]
    why(guarded, f"http://{host}:{port}/p")
    assert server.requests == []


def test_a_redirect_into_a_private_network_is_refused(server: Server) -> None:
    """The first host is public by name, and plays the internet by being checked as public."""
    guarded = Transport(QUICK)
    server.answers["/p"] = Reply(status=302, headers={"Location": server["/secret"]})
    server.answers["/secret"] = b"secret"
    port = int(server.root.rpartition(":")[2])
    with pytest.MonkeyPatch.context() as patch:
        real = socket.getaddrinfo
        hosts: list[str] = []

        def resolve(host: str, *arguments: object, **options: object) -> object:
            hosts.append(host)
            if host == "site.example":
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
            return real(host, *arguments, **options)  # type: ignore[arg-type]

        patch.setattr(socket, "getaddrinfo", resolve)
        seen: list[str] = []
        patch.setattr(
            addresses, "public", lambda address: seen.append(str(address)) or len(seen) == 1
        )
        text = why(guarded, f"http://site.example:{port}/p")
    assert "private network" in text
    assert server.paths() == ["/p"]
    assert hosts == ["site.example", "127.0.0.1"]


def test_the_checked_address_is_the_one_connected_to(server: Server) -> None:
    """A name that resolves to something public first and to this machine then."""
    guarded = Transport(QUICK)
    port = int(server.root.rpartition(":")[2])
    answers = iter([("203.0.113.1", port), ("127.0.0.1", port)])
    connected: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            socket,
            "getaddrinfo",
            lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", next(answers))],
        )
        patch.setattr(addresses, "public", lambda address: not address.is_loopback)

        def connect(_: socket.socket, place: object) -> None:
            connected.append(place)
            raise ConnectionRefusedError(111, "Connection refused")

        patch.setattr(socket.socket, "connect", connect)
        why(guarded, f"http://rebinding.example:{port}/p")
    assert connected == [("203.0.113.1", port)]


def test_a_host_with_a_public_and_a_private_address_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolved = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))
        for address in ("8.8.8.8", "10.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolved)
    assert "private network, 10.0.0.1" in why(Transport(QUICK), "http://both.example/")


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://h/x", "gopher://h", "javascript:alert(1)", "//h/x", "x", "",
     "http://", "http:///x", "http://[::1", "http://h:99999/", "http://a..b/", "blob:http://h/x"],
)  # fmt: skip
def test_only_web_addresses_are_asked(transport: Transport, url: str) -> None:
    why(transport, url)


def test_a_redirect_to_a_file_is_refused(server: Server, transport: Transport) -> None:
    server.answers["/p"] = Reply(status=302, headers={"Location": "file:///etc/passwd"})
    assert why(transport, server["/p"]) == "file: only http and https are asked for"


# --- Through a proxy -----------------------------------------------------------------------------


def test_a_proxy_is_asked_instead_and_what_can_be_checked_is(server: Server) -> None:
    guarded = Transport(QUICK)
    server.answers["http://93.184.216.34/p"] = b"through"
    assert guarded.get("http://93.184.216.34/p", proxy=server.root) == b"through"
    assert "private" in why(guarded, "http://127.0.0.1/p", proxy=server.root)
    # The check and whoever connects must not read two hosts out of one address.
    assert "address" in why(guarded, r"http://127.0.0.1\@93.184.216.34/p", proxy=server.root)
    assert server.paths() == ["http://93.184.216.34/p"]
    with serving() as gone:
        proxy = gone.root
    assert "the proxy" in why(guarded, "http://93.184.216.34/p", proxy=proxy)


# --- What a file is ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "ending", "content_type"),
    [
        ("JPEG", "jpg", "image/jpeg"), ("PNG", "png", "image/png"), ("WEBP", "webp", "image/webp"),
        ("GIF", "gif", "image/gif"), ("AVIF", "avif", "image/avif"), ("BMP", "bmp", "image/bmp"),
        ("TIFF", "tif", "image/tiff"), ("ICO", "ico", "image/x-icon"),
    ],
)  # fmt: skip
def test_the_kind_is_told_by_content(
    server: Server, transport: Transport, kind: str, ending: str, content_type: str
) -> None:
    server.answers["/portrait.jpg"] = Reply(
        picture(1, kind), headers={"Content-Type": "text/html"}
    )
    fetched = download.download(Hit(1, server["/portrait.jpg"]), transport)
    assert (fetched.ending, fetched.content_type) == (ending, content_type)
    assert fetched.data == picture(1, kind)
    assert kind == "ICO" or (fetched.width, fetched.height) == (96, 72)


@pytest.mark.parametrize("name", ["hopper.heif", "hopper.avif", "flower.webp", "frozenpond.mpo"])
def test_real_files_too(cases: Path, name: str) -> None:
    fetched = download.identify((cases / "awkward" / name).read_bytes())
    assert fetched.ending == {"heif": "heic", "mpo": "jpg"}.get(name[-4:].strip("."), name[-4:])
    assert fetched.width > 50


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<!doctype html><html><body>sign in</body></html>", "not a picture: a web page (HTML)"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'></svg>", "not a picture: an SVG drawing"),
        (b"<?xml version='1.0'?><rss/>", "not a picture: XML"),
        (b'{"error": "no"}', "not a picture: text (JSON)"),
        (b"%PDF-1.4", "not a picture: a PDF"),
        (b"", "not a picture: nothing at all"),
        (b"\xff\xd8\xff\xe0junk", "JPEG data ends early"),
    ],
)
def test_what_is_no_picture_is_refused_with_what_it_is(
    server: Server, transport: Transport, body: bytes, message: str
) -> None:
    server.answers["/p.jpg"] = Reply(body, headers={"Content-Type": "image/jpeg"})
    with pytest.raises(DownloadError) as caught:
        download.download(Hit(1, server["/p.jpg"]), transport)
    assert message in str(caught.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
@pytest.mark.parametrize("form", ["base64", "broken into lines", "url-safe", "percent"])
def test_data_addresses_carry_their_picture(kind: str, form: str) -> None:
    data = picture(2, kind)
    packed = base64.b64encode(data).decode()
    url = {
        "base64": f"data:image/{kind.lower()};base64,{packed}",
        "broken into lines": f"DATA:image/jpeg;charset=x; BASE64,{packed[:40]}\n {packed[40:]}",
        "url-safe": f"data:;base64,{base64.urlsafe_b64encode(data).decode().rstrip('=')}",
        "percent": f"data:image/png,{quote_from_bytes(data)}",
    }[form]
    fetched = download.download(Hit(1, url), Transport(QUICK))
    assert fetched.data == data


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("data:image/png;base64", "without data"),
        ("data:image/png;base64,!!!", "broken base64"),
        ("data:image/svg+xml,%3Csvg xmlns='x'%3E%3C/svg%3E", "an SVG drawing"),
        ("data:text/html,<html>", "a web page"),
    ],
)
def test_a_bad_data_address_is_refused(url: str, message: str) -> None:
    with pytest.raises(DownloadError, match=message):
        download.download(Hit(1, url), Transport(QUICK))


# --- One picture a hit ---------------------------------------------------------------------------


def test_the_thumbnail_stands_in_only_where_the_picture_cannot_be_had(
    server: Server, transport: Transport
) -> None:
    server.answers |= {"/full": picture(1), "/small": picture(2), "/no": Reply(status=403)}
    both = download.download(Hit(1, server["/full"], server["/small"]), transport)
    assert (both.data, both.note) == (picture(1), "")
    assert server.paths() == ["/full"]
    small = download.download(Hit(1, server["/no"], server["/small"]), transport)
    assert (small.data, small.note) == (picture(2), "thumbnail: full picture HTTP 403")
    only = download.download(Hit(1, "", server["/small"]), transport)
    assert only.note == "thumbnail: the site shows no full picture"
    with pytest.raises(DownloadError, match="HTTP 403"):
        download.download(Hit(1, server["/no"], server["/missing"]), transport)
    with pytest.raises(DownloadError, match="no full picture"):
        download.download(Hit(1, ""), transport)
