"""The page shows everything in a real browser, asks nobody for anything, and runs nothing."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import browser
from support.reported import HANGUL, HOSTILE, MISSING, workspace

from whoswho.errors import UserError
from whoswho.reporting import mistakes, page, run_report


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
    return write(
        workspace(folder, ("a", "b"), test=False, fallback=False, wrong=10**6, suspects=0)
    )


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
        "return document.querySelectorAll('#mistakes .scroll tbody tr').length"
    )
    assert rows == len(run_report.read_run(full.parents[1]).mistakes) == 12


def test_every_picture_is_loaded_and_told_in_words(full: Path, driver: Any) -> None:
    driver.get(full.as_uri())
    images = driver.execute_script(
        "return [...document.querySelectorAll('figure img')]"
        ".map(i => [i.naturalWidth, i.naturalHeight, i.alt])"
    )
    assert len(images) == 5
    assert all(width > 300 and height > 200 for width, height, _ in images)
    assert all(len(alt) > 40 for _, _, alt in images)


@pytest.mark.parametrize("opened", ["driver", "phone"])
def test_a_mistake_opens_to_the_whole_picture_and_its_decision(
    opened: str, full: Path, request: pytest.FixtureRequest
) -> None:
    browser_page = request.getfixturevalue(opened)
    browser_page.get(full.as_uri())
    report = run_report.read_run(full.parents[1])
    cards = browser_page.find_elements("css selector", "#mistakes li")
    assert len(cards) == len(report.mistakes) == 12
    named = {wrong.actual: card for wrong, card in zip(report.mistakes, cards, strict=True)}
    card, wrong = named["O'Neil"], next(m for m in report.mistakes if m.actual == "O'Neil")
    seen, whole = card.find_elements("css selector", "img")
    assert seen.is_displayed()
    assert not whole.is_displayed()
    seen.click()
    assert whole.is_displayed()
    assert whole.size["width"] <= browser_page.execute_script("return window.innerWidth")
    size = browser_page.execute_script(
        "return [arguments[0].naturalWidth, arguments[0].naturalHeight]", whole
    )
    assert size == [90, 120]
    facts = {
        row.find_element("css selector", "th").text: row.find_element("css selector", "td").text
        for row in card.find_elements("css selector", "tr")
    }
    assert card.find_element("css selector", "caption").text == f"data/{wrong.file}"
    assert facts["decision"] == "kept, by hand: it is <b>her</b>"
    assert facts["size"] == "90 x 120 pixels, PNG"
    assert facts["faces"] == "1, framed"
    assert facts["scores"] == "blurry 12.5"
    assert facts["5 look-alikes"].count("O'Neil/google_") == 5
    assert facts["answers"].startswith(f"{wrong.predicted} {wrong.probability:.2f}, ")
    seen.click()
    assert not whole.is_displayed()


def test_the_face_is_framed_where_it_was_found(full: Path) -> None:
    report = run_report.read_run(full.parents[1])
    (wrong,) = [each for each in mistakes.worst(report) if each.prediction.actual == "O'Neil"]
    pixels = np.asarray(Image.open(io.BytesIO(wrong.whole)).convert("RGB"), float)
    plain = pixels[100, 80]
    differs = np.abs(pixels - plain).max(axis=2) > 60
    rows, columns = np.nonzero(differs)
    assert np.abs(np.array([columns.min(), rows.min(), columns.max(), rows.max()])
                  - (20, 30, 60, 80)).max() <= 2  # fmt: skip
    assert not differs[40:70, 30:50].any()


def test_a_picture_that_is_gone_is_one_line(tmp_path: Path) -> None:
    folder = workspace(tmp_path, ("a", "b"))
    shutil.rmtree(folder / "artifacts" / "clean" / "pictures")
    with pytest.raises(UserError, match=r"cannot be read.*dvc checkout"):
        mistakes.worst(run_report.read_run(folder))


def test_the_batch_shows_training_pictures_in_views_of_training(full: Path) -> None:
    report = run_report.read_run(full.parents[1])
    batch = report.training_batch
    assert len(batch) == 32
    assert {number for _, number in batch} == {0, 1}
    train = set(report.dataset.examples["train"])
    assert len({example for example, _ in batch} & train) == 32


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


def test_it_says_how_to_get_better(full: Path, plain: Path, driver: Any, phone: Any) -> None:
    for page_driver in (driver, phone):
        page_driver.get(full.as_uri())
        text = page_driver.find_element("id", "better").text
        assert "Take a trained backbone, nothing helps more: dvc exp run -S" in text
        assert re.search(r"\S+ needs pictures most: it has 2 to train on\.", text)
        assert re.search(r"is taken for .* most: 1 of 2 test pictures\.", text)
        assert "1 suspect label, the surest first in artifacts/suspects/suspects.csv" in text
        assert "whoswho compare champion workspace" in text
    driver.get(plain.as_uri())
    text = driver.find_element("id", "better").text
    assert "is taken for" not in text
    assert "trained backbone" not in text
    assert "Suspect labels: none, because no label looks wrong." in text


def test_on_a_phone_figures_are_read_in_their_frames(full: Path, phone: Any) -> None:
    """Letters of the confusion matrix and of the tables are not shrunk to the screen."""
    phone.get(full.as_uri())
    figure = phone.find_element("css selector", "#labels figure img")
    shown, drawn = phone.execute_script(
        "return [arguments[0].clientWidth, arguments[0].naturalWidth]", figure
    )
    assert shown >= min(drawn, 700)  # 9 points at 110 a inch are then 8 pixels and more
    sizes = phone.execute_script(
        "return [...document.querySelectorAll('td, th, p, li, caption, figcaption')]"
        ".map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 13


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
    # What cleaning dropped, and where the model stands, are pages of their own beside it.
    links = set(re.findall(r"(?:src|href)=\"(?!data:|#)([^\"]*)", text))
    assert links == {"clean.html", "register.html", "../artifacts/suspects/suspects.csv"}
    assert 'lang="en"' in text
    assert "http://" not in text
    assert "https://" not in text
