"""Sites on loopback that behave as Google's and Naver's image searches do.

One server plays both; what it does next is its `play`, which a test sets.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image

THUMBNAIL = (120, 90)
LARGE = (480, 360)


@functools.cache
def picture(number: int, size: tuple[int, int] = LARGE) -> bytes:
    """A JPEG like no other number's."""
    blocks = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()


def data_url(number: int) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(picture(number, THUMBNAIL)).decode()


@dataclass
class Play:
    """What the site does.

    Attributes:
        results: how many there are; None: they never end.
        batch: how many come at once.
        data: thumbnails are data: URLs; else they are served.
        large: what becomes of the large picture of a number: served, refused (403), never.
        further: how a next batch is had: scroll, button.
        fails: what the request for the second batch meets: "", "429", "closed".
        repeats: after so many results the same pictures come again.
        kind: the page: results; consent, unknown_consent, endless_consent; captcha, solved (by
            hand after a while); sorry and wordless (429), broken and down (503), words (of a
            block), silent, closed; nothing (found); renamed (results), unpictured (results),
            panelless; blank_thumbnails, first_blank (thumbnails that never come); away (results
            link off the site), led_inside (a redirect to loopback), covered (the panel lies over
            the results until Escape), talking (an alert).
        named: the result's link names the large picture, as Google's does after a click.
    """

    results: int | None = 30
    batch: int = 10
    data: bool = True
    large: Callable[[int], str] = lambda number: "served"
    further: str = "scroll"
    fails: str = ""
    repeats: int | None = None
    kind: str = "results"
    named: bool = False
    agreed: bool = False
    addresses: list[str] = field(default_factory=list)

    def paths(self) -> list[str]:
        return [urlsplit(address).path for address in self.addresses]


PAGE = """<!doctype html><html lang="ko"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ margin: 0; font: 14px sans-serif }} #grid {{ margin-right: 420px }}
#grid > div {{ display: inline-block; width: 180px; height: 160px; vertical-align: top }}
#grid img {{ width: 160px; height: 120px; background: #ddd }}
#panel {{ position: fixed; right: 0; top: 0; width: 400px }} #panel img {{ width: 380px }}
</style></head><body><div id="grid"></div><div id="panel"></div><div id="end">&nbsp;</div>
<script>const play = {play};{script}</script></body></html>"""

SCRIPT = """
const DOT = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";
const grid = document.getElementById("grid"), panel = document.getElementById("panel");
const make = (tag, attributes, ...inside) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inside);
  return element;
};
// A thumbnail has its picture once it is on the screen, not before.
const lazy = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) {
    lazy.unobserve(entry.target);
    setTimeout(() => { entry.target.src = entry.target.later; }, 20);
  }
});
const google = play.site === "google";
const add = (row) => {
  const image = make("img", google ? { src: DOT, alt: row.title }
    : { src: DOT, class: play.renamed ? "_n" : "_fe_image_tab_content_thumbnail_image" });
  image.later = play.blank > grid.childElementCount ? DOT : row.thumbnail;
  const link = make("a", play.away ? { href: play.away } : {}, play.unpictured ? "?" : image);
  const result = google
    ? make("div", play.renamed ? { class: "x" } : { jsname: "dTDiAc", "data-lpage": row.page })
    : make("div", { class: play.renamed ? "x" : "tile_item _fe_image_tab_content_tile" });
  result.append(make("h3", {}, link));
  result.addEventListener("click", (event) => {
    if (!event.isTrusted) return;  // as the real ones
    if (play.named) link.href = "/imgres?" + new URLSearchParams(
      { imgurl: row.large, imgrefurl: row.page });
    event.preventDefault();
    open(row);
  });
  grid.append(result);
  lazy.observe(image);
};
const open = (row) => {
  if (play.panelless) return;
  let image;
  if (google) {  // a new container a click, the old ones stay, hidden
    for (const old of panel.children) old.style.display = "none";
    image = make("img", { src: row.thumbnail, jsname: "kn3ccd", class: "sFlh5c FyHeAf iPVvYb" });
    panel.append(make("div", { jsname: "figiqf" }, make("a", { href: row.page }, image)));
  } else {  // one viewer, its picture exchanged
    panel.replaceChildren(make("section", { class: "_fe_image_viewer_root" },
      make("a", { href: row.page }, "source"),
      make("img", { src: row.thumbnail, class: "_fe_image_viewer_image_fallback_target" })));
    image = panel.querySelector("img");
    image.onerror = () => { image.onerror = null; image.src = row.thumbnail; };
  }
  if (play.covered) {
    panel.style.cssText = "inset: 0; width: auto; background: #000c";
    addEventListener("keydown", (event) => {
      if (event.key === "Escape") panel.style.cssText = "";
    });
  }
  if (play.talking) setTimeout(() => alert("anything else?"), 10);
  if (row.large) setTimeout(() => { image.src = row.large; }, 60);
};
let count = 0, busy = false, over = false;
const further = async () => {
  if (busy || over) return;
  busy = true;
  try {
    const rows = await (await fetch("/more?from=" + count)).json();
    rows.forEach(add);
    count += rows.length;
    over = rows.length === 0;
    if (over) document.querySelector("#smb, .btn_more")?.remove();
  } catch { over = true; }
  busy = false;
  if (play.further === "scroll") { bottom.unobserve(end); bottom.observe(end); }
};
const end = document.getElementById("end");
const bottom = new IntersectionObserver((seen) => { if (seen[0].isIntersecting) further(); });
if (play.further === "scroll") bottom.observe(end);
else {
  end.append(google ? make("input", { id: "smb", type: "button", value: "결과 더보기" })
    : make("a", { class: "btn_more", href: "#" }, "더보기"));
  end.querySelector("input, a").addEventListener("click", further);
  further();
}
"""

CONSENT = """<!doctype html><title>Before you continue</title>
<form action="/save" method="post"><input type="hidden" name="{name}" value="false">
<button>Accept all</button></form>
<form action="/save" method="post"><input type="hidden" name="{name}" value="true">
<button>Reject all</button></form>"""
CAPTCHA = """<!doctype html><title>Sorry...</title>
<form id="captcha-form"><div class="g-recaptcha" id="captcha">I'm not a robot</div></form>"""
SOLVED = CAPTCHA + "<script>setTimeout(() => { location.href = '/solved'; }, 700);</script>"
FIXED = {
    "captcha": (200, CAPTCHA),
    "sorry": (429, "<title>429 Too Many Requests</title><p>slow down"),
    "words": (200, "<title>네이버</title><p>비정상적인 검색이 감지되었습니다. unusual traffic."),
    "nothing": (
        200,
        "<title>zzz</title><div class='api_noresult_wrap'>검색결과가 없습니다.</div>"
        "<p>Your search did not match any image results.",
    ),
    "broken": (503, "<title>Service Unavailable</title><p>later"),
    "wordless": (429, ""),
    "down": (503, ""),
}


class Site:
    """The running server: its address, its `play`, and what was asked of it."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.root = f"http://127.0.0.1:{server.server_address[1]}"
        self.play = Play()

    def address(self, name: str) -> str:
        return self.root + {"google": "/search", "naver": "/search.naver"}[name]

    def large(self, number: int) -> str:
        return f"{self.root}/large/{number}.jpg"

    def thumbnail(self, number: int) -> str:
        return data_url(number) if self.play.data else f"{self.root}/thumbnail/{number}.jpg"

    def page(self, number: int) -> str:
        return f"{self.root}/article/{number}"

    def rows(self, start: int) -> list[dict[str, str]]:
        play = self.play
        most = play.results if play.results is not None else 10**9
        numbers = range(start, min(start + play.batch, most))
        if play.repeats is not None:
            numbers = [number % play.repeats for number in numbers]  # type: ignore[assignment]
        return [
            {
                "title": f"장원영 {number}",
                "thumbnail": self.thumbnail(number),
                "page": self.page(number),
                "large": "" if play.large(number) == "never" else self.large(number),
            }
            for number in numbers
        ]


class _Handler(BaseHTTPRequestHandler):
    site: Site
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        play = self.site.play
        play.addresses.append(self.path)
        parts = urlsplit(self.path)
        if parts.path in ("/search", "/search.naver"):
            self.search("google" if parts.path == "/search" else "naver")
        elif parts.path == "/solved":
            play.kind = "results"
            self.redirect()
        elif parts.path == "/more":
            self.more(int(parse_qs(parts.query)["from"][0]))
        elif parts.path.startswith(("/thumbnail/", "/large/")):
            self.picture(*parts.path.removesuffix(".jpg").split("/")[1:])
        else:
            self.answer(200, "text/html", b"<title>elsewhere</title>")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.site.play.addresses.append(f"{self.path}?{body}")
        self.site.play.agreed = self.site.play.kind != "endless_consent"
        self.redirect()

    def search(self, name: str) -> None:
        play = self.site.play
        if play.kind == "silent":
            time.sleep(3)
        if play.kind == "led_inside" and not self.path.startswith(self.site.root):
            self.send_response(302)
            self.send_header("Location", f"{self.site.root}/inside")
            self.end_headers()
        elif play.kind in ("silent", "closed"):
            self.close_connection = True
        elif play.kind.endswith("consent") and not play.agreed:
            field_name = "other" if play.kind == "unknown_consent" else "set_eom"
            self.answer(200, "text/html", CONSENT.format(name=field_name).encode())
        elif play.kind == "solved":
            self.answer(200, "text/html", SOLVED.encode())
        elif play.kind in FIXED:
            status, text = FIXED[play.kind]
            self.answer(status, "text/html; charset=utf-8", text.encode())
        else:
            told = {
                "site": name,
                "further": play.further,
                "named": play.named,
                "renamed": play.kind == "renamed",
                "unpictured": play.kind == "unpictured",
                "blank": {"blank_thumbnails": 1000, "first_blank": 1}.get(play.kind, 0),
                "panelless": play.kind == "panelless",
                "covered": play.kind == "covered",
                "talking": play.kind == "talking",
                "away": self.site.root.replace("127.0.0.1", "localhost") + "/away"
                if play.kind == "away"
                else "",
            }
            page = PAGE.format(title="장원영 - 검색", play=json.dumps(told), script=SCRIPT)
            self.answer(200, "text/html; charset=utf-8", page.encode())

    def more(self, start: int) -> None:
        if start and self.site.play.fails == "closed":
            self.close_connection = True
        elif start and self.site.play.fails == "429":
            self.answer(429, "text/plain", b"")
        else:
            body = json.dumps(self.site.rows(start)).encode()
            self.answer(200, "application/json", body)

    def picture(self, kind: str, number: str) -> None:
        if kind == "large" and self.site.play.large(int(number)) == "refused":
            self.answer(403, "text/html", b"no")
        else:
            size = LARGE if kind == "large" else THUMBNAIL
            self.answer(200, "image/jpeg", picture(int(number), size))

    def redirect(self) -> None:
        referer = self.headers.get("Referer", "")
        self.send_response(303)
        self.send_header("Location", referer or "/search?q=x")
        self.end_headers()

    def answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Site]:
    """A server of its own on a free port of loopback."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    handler.site = Site(server)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield handler.site  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
