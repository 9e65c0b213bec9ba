"""The page shows everything in a real browser, asks nobody for anything, and runs nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import browser
from support.reported import HANGUL, HOSTILE, MISSING, workspace

from whoswho.reporting import page, run_report


def write(folder: Path) -> Path:
    page.write(run_report.read_run(folder), folder / "reports")
    return folder / "reports" / "report.html"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(workspace(tmp_path_factory.mktemp("full 새 폴더"), ready_split=True))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without a test split, without a fallback, without a mistake."""
    folder = tmp_path_factory.mktemp("plain")
    return write(workspace(folder, ("a", "b"), test=False, fallback=False, wrong=10**6))


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with browser.chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def phone() -> Iterator[Any]:
    with browser.chromium(390, 800) as opened:
        yield opened


def test_every_label_is_shown_as_it_is(full: Path, driver: Any) -> None:
    driver.get(full.as_uri())
    for section in ("set", "labels"):
        names = driver.execute_script(
            "return [...document.querySelectorAll('#' + arguments[0] + ' th[scope=row] bdi')]"
            ".map(e => e.textContent)",
            section,
        )
        assert set(names) == {label.replace("\ue000", "U+E000") for label in HOSTILE}
    text = driver.execute_script("return document.body.innerText")
    assert "<script>alert(1)</script>" in text
    assert "Untrained (random weights): not a model to use" in text
    assert "dvc exp run -S backbone.arch=dlib_resnet29 takes a trained backbone" in " ".join(
        text.split()
    )
    assert f"No picture of {MISSING} in test" in text
    assert "1 pair of look-alikes lies on two sides" in text
    assert "not defined" in text
    rows = driver.execute_script(
        "return document.querySelectorAll('#mistakes table tr').length - 1"
    )
    assert rows == len(run_report.read_run(full.parents[1]).mistakes) == 12


def test_every_picture_is_loaded_and_told_in_words(full: Path, driver: Any) -> None:
    driver.get(full.as_uri())
    images = driver.execute_script(
        "return [...document.images].map(i => [i.naturalWidth, i.naturalHeight, i.alt])"
    )
    assert len(images) == 5
    assert all(width > 300 and height > 200 for width, height, _ in images)
    assert all(len(alt) > 40 for _, _, alt in images)


def test_accuracy_on_worse_pictures_stands_beside_that_on_the_same_as_they_are(
    full: Path, plain: Path, driver: Any
) -> None:
    driver.get(full.as_uri())
    section = driver.find_element("id", "worse").text
    assert "36 test pictures, each made worse in turn" in section
    assert "2 of them show no face" in section
    assert "masked only where one was found" in section
    cells = driver.execute_script(
        "return [...document.querySelectorAll('#worse tbody tr')]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )
    assert cells[0] == [
        "blur (radius 4 of 64 pixels)", "36", "0.750", "0.500", "0.400 to 0.600", "25%",
    ]  # fmt: skip
    assert [row[1] for row in cells] == ["36", "34"]
    driver.get(plain.as_uri())
    assert "Not measured (evaluate.altered: 0)." in driver.find_element("id", "worse").text


def test_nothing_is_asked_of_anybody(full: Path, driver: Any) -> None:
    browser.requests(driver)
    driver.get(full.as_uri())
    addresses = browser.requests(driver)
    assert len(addresses) > 5
    assert {address.split(":")[0] for address in addresses} == {"file", "data"}
    assert [url for url in addresses if url.startswith("file")] == [full.as_uri()]
    assert driver.get_log("browser") == []  # nothing refused by its policy, no error


def test_no_label_becomes_markup(full: Path, driver: Any) -> None:
    driver.get(full.as_uri())
    counts = driver.execute_script(
        "return [document.scripts.length, document.querySelectorAll('b').length]"
    )
    assert counts == [0, 0]


def test_it_brings_the_letters_a_machine_may_lack(full: Path, driver: Any) -> None:
    driver.get(full.as_uri())
    driver.execute_cdp_cmd("DOM.enable", {})
    driver.execute_cdp_cmd("CSS.enable", {})
    root = driver.execute_cdp_cmd("DOM.getDocument", {})["root"]["nodeId"]
    nodes = driver.execute_cdp_cmd(
        "DOM.querySelectorAll", {"nodeId": root, "selector": "#set table:first-of-type th bdi"}
    )["nodeIds"]
    drawn = {}
    for node in nodes:
        html = driver.execute_cdp_cmd("DOM.getOuterHTML", {"nodeId": node})["outerHTML"]
        used = driver.execute_cdp_cmd("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
        drawn[re.sub("<[^>]*>", "", html)] = used
    for label in (
        HANGUL,
        "Кириллица",
        "かな",
        "\U0001f9d1",
        "\U0001f469\u200d\U0001f680",
        "مرحبا",
    ):
        assert all(font["isCustomFont"] for font in drawn[label]), (label, drawn[label])
    assert drawn["\U0001f469\u200d\U0001f680"][0]["glyphCount"] == 1  # joined: one astronaut


@pytest.mark.parametrize("which", ["full", "plain"])
def test_a_phone_need_not_scroll_sideways(
    which: str, phone: Any, request: pytest.FixtureRequest
) -> None:
    phone.get(request.getfixturevalue(which).as_uri())
    wide, window = phone.execute_script(
        "return [document.documentElement.scrollWidth, window.innerWidth]"
    )
    assert window == 390
    assert wide <= window


def test_without_a_test_split_it_says_validation(plain: Path, driver: Any) -> None:
    driver.get(plain.as_uri())
    text = driver.execute_script("return document.body.innerText")
    assert "There is no test split" in text
    assert "accuracy on 6 validation pictures" in text
    assert "None: all 6 validation pictures were named rightly" in text
    assert "random weights" not in text
    assert "look-alikes" not in text


def test_the_same_run_gives_the_same_page(plain: Path) -> None:
    before = plain.read_bytes()
    assert write(plain.parents[1]).read_bytes() == before


def test_it_is_one_file_without_script_or_address(full: Path) -> None:
    text = full.read_text(encoding="utf-8")
    assert text.count("<script") == 0
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", text)
    assert 'lang="en"' in text
    assert "http://" not in text
    assert "https://" not in text
