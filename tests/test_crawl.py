"""The whole crawl without a browser: what is kept, what is written down, and after a kill."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from support import processes
from support.loopback import (
    QUICK,
    Reply,
    Request,
    Server,
    fixture_running,  # noqa: F401
    fixture_server,  # noqa: F401
    picture,
)

from whoswho import cli, paths, tables
from whoswho.crawl import collection, command, commons, crawl, listed, searching
from whoswho.crawl.collection import Collection, alone
from whoswho.crawl.commons import Commons
from whoswho.crawl.mending import PUT_IN, TAKEN_OUT
from whoswho.crawl.site import CrawlOptions, CrawlSource, Hit, Search, SiteError
from whoswho.crawl.transport import Transport
from whoswho.dataset import forgotten, listing, manifest
from whoswho.dataset.manifest import ManifestRow
from whoswho.errors import UserError
from whoswho.labels import TABLES
from whoswho.tables import Row

HASH = re.compile(r"(?<=_\d{4})_[0-9a-f]{8}(?=\.)")
ANN, BOB = Search("Ann", "Ann"), Search("밥", "밥")


class Gallery:
    """A site that names what a test tells it, and counts what is asked of it."""

    def __init__(self, results: dict[str, list[Hit | SiteError]], name: str = "google") -> None:
        self.name = name
        self.results = results
        self.queries: list[str] = []
        self.pulled = 0
        self.closed = 0

    def hits(self, search: Search, limit: int) -> Iterator[Hit]:
        self.queries.append(search.text)
        for hit in self.results[search.text]:
            if isinstance(hit, SiteError):
                raise hit
            self.pulled += 1
            yield hit

    def close(self) -> None:
        self.closed += 1


def hits(urls: list[str], start: int = 1, **facts: str) -> list[Any]:
    return [Hit(rank, url, **facts) for rank, url in enumerate(urls, start)]


class Set:
    """A set under test: crawling it, its rows and files."""

    def __init__(self, root: Path) -> None:
        self.root, self.data = root, root / "data"

    def crawl(self, *galleries: Gallery, limit: int = 0, full: bool = True, **how: Any) -> None:
        sources = [
            CrawlSource(
                gallery.name,
                lambda *_, gallery=gallery: gallery,
                [Search(text, how.get("labels", {}).get(text, text)) for text in gallery.results],
                limit,
                thumbnails=not full,
            )
            for gallery in galleries
        ]
        how.pop("labels", None)
        options = CrawlOptions(full=full, allow_private=True, limits=QUICK, **how)
        crawl.run(self.root, self.data, sources, options)

    @property
    def rows(self) -> list[Row]:
        """What holds, of all tables together, in the order of one."""
        whole = self.root / "whole.csv"
        manifest.write(whole, manifest.read(self.data))
        rows = tables.read(whole, manifest.COLUMNS)
        whole.unlink()
        return rows

    @property
    def table(self) -> Path:
        """The table of the last crawl."""
        return manifest.files(self.data)[-1]

    @property
    def kept(self) -> list[Row]:
        return [row for row in self.rows if row["file"]]

    def files(self, label: str = "Ann") -> list[str]:
        """Names without the hash in them, which `check` looks at."""
        folder = self.data / label
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        return [HASH.sub("", name) for name in names]

    def file(self, start: str) -> Path:
        """The one file whose path in data/ begins so."""
        (path,) = self.data.glob(f"{start}*")
        return path

    def check(self) -> None:
        """Rows and files are one to one, nothing is there twice, nothing half written."""
        on_disk = {
            path.relative_to(self.data).as_posix()
            for path in self.data.rglob("*")
            if path.is_file() and path.parent.name not in TABLES
        }
        named = [row["file"] for row in self.kept]
        assert sorted(named) == sorted(on_disk)
        for row in self.kept:
            data = (self.data / row["file"]).read_bytes()
            assert row["sha256"] == hashlib.sha256(data).hexdigest()
            if row["site"] and (in_name := HASH.search(row["file"])):
                assert row["sha256"].startswith(in_name[0][1:])
            folder = row["file"].split("/")[0]
            assert unicodedata.normalize("NFC", folder) == row["label"]
        pictures = [(row["label"], row["sha256"]) for row in self.kept]
        assert len(set(pictures)) == len(pictures)
        assert not [path for path in self.data.iterdir() if path.is_file()]
        for name in TABLES:
            listing.tables_of(self.data, name)


@pytest.fixture
def made(tmp_path: Path) -> Set:
    return Set(tmp_path)


# --- What is kept and written down ---------------------------------------------------------------


def test_pictures_and_their_provenance(made: Set, server: Server) -> None:
    urls = server.pictures(3)
    server.answers["/w"] = picture(7, "WEBP")
    gallery = Gallery({
        "밥": hits([*urls, server["/w"]], page="http://page/1", author=" A\nB ", licence="CC0"),
    })  # fmt: skip
    made.crawl(gallery)
    made.check()
    assert made.files("밥") == [
        "google_0001.jpg", "google_0002.jpg", "google_0003.jpg", "google_0004.webp",
    ]  # fmt: skip
    row = made.rows[3]
    digest = hashlib.sha256(picture(7, "WEBP")).hexdigest()
    assert row | {"fetched_at": ""} == {
        "file": f"밥/google_0004_{digest[:8]}.webp",
        "label": "밥", "site": "google", "search": "밥",
        "rank": "4", "page_url": "http://page/1", "image_url": server["/w"], "fetched_at": "",
        "sha256": digest,
        "bytes": str(len(picture(7, "WEBP"))), "width": "96", "height": "72",
        "content_type": "image/webp", "author": "A B", "licence": "CC0", "note": "",
    }  # fmt: skip
    assert row["fetched_at"].endswith("+00:00")
    assert [row["rank"] for row in made.rows] == ["1", "2", "3", "4"]
    assert server.requests[0].headers["Referer"] == "http://page/1"
    assert gallery.closed == 1


def test_the_same_answers_give_the_same_set(tmp_path: Path, server: Server) -> None:
    urls = server.pictures(12)
    server.answers["/p0"] = lambda _: time.sleep(0.2) or picture(0)  # type: ignore[func-returns-value]
    contents = []
    for name in ("a", "b"):
        each = Set(tmp_path / name)
        each.crawl(Gallery({"Ann": hits(urls)}))
        paths = sorted((each.data / "Ann").iterdir())
        contents.append([(path.name, path.read_bytes()) for path in paths])
    assert contents[0] == contents[1]
    assert [data for _, data in contents[0]] == [picture(number) for number in range(12)]


def test_giving_up_is_a_row_and_the_others_arrive(made: Set, server: Server) -> None:
    urls = server.pictures(6)
    server.answers |= {
        "/p1": Reply(status=302, headers={"Location": "/live"}),
        "/live": lambda _: Reply(picture(0)[:100], pieces=drip()),
        "/p2": Reply(headers={"Content-Length": str(200 * 2**20)}),
        "/p3": Reply(b"<html>no</html>"),
        "/p4": Reply(status=403),
    }
    made.crawl(Gallery({"Ann": hits(urls)}))
    made.check()
    assert made.files() == ["google_0001.jpg", "google_0002.jpg"]
    notes = {row["rank"]: row["note"] for row in made.rows if not row["file"]}
    assert notes == {
        "2": "took longer than 2 s", "3": "larger than 64 MiB",
        "4": "not a picture: a web page (HTML)", "5": "HTTP 403",
    }  # fmt: skip
    assert not list(made.data.rglob(".*"))


def drip(pieces: int = 200) -> Iterator[bytes]:
    for _ in range(pieces):
        time.sleep(0.1)
        yield b"x"


@pytest.mark.parametrize("name", ["a.jpg", "b.JPG", "c.jfif", "d"])
@pytest.mark.parametrize(("kind", "ending"), [("WEBP", "webp"), ("AVIF", "avif"), ("JPEG", "jpg")])
def test_files_are_kept_under_their_true_ending(
    made: Set, server: Server, name: str, kind: str, ending: str
) -> None:
    server.answers[f"/{name}"] = picture(3, kind)
    made.crawl(Gallery({"Ann": hits([server[f"/{name}"]])}))
    assert made.files() == [f"google_0001.{ending}"]


# --- Limits, numbers, the same picture twice -----------------------------------------------------


def test_the_limit_counts_pictures_kept_and_nothing_more_is_asked(
    made: Set, server: Server
) -> None:
    urls = server.pictures(60)
    for number in (1, 3):
        server.answers[f"/p{number}"] = Reply(status=404)
    gallery = Gallery({"Ann": hits(urls)})
    made.crawl(gallery, limit=10)
    made.check()
    assert len(made.files()) == 10
    assert gallery.pulled == 12
    assert len(server.requests) == 12


def test_searches_of_a_label_share_its_limit_and_its_numbers(made: Set, server: Server) -> None:
    urls = server.pictures(12)
    gallery = Gallery({"one": hits(urls[:4]), "two": hits(urls[2:10])})
    both = {"one": "Ann", "two": "Ann"}
    made.crawl(gallery, limit=6, labels=both)
    made.check()
    assert made.files() == [f"google_{number:04d}.jpg" for number in range(1, 7)]
    before = {path: path.read_bytes() for path in (made.data / "Ann").iterdir()}
    made.crawl(gallery, limit=9, labels=both)
    made.check()
    assert made.files() == [f"google_{number:04d}.jpg" for number in range(1, 10)]
    assert all(path.read_bytes() == before[path] for path in before)
    assert all(server.counts[urlsplit(url).path] <= 1 for url in urls)


def test_a_larger_limit_goes_on_and_asks_for_nothing_twice(made: Set, server: Server) -> None:
    urls = server.pictures(9)
    gallery = Gallery({"Ann": hits(urls)})
    made.crawl(gallery, limit=3)
    made.crawl(gallery, limit=3)
    assert gallery.queries == ["Ann"]  # it was finished
    made.crawl(gallery, limit=7)
    made.check()
    assert len(made.files()) == 7
    assert server.counts == {f"/p{number}": 1 for number in range(7)}


def test_again_asks_for_what_the_site_shows_first_today(made: Set, server: Server) -> None:
    old, new = server.pictures(4), [server["/x0"], server["/x1"]]
    server.answers |= {"/x0": picture(70), "/x1": picture(71)}
    gallery = Gallery({"Ann": hits(old)})
    made.crawl(gallery, limit=3)
    gallery.results["Ann"] = hits([new[0], old[0], new[1], old[3]])
    made.crawl(gallery, limit=3)
    assert gallery.queries == ["Ann"]
    made.crawl(gallery, limit=3, again=True)
    made.check()
    assert {row["image_url"] for row in made.kept} == {*old[:3], *new}


def test_numbers_go_on_from_the_highest_that_lies_there(made: Set, server: Server) -> None:
    folder = made.data / "Ann"
    folder.mkdir(parents=True)
    (folder / "google_0041.png").write_bytes(picture(90, "PNG"))
    (folder / "naver_0099.jpg").write_bytes(picture(91))
    (folder / "google_9.jpg").write_bytes(picture(92))
    made.crawl(Gallery({"Ann": hits(server.pictures(2))}))
    made.check()
    assert set(made.files()) >= {"google_0042.jpg", "google_0043.jpg"}
    assert (folder / "google_0041.png").read_bytes() == picture(90, "PNG")


def test_the_same_picture_is_kept_once_a_label(made: Set, server: Server) -> None:
    server.answers |= {path: picture(5) for path in ("/a", "/b", "/c")}
    urls = [server["/a"], server["/b"]]
    google = Gallery({"Ann": hits(urls), "밥": hits(urls)})
    naver = Gallery({"Ann": hits([server["/c"]])}, "naver")
    made.crawl(google, naver, threads=1)
    made.check()
    assert sorted(HASH.sub("", row["file"]) for row in made.kept) == [
        "Ann/google_0001.jpg",
        "밥/google_0001.jpg",
    ]
    again = Gallery(google.results)
    made.crawl(again, naver, again=True)
    assert len(made.kept) == 2
    assert set(server.counts.values()) == {1, 2}  # once a label, and never again


def test_a_folder_of_a_mac_is_the_labels_own(made: Set, server: Server) -> None:
    """Field report G12: its name is in Unicode form NFD."""
    decomposed = unicodedata.normalize("NFD", "가나다")
    (made.data / decomposed).mkdir(parents=True)
    (made.data / decomposed / "google_0007.jpg").write_bytes(picture(99))
    gallery = Gallery({"가나다": hits(server.pictures(3))})
    for limit in (2, 4):
        made.crawl(gallery, limit=limit)
        made.check()
    assert {path.name for path in made.data.iterdir()} - {*TABLES} == {decomposed}
    assert "google_0008.jpg" in made.files(decomposed)
    assert {row["label"] for row in made.rows} == {"가나다"}
    assert server.counts == {f"/p{number}": 1 for number in range(3)}


def test_rows_find_their_files_in_a_folder_of_another_unicode_form(
    made: Set, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A set crawled on Linux and brought to a Mac, whose disk changes the names."""
    made.crawl(Gallery({"가나": hits(server.pictures(2))}))
    decomposed = unicodedata.normalize("NFD", "가나")
    (made.data / "가나").rename(made.data / decomposed)
    monkeypatch.setattr(paths, "sha256", lambda _: pytest.fail("no file needs to be read"))
    Collection(made.data).close()
    monkeypatch.undo()
    made.check()
    assert [row["image_url"] for row in made.kept] == [server["/p0"], server["/p1"]]


def test_two_sites_side_by_side_keep_apart(made: Set, server: Server) -> None:
    google = Gallery({"Ann": hits(server.pictures(20, "/g"))})
    server.answers |= {f"/n{number}": picture(100 + number) for number in range(20)}
    naver = Gallery({"Ann": hits([server[f"/n{n}"] for n in range(20)])}, "naver")
    made.crawl(google, naver, limit=15, threads=2)
    made.check()
    assert len(made.files()) == 30


# --- Thumbnails and full pictures ----------------------------------------------------------------


def test_threads_take_the_proxies_in_turn(made: Set) -> None:
    both, given = threading.Barrier(2, timeout=20), []

    def make(_: object, proxy: str | None) -> Gallery:
        given.append(proxy)
        both.wait()
        return Gallery({"Ann": [SiteError("is away")], "밥": [SiteError("is away")]})

    proxies = ["http://one:1", "http://two:2"]
    sources = [CrawlSource("google", make, [Search("Ann", "Ann"), Search("밥", "밥")])]
    with pytest.raises(UserError, match="is away"):
        crawl.run(made.root, made.data, sources, CrawlOptions(threads=2, proxies=proxies))
    assert sorted(given) == proxies


def test_a_terminal_shows_how_far_each_label_is_at_each_site(
    made: Set, server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    made.crawl(Gallery({"Ann": hits(server.pictures(2))}), limit=2)
    shown = capsys.readouterr().err
    assert "Ann, google:" in shown
    assert "0/2" in shown


def test_one_picture_a_hit_with_every_fifth_refused(made: Set, server: Server) -> None:
    import base64

    results: list[Any] = []
    for number in range(40):
        small = base64.b64encode(picture(1000 + number, size=(40, 30))).decode()
        url = server[f"/f{number}"]
        server.answers[f"/f{number}"] = Reply(status=403) if number % 5 == 4 else picture(number)
        results.append(Hit(number + 1, url, f"data:image/jpeg;base64,{small}"))
    made.crawl(Gallery({"Ann": results}), limit=20)
    made.check()
    assert len(made.kept) == 20
    for number, row in enumerate(made.kept):
        assert row["image_url"] == server[f"/f{number}"]
        assert row["width"] == ("40" if number % 5 == 4 else "96")
        assert row["note"] == ("thumbnail: full picture HTTP 403" if number % 5 == 4 else "")


@pytest.mark.parametrize("carried", [True, False])
def test_full_after_thumbnails_puts_the_full_ones_in_their_place(
    made: Set, server: Server, carried: bool
) -> None:
    import base64

    small, large = [], []
    for number in range(4):
        data = picture(1000 + number, size=(40, 30))
        server.answers |= {f"/s{number}": data, f"/f{number}": picture(number)}
        url = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
        url = url if carried else server[f"/s{number}"]
        small.append(Hit(number + 1, url))
        large.append(Hit(number + 1, server[f"/f{number}"], url))
    server.answers["/f3"] = Reply(status=403)
    made.crawl(Gallery({"Ann": small}), limit=4, full=False)
    assert {row["note"] for row in made.kept} == {"thumbnail"}
    if carried:
        assert {row["image_url"] for row in made.kept} == {"data:image/jpeg"}
    gallery = Gallery({"Ann": large})
    made.crawl(gallery, limit=4, full=True)
    made.check()
    assert sorted((row["width"], row["note"]) for row in made.kept) == [
        ("40", "thumbnail: full picture HTTP 403"), ("96", ""), ("96", ""), ("96", ""),
    ]  # fmt: skip
    made.crawl(gallery, limit=4, full=True)
    made.crawl(gallery, limit=4, full=False)
    assert gallery.queries == ["Ann"]  # full ones are more than thumbnails


def test_a_thumbnail_left_beside_its_full_picture_by_a_kill_goes_in_the_next_crawl(
    made: Set, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers |= {"/s": picture(1000, size=(40, 30)), "/f": picture(0), "/f2": picture(1)}
    large = [Hit(1, server["/f"], server["/s"]), Hit(2, server["/f2"])]
    made.crawl(Gallery({"Ann": [Hit(1, server["/s"])]}), full=False)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(collection.Collection, "drop", killed)
        made.crawl(Gallery({"Ann": large}))
    assert [row["rank"] for row in made.kept] == ["1", "1"]
    made.crawl(Gallery({"Ann": large}), limit=2)
    made.check()
    assert [(row["rank"], row["width"]) for row in made.kept] == [("1", "96"), ("2", "96")]


def test_a_thumbnail_that_gave_way_counts_no_more(made: Set, server: Server) -> None:
    server.answers |= {"/s": picture(1000, size=(40, 30)), "/f": picture(0)}
    server.answers |= {"/no": Reply(status=403), "/f3": picture(3)}
    made.crawl(Gallery({"Ann": [Hit(1, server["/s"])]}), full=False)
    results = [Hit(1, server["/f"], server["/s"]), Hit(2, server["/no"], server["/s"])]
    made.crawl(Gallery({"Ann": [*results, Hit(3, server["/f3"])]}), limit=2)
    made.check()
    assert [row["rank"] for row in made.kept] == ["1", "3"]


# --- Nothing found is no success -----------------------------------------------------------------


def test_a_search_without_pictures_is_an_error_and_is_tried_again(
    made: Set, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    cause = "no selector under `results` in google.yaml matches"
    gallery = Gallery({"Ann": [SiteError(cause)], "밥": hits(server.pictures(3))})
    with pytest.raises(UserError) as caught:
        made.crawl(gallery)
    assert all(part in str(caught.value) for part in ("1 of the searches", "google", "Ann", cause))
    assert cause in capsys.readouterr().err
    assert len(made.files("밥")) == 3
    gallery.results["Ann"] = hits(server.pictures(3, "/x"))
    made.crawl(gallery)
    assert gallery.queries == ["Ann", "밥", "Ann"]
    made.check()
    assert len(made.kept) == 6


def test_what_came_before_a_site_broke_off_is_kept_and_the_rest_is_tried_again(
    made: Set, server: Server
) -> None:
    urls = server.pictures(6)
    gallery = Gallery({"Ann": [*hits(urls[:3]), SiteError("a captcha")]})
    with pytest.raises(UserError, match="a captcha"):
        made.crawl(gallery)
    made.check()
    assert len(made.kept) == 3
    gallery.results["Ann"] = hits(urls)
    made.crawl(gallery)
    made.check()
    assert len(made.kept) == 6
    assert set(server.counts.values()) == {1}


@pytest.mark.parametrize("results", [[], None])
def test_no_hits_and_only_bad_hits_are_errors_too(
    made: Set, server: Server, results: list[Any] | None
) -> None:
    gallery = Gallery({"Ann": hits([server["/none"]]) if results is None else results})
    with pytest.raises(UserError, match="HTTP 404" if results is None else "no reason"):
        made.crawl(gallery)
    assert made.kept == []


def test_an_address_that_failed_has_one_row_with_its_last_reason(
    made: Set, server: Server
) -> None:
    urls = server.pictures(2)
    gallery = Gallery({"Ann": hits([*urls, server["/x"]])})
    made.crawl(gallery)
    server.answers["/x"] = Reply(status=410)
    made.crawl(gallery, again=True)
    assert [row["note"] for row in made.rows] == ["", "", "HTTP 410"]
    server.answers["/x"] = picture(9)
    made.crawl(gallery, again=True)
    made.check()
    assert [row["note"] for row in made.rows] == ["", "", ""]


def test_labels_under_half_the_mean_are_warned_about(
    made: Set, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = server.pictures(10)
    made.crawl(Gallery({"Ann": hits(urls), "밥": hits(urls[:2])}))
    output = capsys.readouterr()
    assert "warning: 밥 has 2 pictures, less than half of the mean (6)" in output.err
    assert "warning: Ann" not in output.err
    assert "Ann, google, “Ann”: 10 new" in output.out
    assert "12 new pictures" in output.out


def test_a_thrown_away_label_or_set_is_crawled_anew(made: Set, server: Server) -> None:
    gallery = Gallery({"Ann": hits(server.pictures(3)), "밥": hits(server.pictures(3))})
    made.crawl(gallery, limit=3)
    shutil.rmtree(made.data / "Ann")
    made.crawl(gallery, limit=3)
    made.check()
    assert len(made.kept) == 6
    assert sorted(gallery.queries[:2]) == ["Ann", "밥"]  # side by side
    assert gallery.queries[2:] == ["Ann"]
    shutil.rmtree(made.data)
    made.crawl(gallery, limit=3)
    assert len(made.kept) == 6


# --- What a person did in between ----------------------------------------------------------------


def test_a_picture_taken_out_by_hand_does_not_come_back(made: Set, server: Server) -> None:
    server.answers["/copy"] = picture(1)
    urls = server.pictures(4)
    gallery = Gallery({"Ann": hits([*urls, server["/copy"]])})
    made.crawl(gallery, limit=3)
    made.file("Ann/google_0002").unlink()
    made.crawl(gallery, limit=4)
    made.check()
    assert len(made.kept) == 3
    assert [row["note"] for row in made.rows].count(TAKEN_OUT) == 1
    assert server.counts["/p1"] == 1


def test_a_picture_moved_to_another_label_takes_its_row_along(made: Set, server: Server) -> None:
    urls = server.pictures(4)
    made.crawl(Gallery({"Ann": hits(urls[:2]), "밥": hits(urls[2:])}))
    made.file("Ann/google_0002").rename(made.data / "밥" / "그림.jpg")
    Collection(made.data).close()
    made.check()
    (row,) = (row for row in made.rows if row["file"] == "밥/그림.jpg")
    assert (row["label"], row["image_url"]) == ("밥", urls[1])


def test_files_put_in_by_hand_get_a_row_and_stay(made: Set, server: Server) -> None:
    inner = made.data / "Ann" / "inner"
    inner.mkdir(parents=True)
    (inner / "mine.png").write_bytes(picture(50, "PNG"))
    (made.data / "Ann" / "notes.txt").write_text("mine")
    (made.data / "Ann" / ".DS_Store").write_text("x")
    made.crawl(Gallery({"Ann": hits(server.pictures(1))}))
    rows = {row["file"]: row for row in made.kept}
    assert rows["Ann/inner/mine.png"]["width"] == "96"
    assert rows["Ann/notes.txt"]["note"] == rows["Ann/inner/mine.png"]["note"] == PUT_IN
    assert (inner / "mine.png").read_bytes() == picture(50, "PNG")


def test_columns_that_somebody_added_are_kept(made: Set, server: Server) -> None:
    urls = server.pictures(2)
    made.crawl(Gallery({"Ann": hits(urls[:1])}))
    tables.write(
        made.table,
        [*manifest.COLUMNS, "mine"],
        [row | {"mine": "x"} for row in made.rows],
    )
    made.crawl(Gallery({"Ann": hits(urls)}), again=True)
    assert [row.added.get("mine") for row in manifest.read(made.data)] == ["x", None]
    made.file("Ann/google_0001").rename(made.data / "Ann" / "mine.jpg")
    Collection(made.data).close()
    assert {row.added.get("mine", ""): row.file for row in manifest.read(made.data)} == {
        "x": "Ann/mine.jpg", "": f"Ann/{made.file('Ann/google_0002').name}",
    }  # fmt: skip


def test_rows_go_under_their_columns_in_whatever_order_somebody_put_them(
    made: Set, server: Server
) -> None:
    made.crawl(Gallery({"Ann": hits(server.pictures(1))}))
    tables.write(made.table, manifest.COLUMNS[::-1], made.rows)
    row = ManifestRow(label="Ann", site="google", image_url="http://x/2.jpg", note="HTTP 404")
    manifest.append(made.table, row)
    assert made.rows[-1] == row.cells or made.rows[0] == row.cells
    collected = Collection(made.data)
    collected.note(ANN, "google", Hit(3, "http://x/3.jpg"), "HTTP 404")
    row = made.rows[-1]  # as a killed crawl leaves it
    assert (row["label"], row["image_url"], row["note"]) == ("Ann", "http://x/3.jpg", "HTTP 404")
    # Line ends of an old Mac.
    for path in manifest.files(made.data):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r"))
    Collection(made.data).close()
    assert len(made.rows) == 3


def test_an_emptied_manifest_is_said_and_nothing_is_made_up(made: Set, server: Server) -> None:
    made.crawl(Gallery({"Ann": hits(server.pictures(1))}))
    path = made.table
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"manifest/0001_.*: is empty.*`dvc checkout data\.dvc`"):
        Collection(made.data)
    assert path.read_bytes() == b""


def test_no_address_is_too_long_for_the_manifest(made: Set, server: Server) -> None:
    long = "http://x.invalid/" + 200_000 * "a"
    server.pictures(1)
    made.crawl(Gallery({"Ann": [Hit(1, server["/p0"], page=long), Hit(2, server[f"/{long}"])]}))
    made.check()
    assert len(made.rows) == 2


def test_half_letters_of_a_page_cost_nothing(made: Set, server: Server) -> None:
    forgotten.add(made.data, addresses=["http://x/"])
    half = "http://x.invalid/\ud83d"
    results = [Hit(1, server.pictures(1)[0], page=half, author="\ud83d"), Hit(2, half),
               Hit(3, "data:image/png,\udcff\ud83d")]  # fmt: skip
    made.crawl(Gallery({"Ann": results}))
    made.check()
    assert len(made.rows) == 3


def test_a_link_to_the_cache_is_never_written_through(made: Set, server: Server) -> None:
    urls = server.pictures(2)
    made.crawl(Gallery({"Ann": hits(urls[:1])}))
    cache = made.root / "cached"
    file = made.table
    for link in (os.link, os.symlink):
        cache.unlink(missing_ok=True)
        file.rename(cache)
        before = cache.read_bytes()
        link(cache, file)
        made.crawl(Gallery({"Ann": hits(urls)}), again=True)
        assert cache.read_bytes() == before
        assert len(made.kept) == 2


def test_a_split_set_is_not_crawled_into(made: Set, server: Server) -> None:
    for split in ("train", "validation"):
        (made.data / split / "Ann").mkdir(parents=True)
    with pytest.raises(UserError, match="--out"):
        made.crawl(Gallery({"Ann": hits(server.pictures(1))}))


@pytest.mark.parametrize("label", ["../x", "a/b", "..", "CON", "link", "file"])
def test_no_label_leads_out_of_data(made: Set, server: Server, label: str) -> None:
    made.data.mkdir()
    outside = made.root / "outside"
    outside.mkdir()
    (made.data / "link").symlink_to(outside)
    (made.data / "file").write_text("x")
    with pytest.raises(UserError, match=r"label|link"):
        made.crawl(Gallery({"q": hits(server.pictures(1))}), labels={"q": label})
    assert list(outside.iterdir()) == []
    assert server.requests == []


# --- Two people ----------------------------------------------------------------------------------


def test_no_crawl_changes_the_table_of_an_earlier_one(made: Set, server: Server) -> None:
    """Field report H2: what both sides of a merge changed, nobody can merge."""
    server.answers |= {"/s": picture(90), "/f": picture(91)}
    small = Gallery({"Bob": [Hit(1, server["/s"])]}, "naver")
    server.answers |= {f"/b{number}": picture(80 + number) for number in range(3)}
    others = [server[f"/b{number}"] for number in range(3)]
    gallery = Gallery({"Ann": hits(server.pictures(6)), "밥": hits(others)})
    made.crawl(gallery, small, limit=3, full=False)
    made.crawl(gallery, small, limit=3, full=False)
    (first,) = manifest.files(made.data)  # nothing new is no table
    before = first.read_bytes()
    made.file("Ann/google_0001").unlink()
    made.file("Ann/google_0002").rename(made.data / "Ann" / "mine.jpg")
    shutil.rmtree(made.data / "밥")
    small.results["Bob"] = [Hit(1, server["/f"], server["/s"])]
    gallery.results["Ann"].append(Hit(9, server["/gone"]))
    gallery.results["밥"] = hits(others, start=0)  # the same numbers and names, other ranks
    made.crawl(gallery, small, limit=9)
    made.check()
    assert len(manifest.files(made.data)) == 2
    made.crawl(gallery, small, limit=9, again=True)
    made.check()
    assert first.read_bytes() == before
    rows = {row["image_url"]: row for row in made.rows}
    assert rows[server["/p0"]]["note"] == TAKEN_OUT
    assert rows[server["/p1"]]["file"] == "Ann/mine.jpg"
    assert len([row for row in made.kept if row["label"] == "밥"]) == 3, "crawled anew"
    assert [row["image_url"] for row in made.kept if row["label"] == "Bob"] == [server["/f"]]
    assert server.counts["/p0"] == server.counts["/p1"] == 1


def test_what_two_people_crawled_apart_lies_side_by_side(tmp_path: Path, server: Server) -> None:
    urls = server.pictures(5)
    sets = [Set(tmp_path / name) for name in ("one", "two")]
    for each in sets:
        (each.data / "Ann").mkdir(parents=True)
        (each.data / "Ann" / "there.jpg").write_bytes(picture(90))
    sets[0].crawl(Gallery({"Ann": hits([*urls[:3], server["/x"]])}))
    sets[1].crawl(Gallery({"Ann": hits([urls[0], *urls[3:], server["/x"]])}))
    both = Set(tmp_path / "both")
    for each in sets:
        for path in each.data.rglob("*.*"):
            target = both.data / path.relative_to(each.data)
            assert not target.exists() or target.read_bytes() == path.read_bytes()
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    both.check()
    assert both.files() == [
        *(f"google_{number:04d}.jpg" for number in (1, 2, 2, 3, 3)), "there.jpg",
    ]  # fmt: skip
    assert [row["note"] for row in both.rows if not row["file"]] == ["HTTP 404"]
    server.requests.clear()
    server.answers["/new"] = picture(91)
    both.crawl(Gallery({"Ann": hits([*urls, server["/new"]])}))
    assert server.paths() == ["/new"]
    assert "google_0004.jpg" in both.files()


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_the_earlier_layout_is_not_passed_over(
    made: Set, server: Server, name: str
) -> None:
    made.crawl(Gallery({"Ann": hits(server.pictures(1))}))
    forgotten.add(made.data, labels=["Bob"])
    (table,) = listing.tables_of(made.data, name)
    single = made.data / f"{name}.csv"
    table.rename(single)
    table.parent.rmdir()
    for look in (lambda: made.crawl(Gallery({"Ann": []})), lambda: listing.scan(made.data)):
        with pytest.raises(UserError) as caught:
            look()
        assert str(caught.value).startswith(f"{single}: is not read")
    command = str(caught.value).split("`")[1]
    subprocess.run(command, shell=True, check=True)
    assert manifest.read(made.data)
    assert forgotten.load(made.data).bars_label("Bob")


def test_a_folder_of_tables_holds_nothing_else(made: Set, server: Server) -> None:
    made.crawl(Gallery({"Ann": hits(server.pictures(1))}))
    (made.data / "manifest" / ".DS_Store").touch()
    assert len(manifest.files(made.data)) == 1
    (made.data / "manifest" / "1.jpg").write_bytes(picture(1))
    for look in (manifest.read, listing.scan):
        with pytest.raises(UserError, match=r"manifest/1\.jpg: no table.*rename the folder"):
            look(made.data)


def test_a_set_of_ours_is_taken_as_a_folder(made: Set, server: Server) -> None:
    other = Set(made.root / "other")
    other.crawl(Gallery({"Ann": hits(server.pictures(2))}))
    source = listed.from_tree(other.data).source(0)
    crawl.run(made.root, made.data, [source], CrawlOptions())
    made.check()
    assert made.files() == ["folder_0001.jpg", "folder_0002.jpg"]


# --- Kills ---------------------------------------------------------------------------------------


def test_each_place_a_kill_can_hit_is_mended(
    made: Set, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stop before the row, after it, and in the middle of writing it."""
    urls = server.pictures(8)
    gallery = Gallery({"Ann": hits(urls)})
    made.crawl(gallery, limit=2)
    real_append, real_replace = manifest.append, Path.replace

    class Killed(BaseException):
        pass

    def killed(*_: Any) -> None:
        raise Killed

    def half(table: Path, row: ManifestRow) -> None:
        manifest.write(table, [])
        with table.open("ab") as file:
            file.write(f"{row.file},{row.label},goo".encode())
        raise Killed

    def no_rename(self: Path, target: Any) -> Path:
        if "google_" in self.name:
            raise Killed
        return real_replace(self, target)

    for place, broken in (
        ((manifest, "append"), killed),
        ((manifest, "append"), half),
        ((Path, "replace"), no_rename),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(*place, broken)
            patch.setattr(Collection, "close", lambda self: None)
            patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
            with pytest.raises(Killed):
                made.crawl(gallery, limit=len(made.kept) + 2)
        assert manifest.append is real_append
        Collection(made.data).close()
        made.check()
    made.crawl(gallery)
    made.check()
    assert len(made.kept) == 8


CRAWLER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from support.loopback import QUICK
from dataclasses import replace
from whoswho.crawl import crawl
from whoswho.crawl.site import CrawlOptions, CrawlSource, Hit, Search
from whoswho.errors import one_line_errors
from whoswho.lifecycle.tracking.signals import as_exceptions

class Gallery:
    name = "google"
    def hits(self, search, limit):
        return (Hit(n + 1, f"{sys.argv[2]}/p{n}") for n in range(60))
    def close(self): pass

source = CrawlSource("google", lambda *_: Gallery(), [Search("a", "가"), Search("b", "나")], 50)
with one_line_errors(), as_exceptions():
    root = Path(sys.argv[1])
    limits = replace(QUICK, seconds=60)
    crawl.run(root, root / "data", [source], CrawlOptions(allow_private=True, limits=limits))
"""


def crawler(root: Path, server: Server) -> subprocess.Popen[str]:
    return processes.start(
        [sys.executable, "-c", CRAWLER, str(root), server.root, str(Path(__file__).parent)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def slowly(number: int) -> Callable[[Request], bytes]:
    def answer(_: Request) -> bytes:
        time.sleep(0.02)
        return picture(number)

    return answer


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_killed_again_and_again_it_ends_as_if_never_killed(made: Set, server: Server) -> None:
    server.answers |= {f"/p{number}": slowly(number) for number in range(60)}
    for at in (3, 20, 45):  # requests after which the crawl is killed
        process = crawler(made.root, server)
        server.requests.clear()
        while process.poll() is None and len(server.requests) < at:
            time.sleep(0.005)
        process.kill()
        process.communicate()
    process = crawler(made.root, server)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    made.check()
    assert len(made.files("가")) == len(made.files("나")) == 50
    counts = server.counts.copy()
    assert crawler(made.root, server).communicate(timeout=60)[1] == ""
    assert server.counts == counts


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_soon_and_says_that_it_goes_on(
    made: Set, server: Server, number: signal.Signals, code: int
) -> None:
    server.answers |= {f"/p{each}": slowly(each) for each in range(60)}
    server.answers["/p10"] = lambda _: Reply(pieces=drip(600))
    process = crawler(made.root, server)
    while process.poll() is None and "/p10" not in server.paths():
        time.sleep(0.005)
    process.send_signal(number)
    _, err = process.communicate(timeout=25)  # the stream alone would go on for a minute
    assert process.returncode == code, err
    assert "the same command goes on" in err
    assert "Traceback" not in err
    made.check()
    assert not list(made.data.rglob(".*"))


def test_one_crawl_at_a_time(made: Set, server: Server) -> None:
    with alone(made.root), pytest.raises(UserError, match="is running here"):
        made.crawl(Gallery({"Ann": hits(server.pictures(1))}))


def test_a_full_disk_is_one_line_and_leaves_no_half_row(
    made: Set, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery = Gallery({"Ann": hits(server.pictures(4))})
    real = os.fsync
    calls: list[int] = []

    def fsync(number: int) -> None:
        calls.append(number)
        if len(calls) == 4:  # the second row
            raise OSError(28, "No space left on device")
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space"):
        made.crawl(gallery)
    monkeypatch.undo()
    made.check()
    made.crawl(gallery)
    made.check()
    assert len(made.kept) == 4


def test_a_row_that_does_not_reach_the_disk_is_taken_back(
    made: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = manifest.new_file(made.data)
    manifest.write(table, [])
    before = table.read_bytes()

    def fsync(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space"):
        manifest.append(table, ManifestRow("Ann/google_0001.jpg"))
    assert table.read_bytes() == before


# --- Forgotten -----------------------------------------------------------------------------------


def test_what_is_barred_does_not_come_back_and_leaves_no_trace(
    made: Set, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = server.pictures(5)
    forgotten.add(
        made.data,
        pictures=[hashlib.sha256(picture(0)).hexdigest()],
        addresses=[urls[1].upper().replace("/P1", "/p1") + "#x", "https://page.example/a"],
        labels=["밥"],
    )
    results = [*hits(urls), Hit(9, server["/p9"], page="http://PAGE.example:80/a")]
    gallery = Gallery({"Ann": results, "밥": hits(urls)})
    made.crawl(gallery)
    made.check()
    assert sorted(row["image_url"] for row in made.rows) == urls[2:]
    assert gallery.queries == ["Ann"]
    assert "/p1" not in server.paths()
    assert "/p9" not in server.paths()
    output = capsys.readouterr()
    assert "3 refused, data/forgotten/ bars them" in output.out
    assert "밥: data/forgotten/ bars this label" in output.err
    content = "".join(f.read_text() for f in listing.tables_of(made.data, forgotten.FOLDER))
    assert content
    assert "page" not in content
    assert "밥" not in content


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("http://h/a", "https://h/a"), ("http://H:80/a#x", "http://h/a"), ("http://h", "http://h/"),
        ("https://u:p@h:443/?", "https://h/"), ("data:,x", " data:,x "),
    ],
)  # fmt: skip
def test_spellings_of_an_address_are_one(first: str, second: str) -> None:
    assert forgotten.address_hash(first) == forgotten.address_hash(second)


def test_different_addresses_are_not() -> None:
    different = ["http://h/a", "http://h/A", "http://h:8080/a", "http://h/a?b", "http://g/a", "x"]
    assert len(set(map(forgotten.address_hash, different))) == len(different)


def test_a_label_is_barred_in_any_form(tmp_path: Path) -> None:
    forgotten.add(tmp_path, labels=["Gáng"])
    barred = forgotten.load(tmp_path)
    assert barred.bars_label(unicodedata.normalize("NFD", "GÁNG"))
    assert not barred.bars_label("Gang")


def test_bars_are_added_and_a_damaged_table_stops_everything(made: Set) -> None:
    forgotten.add(made.data, addresses=["http://h/1"])
    forgotten.add(made.data, addresses=["http://h/2"])
    barred = forgotten.load(made.data)
    assert barred.bars_address("http://h/1")
    assert barred.bars_address("http://h/2")
    first, second = listing.tables_of(made.data, forgotten.FOLDER)
    before = first.read_bytes(), second.read_bytes()
    forgotten.add(made.data, addresses=["http://h/1", "http://h/2"])
    assert listing.tables_of(made.data, forgotten.FOLDER) == [first, second], "nothing new"
    assert (first.read_bytes(), second.read_bytes()) == before
    with second.open("a") as file:
        file.write("adress,123\n")
    with pytest.raises(UserError, match=rf"{second.name}, line 3"):
        made.crawl(Gallery({"Ann": []}))


# --- Other sources -------------------------------------------------------------------------------


def test_a_folder_is_copied_or_linked_with_names_alone(made: Set, tmp_path: Path) -> None:
    top = tmp_path / "home" / "pictures"
    (top / "Ann" / "deep").mkdir(parents=True)
    (top / "Ann" / "IMG 1.JPG").write_bytes(picture(1))
    (top / "Ann" / "deep" / "2").write_bytes(picture(2, "PNG"))
    (top / "Ann" / "page.jpg").write_text("<html>")
    (top / "Ann" / "out.jpg").symlink_to("/etc/passwd")
    (top / "Ann" / ".hidden.jpg").write_bytes(picture(3))
    for link in (False, True):
        source = listed.from_tree(top).source(0, link=link)
        target = Set(tmp_path / str(link))
        crawl.run(target.root, target.data, [source], CrawlOptions())
        target.check()
        assert target.files() == ["folder_0001.jpg", "folder_0002.png"]
        same = target.file("Ann/folder_0001").samefile(top / "Ann" / "IMG 1.JPG")
        assert same == link
        text = target.table.read_text()
        assert "IMG 1.JPG" in text
        assert "home" not in text
        (bad,) = (row for row in target.rows if not row["file"])
        assert bad["note"] == "page.jpg: not a picture: a web page (HTML)"
    assert (top / "Ann" / "IMG 1.JPG").read_bytes() == picture(1)


def test_links_of_a_folder_lead_to_files_inside_or_are_named(
    made: Set, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    top, outside = tmp_path / "pictures", tmp_path / "outside"
    for folder in (top / "Ann", top / "Bob", outside / "Cid"):
        folder.mkdir(parents=True)
    (top / "Ann" / "1.jpg").write_bytes(picture(1))
    (outside / "Cid" / "secret.jpg").write_bytes(picture(2))
    (top / "Bob" / "inside.jpg").symlink_to("../Ann/1.jpg")
    out = {
        "Ann/a-out.jpg": outside / "Cid" / "secret.jpg",
        "Ann/b-folder": outside,
        "Ann/c-gone.jpg": Path("nowhere"),
        "Ann/d-circle": Path("d-circle"),
        "Ann/e-up": Path(".."),
        "Cid": outside / "Cid",
    }
    for name, target in out.items():
        (top / name).symlink_to(target)
    source = tmp_path / "link to pictures"
    source.symlink_to(top)
    for link in (False, True):
        target = Set(tmp_path / f"set {link}")
        listing = listed.from_tree(source)
        assert sorted(listing.left_out) == sorted(out)
        assert listing.note.startswith("6 links left out")
        crawl.run(target.root, target.data, [listing.source(0, link=link)], CrawlOptions())
        target.check()
        files = list(target.data.rglob("*.jpg"))
        assert sorted(path.parent.name for path in files) == ["Ann", "Bob"]
        assert all(path.read_bytes() == picture(1) and not path.is_symlink() for path in files)
    command.plan(
        tmp_path / "set True",
        cli.parser().parse_args(["crawl", "--folder", str(source), "--out", str(made.data)]),
    )
    assert "6 links left out" in capsys.readouterr().err
    (tmp_path / "links alone").mkdir()
    (tmp_path / "links alone" / "Cid").symlink_to(outside / "Cid")
    with pytest.raises(UserError, match=r"has no folder for a label.*not followed: Cid"):
        listed.from_tree(tmp_path / "links alone")


def test_a_second_folder_is_taken_and_new_files_of_the_first(
    made: Set, capsys: pytest.CaptureFixture[str]
) -> None:
    """Field report G10."""
    for number, name in enumerate(("one", "two")):
        (made.root / name / "Kim").mkdir(parents=True)
        (made.root / name / "Kim" / "1.jpg").write_bytes(picture(number))

    def take(name: str) -> str:
        crawl.run(made.root, made.data, [listed.from_tree(made.root / name).source(0)],
                  CrawlOptions())  # fmt: skip
        made.check()
        return capsys.readouterr().out

    assert "1 new picture;" in take("one")
    assert "finished before" in take("one")
    assert "1 new picture;" in take("two")
    (made.root / "two" / "Kim" / "2.jpg").write_bytes(picture(2))
    assert "1 new picture;" in take("two")
    assert "0 new pictures" in take("one")
    assert len(made.kept) == 3


def test_addresses_added_to_a_list_are_asked_for(made: Set, server: Server) -> None:
    urls = [*server.pictures(3), server["/none"]]
    for count, expected in ((2, 2), (2, 2), (4, 4), (4, 4)):
        write_list(made.root / "l.csv", [(url, "Ann") for url in urls[:count]])
        source = listed.from_table(made.root / "l.csv").source(0)
        options = CrawlOptions(allow_private=True, limits=QUICK)
        crawl.run(made.root, made.data, [source], options)
        assert len(server.requests) == expected
    assert len(made.kept) == 3


API = "/w/api.php"


def commons_answer(request: Request, server: Server) -> Reply:
    """Three files in two batches, the facts of the first batch in two parts."""
    query = {key: value[0] for key, value in parse_qs(urlsplit(request.path).query).items()}
    assert query["gsrsearch"] == "장원영 filetype:bitmap"
    assert query["gsrnamespace"] == "6"

    def page(number: int, info: bool = True, mime: str = "image/jpeg") -> dict[str, Any]:
        facts = {
            "url": server[f"/p{number}"], "thumburl": server[f"/t{number}"], "mime": mime,
            "descriptionurl": f"https://commons.example/File:{number}", "user": "Uploader",
            "extmetadata": {
                "Artist": {} if number == 2 else {"value": "<a href='/x'>Kim &amp; <b>Lee</b>"},
                "LicenseShortName": {"value": "CC BY-SA 4.0"},
                "LicenseUrl": {"value": "https://cc.example/by-sa/4.0"},
            },
        }  # fmt: skip
        entry: dict[str, Any] = {"pageid": number, "index": number}
        return entry | ({"imageinfo": [facts]} if info else {})

    if "gsroffset" in query:
        pages = [page(3), page(4, mime="application/pdf")]
        answer: dict[str, Any] = {"batchcomplete": True, "query": {"pages": pages}}
    elif "iistart" in query:
        answer = {
            "batchcomplete": True, "continue": {"gsroffset": 2, "continue": "gsroffset||"},
            "query": {"pages": [page(1), {"pageid": 2, "index": 2}]},
        }  # fmt: skip
    else:
        answer = {
            "continue": {"iistart": "x", "continue": "||"},
            "query": {"pages": [page(2), page(1, info=False)]},
        }
    return Reply(json.dumps(answer).encode(), headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("full", [True, False])
def test_commons_gives_author_licence_and_page(server: Server, full: bool) -> None:
    server.answers[API] = lambda request: commons_answer(request, server)
    site = Commons(Transport(QUICK, allow_private=True), full=full, address=server[API])
    hits = list(site.hits(Search("장원영", "x"), 0))
    letter = "p" if full else "t"
    assert [(hit.rank, hit.image) for hit in hits] == [
        (rank, server[f"/{letter}{rank}"]) for rank in (1, 2, 3)
    ]
    assert hits[0].author == "Kim & Lee"
    assert hits[1].author == "Uploader"
    assert hits[0].licence == "CC BY-SA 4.0 https://cc.example/by-sa/4.0"
    assert hits[0].page == "https://commons.example/File:1"
    assert hits[0].thumbnail == (server["/t1"] if full else "")
    assert [hit.rank for hit in site.hits(Search("장원영", "x"), 2)] == [1, 2]


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("complete", [True, False])
def test_commons_that_repeats_itself_is_left(
    made: Set, server: Server, capsys: pytest.CaptureFixture[str], full: bool, complete: bool
) -> None:
    """Field report G9: the last page comes again and again, with another token each time."""
    offsets: list[int] = []

    def answer(request: Request) -> bytes:
        offset = int(parse_qs(urlsplit(request.path).query).get("gsroffset", ["0"])[0])
        offsets.append(offset)
        first = 50 * min(offset, 1)
        pages = [
            {"pageid": number, "index": number, "imageinfo": [
                {"url": server[f"/p{number}"], "mime": "image/jpeg"}]}
            for number in range(first, first + 3)
        ]  # fmt: skip
        body = {"batchcomplete": complete, "query": {"pages": pages}}
        return json.dumps(body | {"continue": {"gsroffset": offset + 1}}).encode()

    server.pictures(60)
    server.answers[API] = answer

    def make(transport: Transport, _: str | None) -> Commons:
        return Commons(transport, full=full, address=server[API])

    source = CrawlSource("commons", make, [ANN], 500, thumbnails=not full)
    options = CrawlOptions(full=full, allow_private=True, limits=QUICK)
    crawl.run(made.root, made.data, [source], options)
    made.check()
    assert offsets == list(range(2 + commons.ROUNDS))
    assert len(made.kept) == 6
    assert "6 new, 6 of 500 found" in capsys.readouterr().out


@pytest.mark.parametrize("what", ["address", "picture", "failure"])
def test_a_site_that_goes_round_in_circles_is_left(
    made: Set, server: Server, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, what: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(searching, "REPEATS", 30)
    urls = server.pictures(4)

    class Circle(Gallery):
        def hits(self, search: Search, limit: int) -> Iterator[Hit]:
            for number in range(100_000):
                self.pulled += 1
                mark = "" if what == "address" else f"?{number}"
                path = "/none" if what == "failure" and number >= 4 else f"/p{number % 4}"
                server.answers[f"{path}{mark}"] = server.answers.get(path, Reply(status=404))
                yield Hit(number + 1, server[f"{path}{mark}"])

    gallery = Circle({"Ann": list(urls)})
    made.crawl(gallery, limit=500)
    made.check()
    assert "4 of 500 found" in capsys.readouterr().out
    # Each new picture starts the count anew, and arrives when its download does.
    assert gallery.pulled <= 4 * (1 + 30) + searching.AHEAD


def test_what_an_earlier_crawl_brought_does_not_end_a_search(
    made: Set, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "REPEATS", 5)
    gallery = Gallery({"Ann": hits(server.pictures(20))})
    made.crawl(gallery, limit=15)
    made.crawl(gallery, limit=20)
    assert len(made.kept) == 20


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            {"error": {"code": "maxlag", "info": "Waiting for <b>db1</b>"}},
            "maxlag: Waiting for db1",
        ),
        ({"error": {"code": "ratelimited", "info": "too fast"}}, "wait a minute"),
        ({"error": {"code": "badvalue", "info": "x"}}, "change the search"),
        ({"batchcomplete": True}, "no picture for this search"),
        ([], "something else than JSON"),
        (b"<html>blocked</html>", "something else than JSON"),
        (Reply(status=503), "HTTP 503"),
        (Reply(status=403), "HTTP 403"),
    ],
)
def test_commons_says_why_not(server: Server, answer: Any, message: str) -> None:
    reply = answer if isinstance(answer, (bytes, Reply)) else json.dumps(answer).encode()
    server.answers[API] = reply
    site = Commons(Transport(QUICK, allow_private=True), full=True, address=server[API])
    with pytest.raises(SiteError, match=message):
        list(site.hits(ANN, 0))


# --- The command ---------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


def ends(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    try:
        cli.main(["crawl", *arguments])
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    output = capsys.readouterr()
    assert "Traceback" not in output.err
    return code, output.out, output.err


def write_list(path: Path, rows: list[tuple[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("url", "label"), *rows])


def test_a_list_of_addresses_from_the_command_line(
    workspace: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    write_list(workspace / "l.csv", [(url, "Ann") for url in server.pictures(3)])
    code, out, err = ends(["--urls", "l.csv", "--allow-private"], capsys)
    assert (code, err) == (0, "")
    made = Set(workspace)
    made.check()
    assert made.files() == ["url_0001.jpg", "url_0002.jpg", "url_0003.jpg"]
    assert "3 new pictures" in out
    entries = {entry.name for entry in workspace.iterdir()}
    assert entries == {"dvc.yaml", "l.csv", "data", ".whoswho"}
    code, out, _ = ends(["--urls", "l.csv", "--allow-private"], capsys)
    assert "0 new pictures" in out
    assert len(server.requests) == 3


def test_private_addresses_are_refused_and_said(
    workspace: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    write_list(workspace / "l.csv", [(url, "Ann") for url in server.pictures(3)])
    code, _, err = ends(["--urls", "l.csv"], capsys)
    assert code == 2
    assert "private network" in err
    assert "--allow-private" in err
    assert server.requests == []


@pytest.mark.parametrize("mixed", [False, True])
def test_private_addresses_are_said_once_with_their_count(
    workspace: Path, server: Server, capsys: pytest.CaptureFixture[str], mixed: bool
) -> None:
    """Field report: one message six times."""
    labels = ("Ann", "Bob", "밥", "Kim")
    rows = [(url, label) for url in server.pictures(2) for label in labels]
    if mixed:
        import base64

        data = base64.b64encode(picture(9)).decode()
        rows += [(f"data:image/jpeg;base64,{data}", label) for label in labels]
    write_list(workspace / "l.csv", rows)
    code, out, err = ends(["--urls", "l.csv"], capsys)
    assert code == (0 if mixed else 2)
    assert (out + err).count("private network") == (out + err).count("--allow-private") == 1
    assert "8 pictures given up: 127.0.0.1 is in a private network" in err
    assert ("4 of the searches failed" in err) != mixed


def test_a_contact_address_is_in_the_user_agent(
    workspace: Path, server: Server, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    write_list(workspace / "l.csv", [(server.pictures(1)[0], "Ann")])
    command = ["--urls", "l.csv", "--allow-private", "--again"]

    def agent(*more: str) -> str:
        shutil.rmtree(workspace / "data", ignore_errors=True)
        assert ends([*command, *more], capsys)[0] == 0
        return server.requests[-1].headers["User-Agent"]

    monkeypatch.delenv("WHOSWHO_CONTACT", raising=False)
    assert "; a crawler of pictures)" in agent()
    assert "; a crawler of pictures; me@example.org)" in agent("--contact", "me@example.org")
    monkeypatch.setenv("WHOSWHO_CONTACT", "https://example.org/me")
    assert "; https://example.org/me)" in agent()
    assert "; me@example.org)" in agent("--contact", "me@example.org")
    for bad in ("me", "a@b\r\nX: y", "가@example.org", "a@b; x"):
        code, _, err = ends([*command, "--contact", bad], capsys)
        assert code == 2
        assert "no mail address and no page" in err
    monkeypatch.setenv("WHOSWHO_CONTACT", "nobody")
    assert "WHOSWHO_CONTACT 'nobody'" in ends(command, capsys)[2]


def test_check_says_what_works_and_keeps_nothing(
    workspace: Path, server: Server, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(
        "whoswho.crawl.sites.make",
        lambda name, *_: Gallery(
            {"Ann": hits([server["/no"], *server.pictures(2)]) if name == "google" else
             [SiteError("naver shows a captcha")]}, name),
    )  # fmt: skip
    (workspace / "keywords.txt").write_text("Ann\n밥\n")
    code, out, err = ends(["--check", "--allow-private"], capsys)
    assert (code, err) == (0, "")
    first, second, third = out.splitlines()
    assert first.startswith("check: google, “Ann”: works (3 hits")
    assert "image/jpeg, 96x72" in first
    assert second == "check: naver, “Ann”: naver shows a captcha"
    assert third.startswith("check: commons, “Ann”: ")
    assert not (workspace / "data").exists()
    code, _, err = ends(["--check", "--allow-private", "--sites", "naver"], capsys)
    assert code == 2
    assert "no site works" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sites", "gogle"], "did you mean google?"),
        (["--sites", ","], "names none"),
        (["--threads", "0"], "1 or more"),
        (["--limit", "-1"], "whole number"),
        (["--link"], "give --folder"),
        (["--folder", "none"], "no such folder"),
        (["--folder", ".", "--label", "../x"], "has a slash"),
        (["--out", ""], "holds the repository itself"),
        (["--out", ".."], "holds the repository itself"),
        (["--out", "dvc.yaml/x"], "is a file"),
        (["--urls", "none.csv"], "not there"),
        (["--proxies", "none.txt"], "not there"),
        (["--keywords", "none.txt"], "not there"),
        (["--out", "dvc.yaml"], "is a file"),
        ([], "not there, but data.dvc is"),
    ],
)
def test_bad_options_are_one_line(
    workspace: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (workspace / "keywords.txt").write_text("Ann\n")
    if not arguments:
        (workspace / "data.dvc").write_text("outs: []\n")
    code, _, err = ends(arguments, capsys)
    assert code == 2
    assert message in err
    assert not (workspace / "data").exists()


def test_a_label_like_a_folder_there_is_refused_before_anything_is_asked(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (workspace / "data" / "ann").mkdir(parents=True)
    (workspace / "keywords.txt").write_text("Ann\n")
    code, _, err = ends(["--sites", "commons"], capsys)
    assert code == 2
    assert "'Ann' and 'ann'" in err


def test_help_loads_no_browser(tmp_path: Path) -> None:
    seen = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "whoswho.cli", "crawl", "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert not {"selenium", "torch", "urllib3", "PIL"} & {
        line.rpartition("|")[2].strip() for line in seen.stderr.splitlines()
    }


def test_ten_thousand_pictures_cost_no_rewriting_each(
    made: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    real = tables.write
    monkeypatch.setattr(
        tables, "write", lambda path, *rest: written.append(1) or real(path, *rest)
    )
    monkeypatch.setattr(os, "fsync", lambda number: None)
    collection = Collection(made.data)
    for number in range(300):
        collection.note(ANN, "google", Hit(number + 1, f"http://h/{number}"), "HTTP 404")
    collection.close()
    assert len(written) <= 3
    assert len(made.rows) == 300
    assert paths.sha256(made.table)


def test_check_tries_every_site_unless_told_which(tmp_path: Path) -> None:
    (tmp_path / "keywords.txt").write_text("Ann\n")

    def sites(*options: str) -> list[str]:
        given = cli.parser().parse_args(["crawl", "--out", str(tmp_path / "data"), *options])
        return [source.site for source in command.plan(tmp_path, given)[1]]

    assert sites("--check") == ["google", "naver", "commons"]
    assert sites("--check", "--sites", "commons") == ["commons"]
    assert sites() == ["google", "naver"]
