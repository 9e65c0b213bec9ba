"""The review page in a real browser, and its server against what should not reach it."""

from __future__ import annotations

import errno
import http.client
import http.server
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image
from support import browser, processes
from support.pictures import blocks
from support.reported import HANGUL, HOSTILE, LONG
from support.repository import REPOSITORY
from support.suspects import suspect_files

from bench.workspace import set_params
from whoswho import paths
from whoswho.artifacts import decisions
from whoswho.artifacts.decisions import KEPT, Decision
from whoswho.artifacts.model.settings import Face
from whoswho.artifacts.suspects import TABLE, TOO_LOW
from whoswho.dataset import review
from whoswho.errors import UserError
from whoswho.reviewing import gallery, page, server, thumbnail_cache

HEADER = ",".join(review.COLUMNS) + "\n"
HOSTILE_FILE = "<img src=x onerror=alert(1)>.jpg"
IRISH = "O'Neil"
# A folder cannot be called so.
LABELS = [label for label in HOSTILE if "/" not in label]


# --- A set and its server ------------------------------------------------------------------------


def put(workspace: Path, file: str, content: bytes | Image.Image, **cells: Any) -> Decision:
    """Write a file of the set and decide about it."""
    path = workspace / paths.DATA / file
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Image.Image):
        content.save(path, quality=90)
        size = {"width": content.width, "height": content.height}
    else:
        path.write_bytes(content)
        size = {}
    label = cells.pop("label", file.split("/")[0])
    return Decision(file, label, sha256=paths.sha256(path), **(size | cells))


def finish(workspace: Path, table: list[Decision]) -> None:
    """Write the tables, as `dvc repro` leaves them, and an empty review.csv."""
    (workspace / "dvc.yaml").touch()
    decisions.write_decisions(workspace / paths.CLEAN, sorted(table, key=lambda row: row.file))
    (workspace / paths.REVIEW).write_text(HEADER, encoding="utf-8")


def build(workspace: Path) -> None:
    """Every section, every odd kind: look at the names."""
    table = [
        put(workspace, f"{HANGUL}/best.jpg", blocks(1), decision=KEPT),
        put(workspace, f"{HANGUL}/copy.jpg", blocks(1, (200, 150)), reasons=["near_duplicate"],
            scores={"near_duplicate": 0.991}, duplicate_of=f"{HANGUL}/best.jpg"),
        put(workspace, f"{HANGUL}/nobody.jpg", blocks(2), reasons=["no_face"],
            scores={"no_face": 0.0}),
        put(workspace, f"{HANGUL}/tiny.jpg", blocks(3, (60, 40)), reasons=["too_small", "no_face"],
            scores={"too_small": 40, "no_face": 0.25}),
        put(workspace, f"{IRISH}/nobody.jpg", blocks(4), reasons=["no_face"],
            scores={"no_face": 0.0}),
        put(workspace, f"{IRISH}/cut.jpg", b"\xff\xd8\xff cut", reasons=["truncated"],
            detail="JPEG data ends early (7 bytes)"),
        put(workspace, f"{IRISH}/same_1.png", blocks(5), decision=KEPT),
        put(workspace, f"{IRISH}/same_2.png", blocks(5), reasons=["duplicate"],
            duplicate_of=f"{IRISH}/same_1.png"),
        put(workspace, f"{IRISH}/looks_wrong.jpg", blocks(6), decision=KEPT,
            faces=1, main_face=Face(100, 50, 200, 180, 0.99)),
        put(workspace, f"{IRISH}/looks_wrong_too.jpg", blocks(7), decision=KEPT),
        put(workspace, f"A (actor)/{HOSTILE_FILE}", blocks(8), decision=KEPT),
        put(workspace, "loose.jpg", blocks(9), label="", reasons=["no_label"]),
        Decision(f"{IRISH}/leads_out.jpg", IRISH, reasons=["unreadable"],
                 detail="a link that leads out of data/ or to no file; not followed"),
    ]  # fmt: skip
    table += [
        put(workspace, f"{label}/google_0001.jpg", blocks(20 + number), decision=KEPT)
        for number, label in enumerate(LABELS)
    ]
    hashes = {row.file: row.sha256 for row in table}
    suspects = [
        {"file": f"{IRISH}/looks_wrong_too.jpg", "split": "train", "suggested": "007"},
        {"file": f"{IRISH}/looks_wrong.jpg", "split": "test", "suggested": HANGUL},
    ]
    for cells in suspects:
        cells |= {"label": IRISH, "sha256": hashes[cells["file"]]}
    suspect_files(workspace, *suspects)
    finish(workspace, table)


class Site:
    """A workspace and its server on a free port."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.page = page.Page(workspace)
        self.server = server.listen(self.page, "127.0.0.1", 0)
        self.port = self.server.port
        self.address = f"http://127.0.0.1:{self.port}/"

    @property
    def rows(self) -> list[review.Review]:
        return review.read(self.workspace / paths.REVIEW)

    def reviews(self) -> list[tuple[str, str, str, str]]:
        """(file, decision, other label, why) of every row."""
        shown = self.page.shown.gallery.by_key
        return [
            (shown[row.sha256, row.label].file, row.decision, row.other_label, row.why)
            for row in self.rows
        ]

    def sha256(self, file: str) -> str:
        return next(
            picture.sha256 for picture in self.page.shown.gallery.pictures if picture.file == file
        )

    def ask(
        self, path: str, method: str = "GET", body: bytes = b"", **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """A raw request: the path goes out as it is given."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        given = {"Host": f"127.0.0.1:{self.port}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        if body:
            given["Content-Length"] = str(len(body))
        for name, value in given.items():
            if value:
                connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        reply = answer.status, answer.read(), dict(answer.getheaders())
        connection.close()
        return reply

    def decide(self, file: str, decision: str, **headers: str) -> tuple[int, dict[str, Any]]:
        """A decision as the page sends it, but for what `headers` changes; what became of it."""
        label = file.split("/")[0]
        row = {"decision": decision, "other_label": "", "why": "", "when": None}
        change = {"sha256": self.sha256(file), "label": label, "decision": row, "seen": None}
        request = {"cleaned": self.page.shown.gallery.cleaned, "changes": [change]}
        own = {
            "Content_Type": "application/json", "X_Whoswho_Token": self.page.token,
            "Origin": f"http://127.0.0.1:{self.port}", "Sec_Fetch_Site": "same-origin",
        }  # fmt: skip
        status, body, _ = self.ask(
            "/decisions", "POST", json.dumps(request).encode(), **(own | headers)
        )
        answer = json.loads(body)
        return status, answer["outcomes"][0] if status == 200 else answer


@contextmanager
def serving(workspace: Path) -> Iterator[Site]:
    site = Site(workspace)
    thread = threading.Thread(target=site.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.server.shutdown()
        site.server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    workspace = tmp_path_factory.mktemp("review 새 폴더")
    build(workspace)
    with serving(workspace) as site:
        yield site


@pytest.fixture
def site(running: Site) -> Site:
    """The one server, with nothing decided."""
    (running.workspace / paths.REVIEW).write_text(HEADER, encoding="utf-8")
    return running


# --- A tab ---------------------------------------------------------------------------------------


def settled(get: Callable[[], Any], expected: Any, seconds: float = 20) -> None:
    """Wait until `get` gives what is expected; fail with what it gives instead."""
    end = time.monotonic() + seconds
    while (actual := get()) != expected and time.monotonic() < end:
        time.sleep(0.05)
    assert actual == expected


class Tab:
    """What a person does on the page and sees there."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver = driver
        self.address = address

    def open(self) -> Tab:
        self.driver.get(self.address)
        settled(lambda: len(self.all(".card.current")), 1)
        return self

    def all(self, selector: str) -> list[str]:
        texts: list[str] = self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector
        )
        return texts

    def shown(self, selector: str) -> list[str]:
        """Texts of the elements that are not hidden."""
        texts: list[str] = self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])]"
            ".filter(e => !e.closest('[hidden]')).map(e => e.textContent)",
            selector,
        )
        return texts

    def keys(self, *keys: str) -> None:
        from selenium.webdriver import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    @property
    def current(self) -> str:
        """File of the current card, and its decision."""
        (name,) = self.all(".card.current .file")
        (state,) = self.all(".card.current .turn")
        return f"{name.split(',')[0]} {state}"

    @property
    def counts(self) -> str:
        return self.all("#counts")[0]

    @property
    def message(self) -> str:
        return self.all("#said")[0]

    def go(self, file: str) -> None:
        """Make a picture the current one, as a click on it does."""
        self.driver.execute_script(
            "const card = [...document.querySelectorAll('.card')].find(c =>"
            " c.querySelector('.file').textContent.startsWith(arguments[1]) &&"
            " c.querySelector('.label').textContent === arguments[0]);"
            "card.scrollIntoView(); card.querySelector('.text').click()",
            *file.split("/", 1),
        )
        assert self.current.startswith(file.split("/", 1)[1])

    def choose(self, name: str, value: str) -> None:
        """Set a filter."""
        self.driver.execute_script(
            "const field = document.getElementById('filters').elements[arguments[0]];"
            "if (field.type === 'checkbox') field.checked = !!arguments[1];"
            "else field.value = arguments[1];"
            "field.dispatchEvent(new Event('input', {bubbles: true}))",
            name,
            value,
        )


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with browser.chromium() as opened:
        yield opened


@pytest.fixture
def tab(site: Site, driver: Any) -> Tab:
    driver.get("about:blank")
    browser.requests(driver)
    driver.get_log("browser")
    driver.get(site.address)
    driver.execute_script("sessionStorage.clear()")
    return Tab(driver, site.address).open()


# --- What is shown -------------------------------------------------------------------------------


def test_dropped_by_reason_then_suspects_then_kept(tab: Tab) -> None:
    assert tab.shown("h2 .name") == ["Dropped", "Suspects", "Kept"]
    assert tab.shown("h2 .n") == ["8", "2", str(len(LABELS) + 3)]
    assert tab.shown("h3 .name") == [
        "no_face", "duplicate", "near_duplicate", "no_label", "too_small", "truncated",
        "unreadable",
    ]  # fmt: skip
    assert tab.shown("h3 .n")[:2] == ["2", "1"]
    assert "no face was found" in tab.shown("h3 .says")
    names = [text.split(",")[0] for text in tab.all("#suspects .file")]
    assert names == ["looks_wrong_too.jpg", "looks_wrong.jpg"]


def test_a_picture_stands_beside_its_twin_with_its_measure(tab: Tab, driver: Any) -> None:
    tab.go(f"{HANGUL}/copy.jpg")
    assert tab.all(".current figcaption") == ["this one: dropped", "best.jpg, 320×240: kept"]
    assert tab.all(".current .measures li") == ["near_duplicate: correlation 0.991"]
    boxes = driver.execute_script(
        "return [...document.querySelectorAll('.current .shot')]"
        ".map(f => f.getBoundingClientRect()).map(b => [b.top, b.left])"
    )
    assert boxes[0][0] == boxes[1][0]
    assert boxes[0][1] < boxes[1][1]
    settled(
        lambda: driver.execute_script(
            "return [...document.querySelectorAll('.current img')].map(i => i.naturalWidth)"
        ),
        [200, 320],
    )


def test_two_reasons_are_shown_each_with_its_measure(tab: Tab) -> None:
    tab.go(f"{HANGUL}/tiny.jpg")
    assert tab.all(".current .measures li") == [
        "too_small: 60x40 pixels, below clean.min_side",
        "no_face: the likeliest has probability 0.25",
    ]


def test_a_suspect_says_why_and_a_test_picture_warns(tab: Tab) -> None:
    tab.go(f"{IRISH}/looks_wrong.jpg")
    assert tab.all(".current .suspect > p")[0] == f"Looks like {HANGUL} 0.80, own label 0.10"
    assert tab.all(".current .split") == ["test"]
    (warning,) = tab.shown(".current .warning")
    assert "A test picture" in warning
    assert "flatters" in warning
    tab.go(f"{IRISH}/looks_wrong_too.jpg")
    assert tab.all(".current .split") == ["train"]
    assert tab.shown(".current .warning") == []


def test_the_face_is_boxed_on_demand(tab: Tab, driver: Any) -> None:
    tab.go(f"{IRISH}/looks_wrong.jpg")
    box = "return document.querySelector('.current svg rect').getBoundingClientRect().width"
    assert driver.execute_script(box) == 0
    tab.keys("f")
    assert driver.execute_script(box) > 50
    tab.keys("f")
    assert driver.execute_script(box) == 0


def test_every_picture_loads_and_the_others_say_why_not(tab: Tab, driver: Any) -> None:
    wide = driver.execute_async_script(
        "const done = arguments[0]; const all = [...document.images];"
        "all.forEach(i => { i.loading = 'eager'; });"
        "Promise.all(all.map(i => i.decode())).then(() => done(all.map(i => i.naturalWidth)),"
        " e => done(String(e)))"
    )
    # and two twins, and both people beside each of two suspects
    assert len(wide) == len(LABELS) + 11 + 2 + 4
    assert set(tab.all(".frame span")) == {"no picture to show"}
    for file, why in (
        (f"{IRISH}/cut.jpg", "it cannot be opened as a picture"),
        (f"{IRISH}/leads_out.jpg", "its bytes cannot be read"),
        ("(no label)/loose.jpg", "it lies in no label's folder; move it into one"),
        (f"{IRISH}/same_2.png", f"the same file as {IRISH}/same_1.png"),
    ):
        tab.go(file)
        assert why in tab.shown(".current .fixed")[0]
        before = tab.current
        tab.keys(" ")
        settled(lambda why=why: why in tab.message, True)
        assert tab.current == before


@pytest.fixture
def people(tmp_path: Path) -> Iterator[Site]:
    """Two labels: a swapped picture, several faces, a film of two frames, six without a face."""
    faces = [Face(300, 100, 900, 900, 0.99), Face(1500, 200, 1900, 700, 0.98),
             Face(2000, 1500, 2200, 1800, 0.9)]  # fmt: skip
    frames = [blocks(30, (64, 48)), blocks(31, (64, 48))]
    film = io.BytesIO()
    frames[0].save(film, "GIF", save_all=True, append_images=frames[1:])
    face = Face(5, 5, 60, 70, 0.99)
    table = [
        put(tmp_path, "a/crowd.jpg", blocks(1, (3000, 2000)), reasons=["several_faces"], faces=2,
            scores={"several_faces": 0.625}, main_face=faces[0], other_faces=faces[1:]),
        put(tmp_path, "a/film.gif", film.getvalue(), reasons=["animated"],
            detail="GIF with 2 frames"),
        put(tmp_path, "a/other.jpg", blocks(2), reasons=["swapped"], scores={"swapped": 0.3},
            other_label="b", faces=1, main_face=face),
        put(tmp_path, "a/both.jpg", blocks(6), reasons=["cross_label"], other_label="b",
            scores={"cross_label": 0.99}, duplicate_of="b/both.jpg"),
        put(tmp_path, "b/both.jpg", blocks(6, (160, 120)), reasons=["cross_label"],
            scores={"cross_label": 0.99}, other_label="a", duplicate_of="a/both.jpg"),
        put(tmp_path, "a/kept.jpg", blocks(3), decision=KEPT),
        put(tmp_path, "a/kept_face.jpg", blocks(4), decision=KEPT, faces=1, main_face=face,
            other_faces=[Face(70, 5, 100, 60, 0.99)], scores={"several_faces": 0.0}),
        put(tmp_path, "b/kept_face.jpg", blocks(5), decision=KEPT, faces=1, main_face=face),
        *(put(tmp_path, f"a/nobody_{n}.jpg", blocks(10 + n), reasons=["no_face"],
              scores={"no_face": 0.0}) for n in range(5)),
        put(tmp_path, "b/nobody.jpg", blocks(20), reasons=["no_face"], scores={"no_face": 0.0}),
    ]  # fmt: skip
    finish(tmp_path, table)
    with serving(tmp_path) as site:
        yield site


def test_a_key_and_a_click_show_the_whole_picture(people: Site, driver: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    width = "return document.querySelector('#zoom-dialog[open] img')?.naturalWidth"
    tab = Tab(driver, people.address).open()
    tab.go("a/crowd.jpg")
    tab.keys("z")
    settled(lambda: driver.execute_script(width), thumbnail_cache.LARGE_SIDE)
    box = driver.execute_script(
        "const b = document.querySelector('#zoom-dialog img').getBoundingClientRect();"
        "return [b.left, b.top, innerWidth - b.right, innerHeight - b.bottom]"
    )
    assert min(box) >= 0
    tab.keys("k", "j", "j", "j", Keys.ESCAPE)  # walks on, the picture with it
    assert tab.all("#zoom-dialog[open]") == []
    assert not tab.current.startswith("crowd")
    tab.go("a/other.jpg")
    driver.execute_script("document.querySelectorAll('.current .frame')[2].click()")
    settled(lambda: tab.all("#zoom-dialog[open] bdi"), ["b / kept_face.jpg"])
    settled(lambda: driver.execute_script(width), 320)
    tab.keys("z")
    settled(lambda: tab.all("#zoom-dialog[open]"), [])
    assert people.rows == []
    assert people.ask(f"/picture/{'0' * 64}")[0] == 404


def test_all_faces_are_boxed_and_the_second_is_named(people: Site, driver: Any) -> None:
    tab = Tab(driver, people.address).open()
    tab.go("a/crowd.jpg")
    tab.keys("f")
    boxes = driver.execute_script(
        "const frame = document.querySelector('.current .frame').getBoundingClientRect();"
        "return [...document.querySelectorAll('.current svg rect')].map(r =>"
        " r.getBoundingClientRect()).map(b => [b.left >= frame.left, b.bottom <= frame.bottom,"
        " b.width > 10])"
    )
    assert boxes == [[True, True, True]] * 3
    assert tab.shown(".current svg text") == ["second face"]
    tab.keys("f")  # the boxes of a group need no key
    assert tab.shown(".current svg text") == ["second face"]
    tab.keys("f")
    tab.go("a/kept_face.jpg")
    assert len(tab.all(".current svg rect")) == 2
    assert tab.all(".current svg text") == []  # the other is blurred and counts for nothing
    tab.keys("f")
    assert not driver.find_element("css selector", ".current svg").is_displayed()
    tab.go("a/crowd.jpg")
    assert "the second 0.62 of the main one's height" in tab.all(".current .measures li")[0]


def test_a_swap_is_decided_beside_both_people(people: Site, driver: Any) -> None:
    tab = Tab(driver, people.address).open()
    tab.go("a/other.jpg")
    assert tab.all(".current figcaption") == ["this one: dropped", "kept of a", "kept of b"]
    sources = (
        "return [...document.querySelectorAll('.current img')].map(i => i.src.split('/').pop())"
    )
    files = ("a/other.jpg", "a/kept_face.jpg", "b/kept_face.jpg")
    assert driver.execute_script(sources) == [people.sha256(file) for file in files]
    tab.keys("s")
    settled(lambda: people.reviews(), [("a/other.jpg", "keep", "b", "")])
    tab.keys("u")
    settled(lambda: people.reviews(), [])
    driver.execute_script("document.querySelector('.current .confirm').click()")  # a is right
    settled(lambda: people.reviews(), [("a/other.jpg", "keep", "", "")])
    settled(lambda: tab.all(".current figcaption")[0], "this one: kept")


def test_one_photograph_under_two_labels_is_decided_beside_both_people(
    people: Site, driver: Any
) -> None:
    tab = Tab(driver, people.address).open()
    tab.go("a/both.jpg")
    assert tab.all(".current figcaption") == [
        "this one: dropped", "b / both.jpg, 160×120: dropped", "kept of a", "kept of b",
    ]  # fmt: skip
    assert tab.all(".current .suspect > p")[0].strip() == "Lies under another label too: b"
    driver.execute_script("document.querySelector('.current .confirm').click()")
    settled(lambda: people.reviews(), [("a/both.jpg", "keep", "", "")])


def test_an_animated_picture_shows_its_first_frame(people: Site, driver: Any) -> None:
    tab = Tab(driver, people.address).open()
    tab.go("a/film.gif")
    width = "return document.querySelector('.current img')?.naturalWidth"
    settled(lambda: driver.execute_script(width), 64)
    content = people.ask(f"/thumbnail/{people.sha256('a/film.gif')}")[1]
    with Image.open(io.BytesIO(content)) as image:
        assert image.convert("RGB").getpixel((2, 2)) == pytest.approx(
            blocks(30, (64, 48)).getpixel((2, 2)), abs=40
        )
    tab.keys(" ")
    settled(lambda: "cannot be opened as a picture" in tab.message, True)


def test_all_like_this_are_one_decision_and_one_undo(people: Site, driver: Any) -> None:
    tab = Tab(driver, people.address).open()
    tab.go("a/nobody_1.jpg")
    tab.keys("a")
    assert "5 chosen" in tab.counts
    assert len(tab.all(".card.chosen")) == 5
    tab.keys(" ")
    expected = [(f"a/nobody_{n}.jpg", "keep", "", "") for n in range(5)]
    settled(lambda: sorted(people.reviews()), expected)
    settled(lambda: "5 of 5 pictures decided" in tab.message, True)
    assert "5 decided by you · 5 wait" in tab.counts
    tab.keys("u")
    settled(lambda: people.reviews(), [])
    assert (people.workspace / paths.REVIEW).read_text(encoding="utf-8") == HEADER
    settled(lambda: "· 0 decided by you" in tab.counts, True)  # the page has heard of it
    tab.go("b/nobody.jpg")
    assert "chosen" not in tab.counts
    tab.keys(" ")
    settled(lambda: people.reviews(), [("b/nobody.jpg", "keep", "", "")])


def test_shift_and_click_choose_a_range(people: Site, driver: Any) -> None:
    from selenium.webdriver.common.keys import Keys

    click = (
        "const card = [...document.querySelectorAll('.card')].find(c =>"
        " c.querySelector('.file').textContent.startsWith(arguments[0]));"
        "card.querySelector('.frame').dispatchEvent("
        "new MouseEvent('click', {bubbles: true, shiftKey: true}))"
    )
    tab = Tab(driver, people.address).open()
    tab.choose("reason", "no_face")
    tab.go("a/nobody_3.jpg")
    driver.execute_script(click, "nobody_1.jpg")
    assert tab.all("#zoom-dialog[open]") == []
    assert "3 chosen" in tab.counts
    tab.keys(Keys.ESCAPE)
    assert "chosen" not in tab.counts
    driver.execute_script(click, "nobody_1.jpg")
    tab.keys("w")
    tab.keys("no face, but her", Keys.ENTER)
    settled(lambda: len(people.rows), 3)
    assert {row.why for row in people.rows} == {"no face, but her"}
    tab.choose("reason", "")
    assert "chosen" not in tab.counts


def test_of_many_each_is_taken_or_left_for_itself(people: Site, driver: Any) -> None:
    tab = Tab(driver, people.address).open()
    by_another = review.Change(review.ReviewDecision("drop", "", "by another"), None)
    picture = people.sha256("a/nobody_0.jpg"), "a"
    review.record(people.workspace / paths.REVIEW, {picture: by_another})
    (people.workspace / "data" / "a" / "nobody_4.jpg").unlink()
    tab.go("a/nobody_1.jpg")
    tab.keys("a", " ")
    settled(lambda: "3 of 5 pictures decided" in tab.message, True)
    assert "1 decided elsewhere" in tab.message
    assert "1 refused: data/a/nobody_4.jpg is gone" in tab.message
    taken = [(f"a/nobody_{n}.jpg", "keep", "", "") for n in (1, 2, 3)]
    assert sorted(people.reviews()) == [("a/nobody_0.jpg", "drop", "", "by another"), *taken]
    tab.keys("u")
    settled(lambda: people.reviews(), [("a/nobody_0.jpg", "drop", "", "by another")])


@pytest.mark.parametrize(
    "body",
    [
        [], {"cleaned": "x"}, {"cleaned": "x", "changes": {}}, {"cleaned": 1, "changes": []},
        {"cleaned": "x", "changes": [{}]}, {"cleaned": "x", "changes": [["sha256", "label"]]},
    ],
)  # fmt: skip
def test_decisions_that_mean_nothing_are_refused(site: Site, body: object) -> None:
    status, answer, _ = site.ask(
        "/decisions", "POST", json.dumps(body).encode(),
        Content_Type="application/json", X_Whoswho_Token=site.page.token,
    )  # fmt: skip
    assert status == 400
    assert json.loads(answer)["error"]
    assert site.ask("/decisions", "POST", json.dumps(body).encode())[0] == 403


def test_a_thumbnail_is_upright_small_and_not_written_to_disk(site: Site, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    target = io.BytesIO()
    blocks(99, (1200, 800)).save(target, "JPEG", exif=exif)
    data = tmp_path / "data"
    data.mkdir()
    (data / "x.jpg").write_bytes(target.getvalue())
    content = thumbnail_cache.jpeg(data / "x.jpg", paths.sha256(data / "x.jpg"), data)
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (320, thumbnail_cache.SIDE)
    site.ask(f"/thumbnail/{site.sha256(f'{HANGUL}/best.jpg')}")
    beside = {path.name for path in (site.workspace / ".whoswho").rglob("*")}
    assert beside <= {"review.lock"}


@pytest.mark.parametrize("name", ["hopper.heif", "hopper_orientation_6.jpg", "hopper.Lab.tif"])
def test_any_kind_of_picture_has_a_thumbnail(cases: Path, name: str) -> None:
    path = cases / "awkward" / name
    content = thumbnail_cache.jpeg(path, paths.sha256(path), path.parent)
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "JPEG"
        assert max(image.size) <= thumbnail_cache.SIDE


def test_a_suspect_that_suggests_a_label_that_is_gone_is_of_an_earlier_run(tmp_path: Path) -> None:
    build(tmp_path)

    def suggested() -> list[str]:
        return [p.suggested for p in gallery.load(tmp_path).pictures if p.suspect]

    assert suggested() == ["007", HANGUL]
    table = tmp_path / TABLE
    table.write_text(table.read_text("utf-8").replace(HANGUL, "\u202egone"), "utf-8")
    assert suggested() == ["007"]


def test_no_suspects_yet_is_said(tmp_path: Path) -> None:
    table = [put(tmp_path, f"{label}/1.jpg", blocks(1), decision=KEPT) for label in "ab"]
    finish(tmp_path, table)
    assert "come with the stage suspects" in gallery.load(tmp_path).no_suspects
    suspect_files(tmp_path)
    assert gallery.load(tmp_path).no_suspects == "No label looks wrong."
    suspect_files(tmp_path, none_because=TOO_LOW, accuracy=0.25, chance=0.3, needed=0.65)
    none_listed = gallery.load(tmp_path).no_suspects
    assert none_listed.startswith("None listed: out-of-fold accuracy 0.250")
    assert "chance 0.300) of the backbone's features is too low to judge labels by" in none_listed
    assert none_listed.endswith("below 0.650 most of a list lies under its right label.")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            gallery.DECISIONS,
            ",100,50,",
            ",hundred,50,",
            "looks_wrong.jpg was changed by hand",
        ),
        (TABLE, ",2\n", ",second\n", "not as this version writes it .*'second'"),
    ],
)
def test_a_table_changed_by_hand_is_said(
    tmp_path: Path, name: Path, old: str, new: str, message: str
) -> None:
    build(tmp_path)
    table = (tmp_path / name).read_text(encoding="utf-8")
    assert old in table
    (tmp_path / name).write_text(table.replace(old, new), encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        gallery.load(tmp_path)
    assert "run `dvc repro`" in str(caught.value)


def test_what_the_checks_alone_would_say_of_a_reviewed_picture(tmp_path: Path) -> None:
    rows = {
        "kept though bad": Decision("a/1.jpg", "a", decision=KEPT, reviewed="keep",
                                    overruled=["no_face", "duplicate"], scores={"no_face": 0.5}),
        "kept and good": Decision("a/2.jpg", "a", decision=KEPT, reviewed="keep"),
        "dropped though good": Decision("a/3.jpg", "a", reasons=["review"], reviewed="drop",
                                        review_why="blurred"),
        "dropped and bad": Decision("a/4.jpg", "a", reasons=["blank", "review"],
                                    reviewed="drop", scores={"blank": 0.0}, review_why="x"),
        "moved": Decision("a/5.jpg", "b", decision=KEPT, reviewed="keep"),
        "in a split": Decision("test/c/6.jpg", "c", split="test", decision=KEPT),
    }  # fmt: skip
    finish(tmp_path, list(rows.values()))
    pictures = {picture.file: picture for picture in gallery.load(tmp_path).pictures}
    by_name = {name: pictures[row.file] for name, row in rows.items()}
    assert [picture.checked for picture in by_name.values()] == [
        "drop", "keep", "keep", "drop", "keep", "keep",
    ]  # fmt: skip
    assert by_name["kept though bad"].measures == [
        ("no_face", "the likeliest has probability 0.50"), ("duplicate", ""),
    ]  # fmt: skip
    assert by_name["dropped and bad"].measures == [
        ("blank", "deviation 0.00, below clean.min_contrast"),
        ("review", "x"),
    ]
    assert (by_name["moved"].label, by_name["moved"].decision.label) == ("a", "b")
    assert (by_name["in a split"].label, by_name["in a split"].split) == ("c", "test")


# --- Names ---------------------------------------------------------------------------------------


def test_no_name_becomes_markup(tab: Tab, driver: Any) -> None:
    counts = driver.execute_script(
        "return [document.scripts.length,"
        " document.querySelectorAll('[onerror], [onclick]').length]"
    )
    assert counts == [1, 0]
    assert f"{HOSTILE_FILE}, 320×240" in tab.all(".file")
    assert set(tab.all("#filters [name=label] option")) == {
        "all", *(label.replace("\ue000", "U+E000") for label in LABELS),
    }  # fmt: skip
    assert driver.get_log("browser") == []


def test_it_brings_the_letters_a_machine_may_lack(tab: Tab, driver: Any) -> None:
    settled(lambda: driver.execute_script("return document.fonts.size > 2"), True)
    driver.execute_async_script("document.fonts.ready.then(arguments[0])")
    driver.execute_cdp_cmd("DOM.enable", {})
    driver.execute_cdp_cmd("CSS.enable", {})
    root = driver.execute_cdp_cmd("DOM.getDocument", {})["root"]["nodeId"]
    for label in (HANGUL, "Кириллица", "かな", "مرحبا"):
        tab.go(f"{label}/google_0001.jpg")
        node = driver.execute_cdp_cmd(
            "DOM.querySelector", {"nodeId": root, "selector": ".current .label"}
        )["nodeId"]
        used = driver.execute_cdp_cmd("CSS.getPlatformFontsForNode", {"nodeId": node})
        assert used["fonts"], label
        assert all(font["isCustomFont"] for font in used["fonts"]), label


def test_nothing_is_asked_of_anybody_else(tab: Tab, site: Site, driver: Any) -> None:
    addresses = [address for address in browser.requests(driver) if address != "about:blank"]
    assert addresses
    assert all(address.startswith(site.address) for address in addresses)
    assert all(site.page.token not in address for address in addresses)


def test_a_phone_need_not_scroll_sideways(site: Site) -> None:
    assert LONG in LABELS
    with browser.chromium(400, 800) as phone:
        Tab(phone, site.address).open()
        assert phone.execute_script("return document.documentElement.scrollWidth") <= 400


# --- Deciding ------------------------------------------------------------------------------------


def test_keys_walk_turn_and_take_back(tab: Tab, site: Site, driver: Any) -> None:
    assert tab.current == "nobody.jpg dropped"
    tab.keys("j")
    assert tab.all(".current .label") == [HANGUL]
    tab.keys("k", "k")  # there is nothing before the first
    assert tab.all(".current .label") == [IRISH]
    tab.keys(" ")
    settled(lambda: tab.current, "nobody.jpg kept")
    (row,) = site.rows
    assert (row.sha256, row.label) == (site.sha256(f"{IRISH}/nobody.jpg"), IRISH)
    assert (row.decision, row.other_label, row.why) == ("keep", "", "")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", row.when)
    assert tab.all(".current .by") == ["by you, waits"]
    assert "1 decided by you · 1 waits for dvc repro" in tab.counts
    tab.keys("j", " ", "u")
    settled(lambda: site.reviews(), [(f"{IRISH}/nobody.jpg", "keep", "", "")])
    tab.keys("u")
    settled(lambda: site.reviews(), [])
    settled(lambda: tab.current, "nobody.jpg dropped")
    assert (site.workspace / paths.REVIEW).read_text(encoding="utf-8") == HEADER
    tab.keys("u")
    settled(lambda: tab.message, "Nothing to undo.")
    assert driver.get_log("browser") == []


def test_turning_back_to_what_the_checks_say_leaves_no_row(tab: Tab, site: Site) -> None:
    tab.keys(" ", " ")
    settled(lambda: (tab.current, site.reviews()), ("nobody.jpg dropped", []))
    tab.go(f"{IRISH}/same_1.png")
    tab.keys(" ")
    settled(lambda: site.reviews(), [(f"{IRISH}/same_1.png", "drop", "", "")])
    tab.keys(" ")
    settled(lambda: site.reviews(), [])


def test_confirming_writes_what_holds_already(tab: Tab, site: Site) -> None:
    tab.keys("c")
    settled(lambda: site.reviews(), [(f"{IRISH}/nobody.jpg", "drop", "", "")])
    settled(lambda: tab.all(".current .by"), ["by you"])
    assert "nothing waits" in tab.counts


def test_another_label_and_why(tab: Tab, site: Site) -> None:
    from selenium.webdriver.common.keys import Keys

    tab.go(f"{HANGUL}/best.jpg")
    tab.keys("l")
    tab.keys("0", Keys.ENTER)  # the list goes to what begins so
    settled(lambda: site.reviews(), [(f"{HANGUL}/best.jpg", "keep", "007", "")])
    settled(lambda: tab.shown(".current .moved"), [" → 007"])
    tab.keys("w")
    tab.keys('its "caption", says so', Keys.ENTER)
    settled(
        lambda: site.reviews(), [(f"{HANGUL}/best.jpg", "keep", "007", 'its "caption", says so')]
    )
    settled(lambda: tab.shown(".current .why"), ['“its "caption", says so”'])
    tab.keys("u", "u")
    settled(lambda: site.reviews(), [])
    tab.keys("w")
    tab.keys("not this", Keys.ESCAPE)
    tab.keys("j")
    assert site.reviews() == []


def test_a_suspect_is_answered_with_one_key(tab: Tab, site: Site, driver: Any) -> None:
    tab.go(f"{IRISH}/looks_wrong.jpg")
    tab.keys("s")
    settled(lambda: site.reviews(), [(f"{IRISH}/looks_wrong.jpg", "keep", HANGUL, "")])
    tab.go(f"{IRISH}/looks_wrong_too.jpg")
    driver.execute_script("document.querySelector('.current .confirm').click()")
    settled(lambda: site.reviews()[1:], [(f"{IRISH}/looks_wrong_too.jpg", "keep", "", "")])


def test_keeping_a_copy_says_that_its_twin_goes(tab: Tab, site: Site) -> None:
    tab.go(f"{HANGUL}/copy.jpg")
    assert tab.shown(".current .note") == []
    tab.keys(" ")
    settled(lambda: tab.all(".current figcaption")[0], "this one: kept")
    assert "beside it goes instead" in tab.shown(".current .note")[0]
    tab.go(f"{HANGUL}/best.jpg")
    tab.keys("c")
    settled(lambda: len(site.reviews()), 2)
    tab.go(f"{HANGUL}/copy.jpg")
    settled(lambda: tab.shown(".current .note"), [])


def test_keys_lie_where_they_lie_under_a_hangul_layout(tab: Tab, driver: Any) -> None:
    assert tab.all(".current .label") == [IRISH]
    driver.execute_script(
        "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'ㅓ', code: 'KeyJ'}))"
    )
    assert tab.all(".current .label") == [HANGUL]


def test_help_opens_and_takes_the_keys(tab: Tab) -> None:
    from selenium.webdriver.common.keys import Keys

    tab.keys("?")
    assert len(tab.all("#help-dialog[open]")) == 1
    tab.keys("j", Keys.ESCAPE)
    assert tab.all("#help-dialog[open]") == []
    assert tab.all(".current .label") == [IRISH]


# --- Filters -------------------------------------------------------------------------------------


def test_filters_by_section_label_reason_and_word(tab: Tab, site: Site) -> None:
    from selenium.webdriver.common.keys import Keys

    def names() -> list[str]:
        return [text.split(",")[0] for text in tab.shown(".file")]

    tab.choose("reason", "no_face")
    assert names() == ["nobody.jpg", "nobody.jpg", "tiny.jpg"]
    tab.choose("label", HANGUL)
    assert names() == ["nobody.jpg", "tiny.jpg"]
    assert "2 of" in tab.counts
    assert tab.current == "nobody.jpg dropped"
    tab.keys("j", "j", "j")
    assert tab.current == "tiny.jpg dropped"
    tab.keys(" ")
    settled(lambda: site.reviews(), [(f"{HANGUL}/tiny.jpg", "keep", "", "")])
    settled(lambda: tab.current, "tiny.jpg kept")  # the page hears of it after the file has it
    tab.choose("open", "yes")
    assert names() == ["nobody.jpg"]
    tab.choose("open", "")
    tab.choose("reason", "")
    tab.choose("section", "kept")
    assert names() == ["best.jpg", "google_0001.jpg"]
    tab.choose("section", "")
    tab.choose("label", "")
    tab.keys("/", "correlation 원영", Keys.ESCAPE)
    assert names() == ["copy.jpg"]
    tab.choose("words", "no such picture")
    assert names() == []
    assert tab.shown("#nothing") == ["No picture matches these filters."]
    tab.keys(" ")
    assert len(site.reviews()) == 1


# --- Two at once ---------------------------------------------------------------------------------


@contextmanager
def second(driver: Any) -> Iterator[Callable[[], None]]:
    """Another tab; what it gives changes between the two."""
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    other = driver.current_window_handle

    def change() -> None:
        here = driver.current_window_handle
        driver.switch_to.window(first if here == other else other)

    try:
        yield change
    finally:
        driver.switch_to.window(other)
        driver.close()
        driver.switch_to.window(first)


def test_two_tabs_lose_nothing_of_each_other(tab: Tab, site: Site, driver: Any) -> None:
    with second(driver) as change:
        other = Tab(driver, site.address).open()
        other.go(f"{HANGUL}/tiny.jpg")
        other.keys(" ")
        settled(lambda: len(site.reviews()), 1)
        change()
        tab.go(f"{HANGUL}/nobody.jpg")
        tab.keys(" ")
        settled(lambda: len(site.reviews()), 2)
        assert {file for file, *_ in site.reviews()} == {
            f"{HANGUL}/tiny.jpg", f"{HANGUL}/nobody.jpg",
        }  # fmt: skip


def test_a_picture_decided_elsewhere_is_shown_and_not_overwritten(
    tab: Tab, site: Site, driver: Any
) -> None:
    row = f"{site.sha256(f'{IRISH}/nobody.jpg')},{IRISH},keep,,by an editor,yesterday\n"
    (site.workspace / paths.REVIEW).write_text(HEADER + row, encoding="utf-8")
    assert tab.current == "nobody.jpg dropped"
    tab.keys(" ")
    settled(lambda: "decided elsewhere meanwhile" in tab.message, True)
    assert tab.current == "nobody.jpg kept"
    assert tab.shown(".current .why") == ["“by an editor”"]
    assert (site.workspace / paths.REVIEW).read_text(encoding="utf-8") == HEADER + row
    tab.keys(" ")  # now knowingly
    settled(lambda: site.reviews(), [])
    tab.keys("u")
    settled(lambda: (site.workspace / paths.REVIEW).read_text(encoding="utf-8"), HEADER + row)
    driver.get_log("browser")  # Chromium writes down that an answer was 409


def test_coming_back_to_a_tab_shows_what_others_decided(tab: Tab, site: Site, driver: Any) -> None:
    row = f"{site.sha256(f'{IRISH}/nobody.jpg')},{IRISH},keep,,,\n"
    (site.workspace / paths.REVIEW).write_text(HEADER + row, encoding="utf-8")
    driver.execute_script("window.dispatchEvent(new Event('focus'))")
    settled(lambda: tab.current, "nobody.jpg kept")


def test_a_file_spoilt_in_an_editor_is_said_and_left_alone(
    tab: Tab, site: Site, driver: Any
) -> None:
    spoilt = f"{HEADER}abc,a,kepe,,,\n"
    (site.workspace / paths.REVIEW).write_text(spoilt, encoding="utf-8")
    tab.keys(" ")
    settled(lambda: "line 2: sha256 'abc'" in tab.message, True)
    assert tab.current == "nobody.jpg dropped"
    assert (site.workspace / paths.REVIEW).read_text(encoding="utf-8") == spoilt
    driver.get_log("browser")


def test_a_full_disk_is_said_and_costs_no_decision(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (picture.file for picture in site.page.shown.gallery.pictures[:2])
    assert site.decide(first, "drop")[0] == 200
    before = (site.workspace / paths.REVIEW).read_bytes()

    def full(partial: Path) -> Iterator[Path]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(partial))

    with monkeypatch.context() as disk:
        disk.setattr(paths, "fresh_file", full)
        status, answer = site.decide(second, "drop")
    assert status == 500
    assert answer["error"].endswith(f"{paths.REVIEW}: No space left on device")
    assert (site.workspace / paths.REVIEW).read_bytes() == before
    assert site.decide(second, "drop")[0] == 200
    assert len(site.reviews()) == 2


def test_a_picture_that_is_gone_or_another_is_not_decided(tmp_path: Path) -> None:
    table = [put(tmp_path, f"{label}/1.jpg", blocks(1), decision=KEPT) for label in "ab"]
    finish(tmp_path, table)
    with serving(tmp_path) as site:
        assert site.ask(f"/thumbnail/{table[0].sha256}")[0] == 200
        (tmp_path / "data" / "a" / "1.jpg").unlink()
        blocks(2).save(tmp_path / "data" / "b" / "1.jpg")
        for file in ("a/1.jpg", "b/1.jpg"):
            _, answer = site.decide(file, "drop")
            assert f"data/{file} is gone, or has changed since cleaning" in answer["error"]
        assert site.ask(f"/thumbnail/{table[0].sha256}")[0] == 404
        assert site.rows == []
        stale = site.sha256("a/1.jpg")
        finish(tmp_path, [put(tmp_path, f"{label}/2.jpg", blocks(3)) for label in "ab"])
        site.sha256 = lambda _: stale  # type: ignore[method-assign]
        _, answer = site.decide("a/1.jpg", "drop")
        assert "decisions.csv any more" in answer["error"]


def test_no_decision_is_made_while_or_before_cleaning_decides_anew(
    tmp_path: Path, driver: Any
) -> None:
    table = [put(tmp_path, f"{label}/1.jpg", blocks(1), decision=KEPT) for label in "ab"]
    finish(tmp_path, table)
    with serving(tmp_path) as site:
        tab = Tab(driver, site.address).open()
        (tmp_path / gallery.DECISIONS).rename(tmp_path / "aside.csv")
        tab.keys(" ")
        settled(lambda: "is cleaning" in tab.message, True)
        finish(tmp_path, [*table, put(tmp_path, "b/2.jpg", blocks(2), decision=KEPT)])
        tab.keys(" ")
        settled(lambda: "cleaned anew since this page was loaded" in tab.message, True)
        assert site.rows == []
        assert tab.current == "1.jpg kept"
        driver.execute_script("window.dispatchEvent(new Event('focus'))")
        settled(lambda: len(tab.shown("#stale")), 1)
        tab.open().keys(" ")
        settled(lambda: site.reviews(), [("a/1.jpg", "drop", "", "")])
    driver.get_log("browser")


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        (f"{IRISH}/cut.jpg", {"decision": "keep"}, "cannot be kept"),
        (f"{IRISH}/nobody.jpg", {"decision": "maybe"}, "keep or drop"),
        (f"{IRISH}/nobody.jpg", {"decision": "keep", "other_label": "nobody"}, "no folder"),
        (f"{IRISH}/nobody.jpg", {"decision": "drop", "other_label": "007"}, "no other label"),
        (f"{IRISH}/nobody.jpg", {"decision": "keep", "why": "x" * 1001}, "at most 1000"),
        (f"{IRISH}/nobody.jpg", {"decision": "keep", "why": "\ud83d"}, "half a letter"),
        (f"{IRISH}/nobody.jpg", {"decision": 1}, "decision is of another kind"),
        (f"{IRISH}/nobody.jpg", {"file": "../x"}, "an object has"),
    ],
)
def test_the_server_takes_no_decision_that_means_nothing(
    site: Site, file: str, changes: dict[str, Any], message: str
) -> None:
    whole = {"decision": "keep", "other_label": "", "why": "", "when": None} | changes
    cleaned = site.page.shown.gallery.cleaned
    sha256 = site.sha256(file)
    change = {"sha256": sha256, "label": IRISH, "decision": whole, "seen": None}
    body = {"cleaned": cleaned, "changes": [change]}
    status, content, _ = site.ask(
        "/decisions", "POST", json.dumps(body).encode(),
        Content_Type="application/json", X_Whoswho_Token=site.page.token,
    )  # fmt: skip
    assert status in (200, 400)
    answer = json.loads(content)
    assert message in (answer["outcomes"][0] if status == 200 else answer)["error"]
    assert site.rows == []


# --- Many ----------------------------------------------------------------------------------------


def test_twenty_thousand_pictures(tmp_path: Path, driver: Any) -> None:
    """The cards near the view are there, and no others."""
    table = []
    for number in range(20_000):
        file = f"{'ab'[number % 2]}/google_{number:05}.jpg"
        if number % 250 in (0, 249):
            table.append(put(tmp_path, file, blocks(number, (120, 90)), decision=KEPT))
        else:
            table.append(
                Decision(file, file[0], decision=KEPT, sha256=f"{number:064x}", width=9,
                         height=9)
            )  # fmt: skip
    finish(tmp_path, table)

    def seen(file: str) -> bool:
        """Whether a card is in view, with its picture."""
        in_view: bool = driver.execute_script(
            "const card = [...document.querySelectorAll('.card')].find(c =>"
            " c.querySelector('.file').textContent.startsWith(arguments[0]));"
            "const box = card?.getBoundingClientRect();"
            "return !!box && box.bottom > 0 && box.top < innerHeight &&"
            " card.querySelector('img')?.naturalWidth === 120",
            file,
        )
        return in_view

    with serving(tmp_path) as site:
        browser.requests(driver)
        tab = Tab(driver, site.address).open()
        assert tab.counts.startswith("20000 pictures")
        assert tab.shown("#kept h2 .n") == ["20000"]
        thumbs = [address for address in browser.requests(driver) if "/thumbnail/" in address]
        assert len(thumbs) < 300  # what is near, not all
        tab.choose("words", "04000")
        tab.go("a/google_04000.jpg")
        tab.choose("words", "")
        tab.keys("j", "k")
        settled(lambda: seen("google_04000.jpg"), True)
        tab.keys(" ")
        settled(lambda: site.reviews(), [("a/google_04000.jpg", "drop", "", "")])
        tab.keys("j")
        assert tab.current == "google_04002.jpg kept"
        for part in range(1, 51):
            driver.execute_script(
                "scrollTo(0, document.body.scrollHeight * arguments[0] / 50)", part
            )
            settled(lambda: driver.execute_script(IN_VIEW), True)
        driver.execute_script("scrollTo(0, document.body.scrollHeight)")
        settled(lambda: seen("google_19999.jpg"), True)
        assert len(tab.all(".card")) < 2_500
        tab.keys("k")
        assert tab.current == "google_04000.jpg dropped"
        settled(lambda: seen("google_04000.jpg"), True)
        tab.choose("words", "04750")
        assert tab.shown(".file") == ["google_04750.jpg, 120×90"]


# Whether a card is in the middle of the view, or between two or below the last.
IN_VIEW = """
const there = document.elementFromPoint(innerWidth / 3, innerHeight / 2);
return !!there.closest('.card, .cards.filled') || !there.closest('.cards');
"""


# --- Who may ask ---------------------------------------------------------------------------------


def test_a_decision_needs_host_origin_token_and_json(site: Site) -> None:
    file = f"{IRISH}/nobody.jpg"
    here = f"127.0.0.1:{site.port}"
    for headers in (
        {"Host": "evil.example"},
        {"Host": f"evil.example:{site.port}", "Origin": f"http://evil.example:{site.port}"},
        {"Host": f"{here}.evil.example"},
        {"Host": ""},
        {"Host": "127.0.0.1@evil.example"},
        {"Host": "192.168.0.7"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"https://{here}"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"X_Whoswho_Token": ""},
        {"X_Whoswho_Token": site.page.token[:-1]},
        {"X_Whoswho_Token": "ü"},
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Type": ""},
    ):
        assert site.decide(file, "keep", **headers)[0] in (400, 403, 415), headers
    assert site.rows == []
    localhost = f"localhost:{site.port}"
    assert site.decide(file, "keep", Host=localhost, Origin=f"http://{localhost}")[0] == 200
    tunnel = "127.0.0.1:8080"
    (row,) = site.rows
    status, answer = site.decide(file, "keep", Host=tunnel, Origin=f"http://{tunnel}")
    assert (status, answer["changed"]) == (200, True)
    assert site.rows == [row]


def test_nothing_is_read_by_another_page(site: Site) -> None:
    thumbnail = f"/thumbnail/{site.sha256(f'{HANGUL}/best.jpg')}"
    for path in ("/", "/gallery", "/decisions", "/page.js", "/letters.css", thumbnail):
        assert site.ask(path, Host="evil.example")[0] == 403, path
        assert site.ask(path, Sec_Fetch_Site="same-site", Sec_Fetch_Mode="no-cors")[0] == 403, path
        status, _, headers = site.ask(path)
        assert status == 200
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers
    # A link to the page may be followed.
    assert site.ask("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200


def test_a_page_from_elsewhere_can_neither_post_nor_look(site: Site, driver: Any) -> None:
    """A real page on another port tries every way a browser has."""
    sha256 = site.sha256(f"{IRISH}/nobody.jpg")
    row = {"decision": "keep", "other_label": "", "why": "", "when": None}
    cleaned = site.page.shown.gallery.cleaned
    change = {"sha256": sha256, "label": IRISH, "decision": row, "seen": None}
    body = json.dumps({"cleaned": cleaned, "changes": [change]})
    # A form of type text/plain can write JSON, with the = inside a text.
    name, _, value = body.rpartition('""')
    hostile = f"""<!DOCTYPE html><meta charset=utf-8>
<form method=post enctype=text/plain action="{site.address}decisions" target=frame>
<input name='{name.replace("'", "&#39;")}"' value='"{value}'></form><iframe name=frame></iframe>
<iframe id=page src="{site.address}"></iframe>
<script>
const body = {json.dumps(body)}, at = "{site.address}";
const tried = (promise) => promise.then((a) => a.type + a.status, () => "refused");
const loaded = (element) => new Promise((done) => {{
  element.onload = () => done("loaded"); element.onerror = () => done("refused");
  document.body.append(element);
}});
window.run = async () => {{
  document.forms[0].submit();
  return [
    await tried(fetch(at + "decisions", {{method: "POST", mode: "no-cors", body}})),
    await tried(fetch(at + "decisions", {{method: "POST", body, headers: {{
      "Content-Type": "application/json", "X-Whoswho-Token": "guess"}}}})),
    await tried(fetch(at + "gallery")),
    await loaded(Object.assign(new Image(), {{src: at + "thumbnail/{sha256}"}})),
    await loaded(Object.assign(document.createElement("script"), {{src: at + "decisions"}})),
  ];
}};
</script>""".encode()

    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(hostile)

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as elsewhere:
        threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
        # Another port is another origin of the same site; localhost is another site.
        for host in ("127.0.0.1", "localhost"):
            browser.requests(driver)
            driver.get(f"http://{host}:{elsewhere.server_port}/")
            outcomes = driver.execute_async_script(
                "run().then(arguments[0], e => arguments[0](`${e}`))"
            )
            assert outcomes[0] in ("opaque0", "refused")
            assert outcomes[1:] == ["refused"] * 4
            assert f"{site.address}decisions" in browser.requests(driver)
        elsewhere.shutdown()
    assert site.rows == []
    assert (site.workspace / paths.REVIEW).read_text(encoding="utf-8") == HEADER
    driver.get_log("browser")


def test_no_file_outside_the_set_is_served(site: Site) -> None:
    (site.workspace / "params.yaml").write_text("secret", encoding="utf-8")
    (site.workspace / "data" / "secret.txt").write_text("secret", encoding="utf-8")
    hidden = paths.sha256(site.workspace / "params.yaml")
    for path in (
        "/../params.yaml", "/%2e%2e/params.yaml", "/%2e%2e%2fparams.yaml", "/..%5cparams.yaml",
        "/thumbnail/../params.yaml", "/thumbnail/..%2f..%2fparams.yaml", "/data/secret.txt",
        "/thumbnail/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "//etc/passwd", "/thumbnail//etc/passwd",
        "/thumbnail/C:%5cWindows%5cwin.ini", "/page.js/../server.py", "/server.py", "/page.html",
        "/letters/..%2f..", "/letters/999", f"/thumbnail/{hidden}", "/thumbnail/data/secret.txt",
        f"/thumbnail/{HANGUL.encode().hex()}", "/thumbnail/", "http://127.0.0.1/etc/passwd",
        str(site.workspace / "params.yaml").replace(" ", "%20").encode("ascii", "ignore").decode(),
    ):  # fmt: skip
        status, body, _ = site.ask(path)
        assert status in (400, 404, 308), path
        assert b"secret" not in body
        assert b"root:" not in body


def test_a_link_out_of_the_set_is_not_followed(tmp_path: Path) -> None:
    table = [put(tmp_path, f"{label}/1.jpg", blocks(1), decision=KEPT) for label in "ab"]
    finish(tmp_path, table)
    outside = tmp_path / "outside.jpg"
    (tmp_path / "data" / "a" / "1.jpg").rename(outside)
    (tmp_path / "data" / "b" / "1.jpg").unlink()
    (tmp_path / "data" / "a" / "1.jpg").symlink_to(outside)  # the very same bytes
    (tmp_path / "data" / "b" / "1.jpg").symlink_to("/dev/zero")
    with serving(tmp_path) as site:
        assert site.ask(f"/thumbnail/{table[0].sha256}")[0] == 404
        assert "is gone" in site.decide("a/1.jpg", "drop")[1]["error"]


# --- The command ---------------------------------------------------------------------------------


def command(workspace: Path, *arguments: str) -> subprocess.Popen[str]:
    return processes.start(
        [sys.executable, "-m", "whoswho.cli", "review", *arguments],
        cwd=workspace,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_it_listens_on_this_machine_alone_and_ends_quietly(site: Site) -> None:
    started = command(site.workspace, "--port", "0")
    assert started.stdout is not None
    line = started.stdout.readline()
    (address,) = re.findall(r"http://127\.0\.0\.1:(\d+)", line)
    assert "shows" in line
    assert "review.csv" in line
    places = {
        (connection.laddr.ip, connection.laddr.port)
        for connection in psutil.Process(started.pid).net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert places == {("127.0.0.1", int(address))}
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=20)
    assert (started.returncode, out.strip(), err) == (0, "", "")


def test_another_address_needs_the_option_and_is_warned_of(site: Site) -> None:
    started = command(site.workspace, "--host", "0.0.0.0", "--port", "0")
    assert started.stdout is not None
    line = started.stdout.readline()
    port = int(re.findall(r":(\d+) ", line)[0])
    for host, allowed in (("192.168.0.7", 200), ("evil.example", 403)):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/", headers={"Host": f"{host}:{port}"})
        assert connection.getresponse().status == allowed
    started.send_signal(signal.SIGINT)
    _, err = started.communicate(timeout=20)
    assert "warning: 0.0.0.0 is open to others" in err


def test_what_cannot_be_served_is_one_line(site: Site, tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").touch()
    runs = [(command(tmp_path), "artifacts/clean/decisions.csv: not there; run `dvc repro`")]
    runs.append(
        (command(site.workspace, "--port", str(site.port)), "choose another with --host or")
    )
    runs.append((command(site.workspace, "--port", "70000"), "port must be 0-65535"))
    for started, message in runs:
        out, err = started.communicate(timeout=30)
        assert (started.returncode, out, err.count("\n")) == (2, "", 1)
        assert message in err


def test_a_review_that_is_not_sound_is_said_before_serving(site: Site) -> None:
    (site.workspace / paths.REVIEW).write_text(f"{HEADER}abc,a,keep,,,\n", encoding="utf-8")
    out, err = command(site.workspace, "--port", "0").communicate(timeout=30)
    assert (out, err.count("\n")) == ("", 1)
    assert "line 2: sha256 'abc'" in err


# --- Into the pipeline ---------------------------------------------------------------------------


@pytest.mark.slow
def test_the_pipeline_takes_the_decision(tmp_path: Path, driver: Any) -> None:
    (tmp_path / "dvc.yaml").touch()
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    set_params(tmp_path, clean={"faces": "any"})
    for place, label in enumerate((HANGUL, IRISH)):
        for number in range(3):
            put(tmp_path, f"{label}/{number}.jpg", blocks(10 * place + number))
    put(tmp_path, f"{HANGUL}/small.jpg", blocks(50, (60, 40)))

    def clean() -> dict[str, Decision]:
        subprocess.run(
            [sys.executable, REPOSITORY / "src" / "stage.py", "clean"], cwd=tmp_path, check=True
        )
        table = decisions.read_decisions(tmp_path / paths.CLEAN)
        return {row.file: row for row in table}

    assert clean()[f"{HANGUL}/small.jpg"].reasons == ("too_small",)
    with serving(tmp_path) as site:
        tab = Tab(driver, site.address).open()
        tab.go(f"{HANGUL}/small.jpg")
        tab.keys(" ")
        settled(lambda: site.reviews(), [(f"{HANGUL}/small.jpg", "keep", "", "")])
        tab.go(f"{IRISH}/0.jpg")
        tab.keys(" ")
        settled(lambda: len(site.reviews()), 2)
        tab.go(f"{IRISH}/1.jpg")
        tab.keys("l")
        driver.execute_script(
            "document.querySelector('#label-dialog select').value = arguments[0]", HANGUL
        )
        driver.execute_script("document.querySelector('#label-dialog .main').click()")
        settled(lambda: len(site.reviews()), 3)
        settled(lambda: "3 wait for dvc repro" in tab.counts, True)
        table = clean()
        assert table[f"{HANGUL}/small.jpg"].kept
        assert table[f"{IRISH}/0.jpg"].reasons == ("review",)
        assert table[f"{IRISH}/1.jpg"].label == HANGUL
        driver.execute_script("window.dispatchEvent(new Event('focus'))")
        settled(lambda: len(tab.shown("#stale")), 1)
        tab.open()
        assert "3 decided by you · nothing waits" in tab.counts
        assert "small.jpg, 60×40" in tab.all("#kept .file")
        tab.go(f"{HANGUL}/small.jpg")
        assert tab.all(".current .measures b") == ["too_small"]
        tab.keys(" ")  # the checks are right after all
        settled(lambda: (len(site.reviews()), tab.current), (2, "small.jpg dropped"))
        assert tab.all(".current .by") == ["waits"]
