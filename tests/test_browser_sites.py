"""Google and Naver through a real Chromium, against sites that behave as the real ones do."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest
from ruamel.yaml import YAML
from support import processes, search_sites
from support.repository import skip_or_fail
from support.search_sites import Play, Site, data_url, serving

from whoswho import tables
from whoswho.crawl import browser, crawl, markup, results_page
from whoswho.crawl.image_search import ImageSearch
from whoswho.crawl.results_page import Timeouts
from whoswho.crawl.site import CrawlOptions, CrawlSource, Hit, Search, SiteError
from whoswho.dataset import manifest
from whoswho.errors import UserError, one_line_errors

BOTH = pytest.mark.parametrize("name", ["google", "naver"])
FOR_RESULTS = Timeouts(growth=1.5)  # what comes does so at once; what ends must be seen to end
FOR_CAUSES = Timeouts(page=1, arrival=0.7, growth=0.5, thumbnail=0.3, picture=0.5, person=10)
SEARCH = Search("장원영 & 안유진 +1", "장원영")


@pytest.fixture(scope="module")
def chrome() -> Iterator[browser.Browser]:
    """One browser for the tests that leave it whole."""
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        skip_or_fail("needs chromium and chromedriver (apt-get install chromium chromium-driver)")
    started = browser.start(CrawlOptions(allow_private=True), None, 30)
    yield started
    started.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture
def untouched() -> Iterator[Site]:
    """A server that no browser knows yet: one that does may still ask for an icon."""
    with serving() as site:
        site.play = Play()
        yield site


Ask = Callable[..., Iterator[Hit]]


@pytest.fixture
def ask(chrome: browser.Browser, server: Site, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Search a site that does what `play` says, in the module's browser."""
    monkeypatch.setattr(ImageSearch, "close", lambda self: None)

    def hits(
        name: str,
        play: Play,
        limit: int = 0,
        timeouts: Timeouts = FOR_RESULTS,
        window: bool = False,
        **options: bool,
    ) -> Iterator[Hit]:
        chrome.driver.get("about:blank")  # the page before asks for nothing more
        server.play = play
        how = CrawlOptions(allow_private=True, window=window, **options)
        site = ImageSearch(name, how, address=server.address(name))
        monkeypatch.setattr(site, "timeouts", timeouts)
        monkeypatch.setattr(site, "_browser", chrome)
        chrome.driver.set_page_load_timeout(timeouts.page)
        return site.hits(SEARCH, limit)

    return hits


def why(hits: Iterator[Hit]) -> str:
    """The error that ends a search that finds nothing."""
    with pytest.raises(SiteError) as caught:
        next(hits)
    text = str(caught.value)
    assert "\n" not in text
    return text


# --- What is found -------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("data", [True, False])
def test_thumbnails_come_while_scrolling_until_the_page_ends(
    ask: Ask, server: Site, name: str, data: bool
) -> None:
    hits = list(ask(name, Play(results=37, batch=10, data=data)))
    assert [hit.rank for hit in hits] == list(range(1, 38))
    assert [hit.image for hit in hits] == [server.thumbnail(number) for number in range(37)]
    assert {hit.thumbnail for hit in hits} == {""}
    if name == "google":
        assert [hit.page for hit in hits] == [server.page(number) for number in range(37)]


@BOTH
@pytest.mark.parametrize("face", [True, False])
def test_the_site_is_asked_for_these_words(ask: Ask, server: Site, name: str, face: bool) -> None:
    assert len(list(ask(name, Play(), limit=1, face=face))) == 1
    # A picture of the page before may still come in.
    search = next(path for path in server.play.addresses if path.startswith("/search"))
    query = parse_qs(urlsplit(search).query, keep_blank_values=True)
    if name == "google":
        wanted = {"q": [SEARCH.text], "tbm": ["isch"]} | ({"tbs": ["itp:face"]} if face else {})
    else:
        wanted = {"query": [SEARCH.text], "where": ["image"]} | ({"face": ["1"]} if face else {})
    assert query == wanted


def test_a_limit_ends_the_scrolling(ask: Ask, server: Site) -> None:
    assert len(list(ask("naver", Play(results=None), limit=12))) == 12
    assert sum(path == "/more" for path in server.play.paths()) < 10


def test_results_are_read_as_they_are_taken(ask: Ask, server: Site) -> None:
    hits = ask("google", Play(results=None), full=True)
    for _ in range(3):
        next(hits)
    # The address of a large picture is known a moment before the picture is asked for.
    assert sum(path.startswith("/large/") for path in server.play.paths()) <= 3


@BOTH
def test_the_large_picture_after_a_click_one_hit_a_result(
    ask: Ask, server: Site, name: str
) -> None:
    def large(number: int) -> str:
        return "refused" if number % 5 == 2 else "served"

    hits = list(ask(name, Play(results=23, large=large), limit=20, full=True))
    assert [hit.rank for hit in hits] == list(range(1, 21))
    assert [hit.image for hit in hits] == [server.large(number) for number in range(20)]
    assert [hit.thumbnail for hit in hits] == [data_url(number) for number in range(20)]
    assert [hit.page for hit in hits] == [server.page(number) for number in range(20)]


def test_where_the_large_picture_never_comes_the_thumbnail_is_named(
    ask: Ask, server: Site
) -> None:
    def large(number: int) -> str:
        return "never" if number == 1 else "served"

    play = Play(results=4, batch=4, data=False, large=large)
    hits = list(ask("google", play, limit=4, full=True, timeouts=Timeouts(picture=1.5)))
    expected = [server.large(0), "", server.large(2), server.large(3)]
    assert [hit.image for hit in hits] == expected
    assert [hit.thumbnail for hit in hits] == [server.thumbnail(number) for number in range(4)]


def test_a_result_without_a_thumbnail_costs_no_other(ask: Ask, server: Site) -> None:
    play = Play(results=4, kind="first_blank")
    hits = list(ask("naver", play, timeouts=FOR_CAUSES))
    assert [(hit.rank, hit.image) for hit in hits] == [(n + 1, data_url(n)) for n in (1, 2, 3)]
    hits = list(ask("naver", play, limit=2, full=True, timeouts=Timeouts(thumbnail=0.3)))
    assert [(hit.image, hit.thumbnail) for hit in hits] == [
        (server.large(0), ""),
        (server.large(1), data_url(1)),
    ]


def test_a_link_that_names_the_large_picture_is_believed(ask: Ask, server: Site) -> None:
    play = Play(named=True, kind="panelless")
    (hit,) = ask("google", play, limit=1, full=True)
    assert (hit.image, hit.page) == (server.large(0), server.page(0))


@BOTH
def test_a_button_for_more_is_pressed(ask: Ask, name: str) -> None:
    assert len(list(ask(name, Play(results=25, further="button")))) == 25


def test_an_endless_page_ends(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_page, "MOST", 45)
    assert len(list(ask("google", Play(results=None)))) == 45


def test_a_page_that_goes_round_in_circles_ends(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_page, "REPEATS", 20)
    hits = list(ask("google", Play(results=None, repeats=15)))
    assert len({hit.image for hit in hits}) == len(hits) == 15


def test_a_click_follows_no_link_off_the_site(
    ask: Ask, server: Site, chrome: browser.Browser
) -> None:
    assert len(list(ask("google", Play(results=3, kind="away"), full=True))) == 3
    assert "/away" not in server.play.paths()
    assert urlsplit(chrome.driver.current_url).hostname == "127.0.0.1"


# --- What stands in the way ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["covered", "talking"])
def test_what_pops_up_is_put_away(ask: Ask, server: Site, kind: str) -> None:
    hits = list(ask("naver", Play(kind=kind), limit=4, full=True))
    assert [hit.image for hit in hits] == [server.large(number) for number in range(4)]


def test_a_consent_form_is_refused_and_the_search_goes_on(ask: Ask, server: Site) -> None:
    assert len(list(ask("google", Play(kind="consent"), limit=5))) == 5
    assert "/save?set_eom=true" in server.play.addresses
    assert "/save?set_eom=false" not in server.play.addresses


@pytest.mark.parametrize(
    ("name", "play", "parts"),
    [
        ("google", "captcha", ["captcha", "“Sorry...”", "--threads", "proxy", "--window"]),
        ("naver", "captcha", ["captcha", "--window"]),
        ("google", "sorry", ["blocks us", "answers 429", "“429 Too Many Requests”", "--window"]),
        ("google", "words", ["blocks us", "“unusual traffic”"]),
        ("naver", "words", ["blocks us", "“비정상적인 검색”"]),
        ("google", "nothing", ["the site says that it finds no pictures"]),
        ("naver", "nothing", ["the site says that it finds no pictures"]),
        ("google", "broken", ["HTTP status 503", "“Service Unavailable”", "later"]),
        ("google", "wordless", ["blocks us", "answers 429"]),
        ("naver", "down", ["HTTP status 503"]),
        ("google", "silent", ["does not answer within 1 s"]),
        ("google", "closed", ["cannot be reached (ERR_EMPTY_RESPONSE)"]),
    ],
)
def test_the_cause_is_named(ask: Ask, name: str, play: str, parts: list[str]) -> None:
    text = why(ask(name, Play(kind=play), timeouts=FOR_CAUSES))
    for part in parts:
        assert part in text
    assert "no selector" not in text  # that would send a person to mend what is whole


def test_a_site_that_is_not_there_is_named(ask: Ask, server: Site) -> None:
    with serving() as gone:
        port = urlsplit(gone.root).port
    server_root, server.root = server.root, gone.root
    text = why(ask("google", Play(), timeouts=FOR_CAUSES))
    server.root = server_root
    assert f"127.0.0.1:{port} cannot be reached (ERR_CONNECTION_REFUSED)" in text


@BOTH
def test_changed_markup_names_the_selector_its_file_and_the_page(ask: Ask, name: str) -> None:
    text = why(ask(name, Play(kind="renamed"), timeouts=FOR_CAUSES))
    first = markup.load(markup.FOLDER / f"{name}.yaml").results[0]
    for part in ("“장원영 - 검색”", "`results`", f"selectors/{name}.yaml", first):
        assert part in text


def test_a_consent_form_without_a_known_button_is_said(ask: Ask, chrome: browser.Browser) -> None:
    strange = markup.load(markup.FOLDER / "google.yaml").model_copy(
        update={"consent": ['form[action="/save"]']}
    )
    page = results_page.ResultsPage(chrome.driver, strange, FOR_CAUSES, full=False, window=False)
    list(ask("google", Play(), limit=1))
    with pytest.raises(SiteError):
        list(ask("google", Play(kind="unknown_consent"), timeouts=FOR_CAUSES))
    text = why(page.hits(0))
    for part in ("consent", "“Before you continue”", "`refuse`", "google.yaml", "--window"):
        assert part in text


def test_a_consent_form_that_comes_back_ends(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results_page, "REFUSALS", 1)
    text = why(ask("google", Play(kind="endless_consent"), timeouts=FOR_CAUSES))
    assert "comes back" in text


def test_thumbnails_that_moved_or_do_not_come_are_told_apart(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_page, "LOST", 2)
    moved = why(ask("google", Play(kind="unpictured"), timeouts=FOR_CAUSES))
    assert "`thumbnail`" in moved
    blank = why(ask("google", Play(kind="blank_thumbnails"), timeouts=FOR_CAUSES))
    assert "do not come" in blank
    assert "`thumbnail`" not in blank


def test_a_panel_that_moved_is_said_after_a_few_results(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_page, "LOST", 2)
    with pytest.raises(SiteError) as caught:
        list(ask("naver", Play(kind="panelless"), full=True, timeouts=FOR_CAUSES))
    assert "`picture`" in str(caught.value)
    assert "selectors/naver.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("fails", "cause"), [("429", "HTTP status 429"), ("closed", "a broken connection")]
)
def test_a_site_that_stops_in_the_middle_says_so_after_the_hits(
    ask: Ask, fails: str, cause: str
) -> None:
    hits = []
    with pytest.raises(SiteError) as caught:
        for hit in ask("google", Play(fails=fails)):
            hits.append(hit)
    assert len(hits) == 10
    assert "no further results" in str(caught.value)
    assert cause in str(caught.value)


def test_a_captcha_is_left_to_a_person_where_there_is_a_window(
    ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    hits = list(ask("google", Play(kind="solved"), limit=3, timeouts=FOR_CAUSES, window=True))
    assert len(hits) == 3
    assert "captcha" in capsys.readouterr().err


# --- Selectors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"results": None}, "results: "),
        ({"results": []}, "results: is empty"),
        ({"results": "div"}, "results: "),
        ({"thumbnail": ["img", 3]}, "thumbnail.1: "),
        ({"reslts": ["div"]}, "reslts: unknown key"),
        ({"captcha": [""]}, "captcha.0: an empty selector"),
    ],
)
def test_a_bad_file_of_selectors_is_one_line(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    content = YAML(typ="safe").load((markup.FOLDER / "naver.yaml").read_text("utf-8"))
    path = tmp_path / "naver.yaml"
    YAML().dump(content | change, path)
    with pytest.raises(UserError) as caught:
        markup.load(path)
    assert str(caught.value).startswith(f"{path}: {message}")


@pytest.mark.parametrize("text", ["results: [", "- a", "", "3: [a]"])
def test_what_is_no_file_of_selectors_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "naver.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"naver\.yaml: "):
        markup.load(path)
    with pytest.raises(UserError, match="not there"):
        markup.load(tmp_path / "other.yaml")


def test_a_selector_the_browser_refuses_is_named(ask: Ask, chrome: browser.Browser) -> None:
    list(ask("google", Play(), limit=1))
    bad = markup.load(markup.FOLDER / "google.yaml").model_copy(update={"results": ["div[["]})
    page = results_page.ResultsPage(chrome.driver, bad, FOR_CAUSES, full=False, window=False)
    text = why(page.hits(0))
    assert "div[[" in text
    assert "google.yaml" in text


# --- The browser ---------------------------------------------------------------------------------


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put a program that prints a text first in PATH."""
    for variable in (browser.BROWSER_VARIABLE, browser.DRIVER_VARIABLE):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def put(name: str, told: str) -> Path:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\necho '{told}'\n")
        path.chmod(0o755)
        return path

    return put


def found_nothing(**options: Any) -> str:
    site = ImageSearch("google", CrawlOptions(allow_private=True, **options))
    try:
        return why(site.hits(SEARCH, 1))
    finally:
        site.close()


def test_a_driver_of_another_version_is_named_with_both(
    programs: Callable[[str, str], Path],
) -> None:
    programs(
        "chromedriver", "ChromeDriver 120.0.6099.71 (9729082fe6174c0a371fc66501f5efc5d69d3d2b)"
    )
    programs("chromium", "Chromium 156.0.8078.108 built on Debian")
    text = found_nothing()
    for part in ("156.0.8078.108", "120.0.6099.71", "do not fit", "apt-get install"):
        assert part in text


def test_a_driver_that_does_not_start_is_named(programs: Callable[[str, str], Path]) -> None:
    programs("chromium", "Chromium 156.0.8078.108")
    programs("chromedriver", "").write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo ChromeDriver 156.0.8078.108 && exit 0\nexit 7\n'
    )
    text = found_nothing()
    for part in ("156.0.8078.108", "did not start", "apt-get install"):
        assert part in text


@pytest.mark.parametrize("missing", ["chromium", "chromedriver"])
def test_a_missing_program_is_named(
    programs: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    (other,) = {"chromium", "chromedriver"} - {missing}
    folder = programs(other, "156.0.8078.108").parent
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(browser, "ELSEWHERE", ())
    text = found_nothing()
    assert "none in PATH" in text
    assert "apt-get install chromium chromium-driver" in text


def test_the_variables_name_another_pair(
    programs: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(browser.BROWSER_VARIABLE, str(programs("mine", "9.0.0.1")))
    monkeypatch.setenv(browser.DRIVER_VARIABLE, str(programs("its", "9.0.0.2")))
    _, _, pair = browser.programs()
    assert "Chrome 9.0.0.1 (" in pair
    assert "ChromeDriver 9.0.0.2 (" in pair
    monkeypatch.setenv(browser.DRIVER_VARIABLE, "/nowhere/chromedriver")
    with pytest.raises(SiteError, match="not at /nowhere/chromedriver"):
        browser.programs()


def test_a_window_needs_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert "needs a screen" in found_nothing(window=True)


def test_a_browser_that_dies_keeps_the_hits_and_the_next_search_has_a_new_one(
    chrome: browser.Browser, server: Site
) -> None:
    server.play = Play(results=None)
    how = CrawlOptions(full=True, allow_private=True)
    site = ImageSearch("google", how, address=server.address("google"))
    hits = site.hits(SEARCH, 0)
    assert all(next(hits).image for _ in range(3))
    assert site._browser is not None
    profiles = [Path(site._browser.profile.name)]
    psutil.Process(site._browser.driver.service.process.pid).kill()
    with pytest.raises(SiteError, match="browser broke off"):
        list(hits)
    assert next(site.hits(SEARCH, 1)).rank == 1
    profiles.append(Path(site._browser.profile.name))
    site.close()
    assert len(set(profiles)) == 2
    assert not any(profile.exists() for profile in profiles)


CRAWLER = """
import sys
from whoswho.crawl.image_search import ImageSearch
from whoswho.crawl.site import CrawlOptions, Search
from whoswho.lifecycle.tracking.signals import as_exceptions

how = CrawlOptions(full=True, allow_private=True)
site = ImageSearch("google", how, address=sys.argv[1])
with as_exceptions():
    try:
        for hit in site.hits(Search("a", "a"), 0):
            print(site._browser.profile.name, flush=True)
    finally:
        site.close()
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_nothing_of_the_browser_outlives_the_crawl(
    chrome: browser.Browser, server: Site, name: str
) -> None:
    server.play = Play(results=None)
    crawler = processes.start(
        [sys.executable, "-c", CRAWLER, server.address("google")], stdout=subprocess.PIPE
    )
    assert crawler.stdout is not None
    profile = crawler.stdout.readline().strip()
    assert Path(profile).is_dir()
    family = psutil.Process(crawler.pid).children(recursive=True)
    assert any("chrom" in each.name() for each in family)
    crawler.send_signal(signal.Signals[name])
    crawler.wait(30)
    crawler.stdout.close()
    deadline = time.monotonic() + 20
    while Path(profile).exists() or any(map(alive, family)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.usefixtures("chrome")
def test_a_page_from_outside_reaches_nothing_of_ours(untouched: Site) -> None:
    port = urlsplit(untouched.root).port
    started = browser.start(CrawlOptions(), None, 10)
    try:
        started.driver.get(
            "data:text/html,<title>x</title>"
            f"<img src='http://127.0.0.1:{port}/1'><img src='http://localhost:{port}/2'>"
            f"<img src='http://[::ffff:127.0.0.1]:{port}/3'><img src='http://0.0.0.0:{port}/4'>"
            "<script>onload = () => { document.title = 'loaded' }</script>"
        )
        deadline = time.monotonic() + 10
        while started.driver.title != "loaded":
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        started.close()
    assert untouched.play.addresses == []


def test_a_private_address_is_not_asked_for(untouched: Site) -> None:
    site = ImageSearch("naver", CrawlOptions(), address=untouched.address("naver"))
    text = why(site.hits(SEARCH, 1))
    assert "private" in text
    assert "--allow-private" in text
    assert untouched.play.addresses == []
    assert site._browser is None


@pytest.mark.usefixtures("chrome")
def test_a_redirect_to_a_private_address_is_not_read(server: Site) -> None:
    server.play = Play(kind="led_inside")
    site = ImageSearch("google", CrawlOptions(), server.root, "http://images.example/search")
    try:
        assert "private" in why(site.hits(SEARCH, 1))
    finally:
        site.close()


@pytest.mark.usefixtures("chrome")
def test_the_browser_asks_through_the_proxy(server: Site) -> None:
    server.play = Play(results=3)
    how = CrawlOptions(allow_private=True)
    site = ImageSearch("google", how, server.root, "http://images.example/search")
    try:
        assert len(list(site.hits(SEARCH, 1))) == 1
    finally:
        site.close()
    assert any(
        address.startswith("http://images.example/search?") for address in server.play.addresses
    )


# --- The whole crawl -----------------------------------------------------------------------------


@pytest.fixture
def crawl_google(
    chrome: browser.Browser, server: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[dict[str, str]]]:
    """Crawl the site that does what `play` says; the rows of the manifest."""
    monkeypatch.setattr(ImageSearch, "close", lambda self: None)
    data = tmp_path / "data"

    def run(play: Play, limit: int, timeouts: Timeouts) -> list[dict[str, str]]:
        def make(*_: object) -> ImageSearch:
            how = CrawlOptions(full=True, allow_private=True)
            site = ImageSearch("google", how, address=server.address("google"))
            monkeypatch.setattr(site, "timeouts", timeouts)
            monkeypatch.setattr(site, "_browser", chrome)
            return site

        chrome.driver.get("about:blank")
        server.play = play
        source = CrawlSource("google", make, [SEARCH], limit=limit)
        with one_line_errors():
            crawl.run(tmp_path, data, [source], CrawlOptions(full=True, allow_private=True))
        return tables.read(manifest.files(data)[-1])

    return run


def test_one_picture_a_hit_and_the_thumbnail_only_where_the_large_one_cannot_be_had(
    crawl_google: Callable[..., list[dict[str, str]]], server: Site, tmp_path: Path
) -> None:
    def large(number: int) -> str:
        return "refused" if number % 5 == 2 else "served"

    rows = crawl_google(Play(results=40, large=large), 20, FOR_RESULTS)
    files = {path.name for path in (tmp_path / "data" / SEARCH.label).iterdir()}
    assert len(rows) == len(files) == 20
    assert {Path(row["file"]).name for row in rows} == files
    assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, 21)]
    for number, row in enumerate(rows):
        refused = large(number) == "refused"
        size = search_sites.THUMBNAIL if refused else search_sites.LARGE
        assert (row["width"], row["height"]) == tuple(map(str, size))
        assert ("thumbnail" in row["note"] and "403" in row["note"]) == refused
        assert row["page_url"] == server.page(number)


def test_a_changed_page_ends_with_2_and_the_mended_one_is_crawled(
    crawl_google: Callable[..., list[dict[str, str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        crawl_google(Play(kind="renamed"), 3, FOR_CAUSES)
    assert caught.value.code == 2
    message = capsys.readouterr().err.splitlines()[-1]
    first = markup.load(markup.FOLDER / "google.yaml").results[0]
    for part in ("google", SEARCH.text, "`results`", "selectors/google.yaml", first):
        assert part in message
    assert len(crawl_google(Play(), 3, FOR_RESULTS)) == 3
