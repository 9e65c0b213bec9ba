"""The contact sheet: what went, why, beside what; in a real browser, from real files."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support import browser
from support.pictures import blocks
from support.reported import HANGUL, HOSTILE, LONG
from support.repository import REPOSITORY

from bench.workspace import set_params
from whoswho import paths
from whoswho.artifacts import decisions
from whoswho.artifacts.decisions import KEPT, Decision
from whoswho.artifacts.thumbnails import MOST, chosen_for_sheet, read_thumbnail
from whoswho.cleaning import dropped_pictures, reasons
from whoswho.reporting import contact_sheet


def put(data: Path, file: str, content: bytes | Image.Image, **cells: Any) -> Decision:
    """Write a file of the set and decide about it."""
    path = data / file
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Image.Image):
        content.save(path, "JPEG", quality=90)
    else:
        path.write_bytes(content)
    return Decision(file, cells.pop("label", path.parent.name), sha256=paths.sha256(path), **cells)


def folder(number: int) -> str:
    """A folder any file system takes; the label itself is in the table."""
    return f"folder {number}"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every hostile label with a picture kept and one dropped beside it, and odd files."""
    root = tmp_path_factory.mktemp("sheet 새 폴더")
    data = root / paths.DATA
    table = []
    for number, label in enumerate(HOSTILE):
        kept, gone = f"{folder(number)}/google_0001.jpg", f"{folder(number)}/google_0002.jpg"
        table.append(put(data, kept, blocks(number), label=label, decision=KEPT))
        table.append(
            put(
                data, gone, blocks(number, (300, 220)), label=label,
                reasons=["near_duplicate"], scores={"near_duplicate": 0.991}, duplicate_of=kept,
            )
        )  # fmt: skip
    first, second = (f"{folder(n)}/naver_0001.jpg" for n in (0, 1))
    odd = f"{folder(0)}/<img src=x onerror=alert(1)>.jpg"
    table += [
        put(
            data, f"{folder(0)}/a.jpg", blocks(50, (60, 40)), label=HANGUL,
            reasons=["too_small", "no_face"], width=60, height=40,
            scores={"too_small": 40, "no_face": 0.25},
        ),
        put(data, f"{folder(0)}/b.jpg", blocks(51, (240, 320)), label=HANGUL, reasons=["no_face"],
            scores={"no_face": 0.0}),
        put(data, first, blocks(52), label=HANGUL, reasons=["cross_label"],
            duplicate_of=second, other_label="O'Neil", scores={"cross_label": 1.0}),
        put(data, second, blocks(52), label=HOSTILE[1], reasons=["cross_label"],
            duplicate_of=first, other_label=HANGUL, scores={"cross_label": 1.0}),
        put(data, odd, b"<html>not a picture", label=HANGUL, reasons=["not_a_picture"],
            detail="a web page (HTML)"),
        Decision(f"{folder(0)}/leads_out.jpg", HANGUL, reasons=["unreadable"],
                 detail="leads out of data/"),
    ]  # fmt: skip
    (data / folder(0) / "leads_out.jpg").write_bytes((data / first).read_bytes())
    return finish(root, table)


def finish(root: Path, table: Sequence[Decision]) -> Path:
    """Write the table, the thumbnails and the page."""
    clean = root / paths.CLEAN
    with paths.fresh_folder(clean) as out:
        decisions.write_decisions(out, table)
        dropped_pictures.write(table, root / paths.DATA, out)
    contact_sheet.write(root)
    return root


def page(workspace: Path) -> Path:
    return workspace / paths.REPORTS / "clean.html"


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with browser.chromium() as opened:
        yield opened


def cards(driver: Any, reason: str) -> list[str]:
    texts: list[str] = driver.execute_script(
        "return [...document.querySelectorAll('#' + arguments[0] + ' li')].map(e => e.innerText)",
        reason,
    )
    return texts


# Thumbnails


def test_a_thumbnail_is_small_and_upright(tmp_path: Path) -> None:
    tall = blocks(1, (600, 400))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    target = io.BytesIO()
    tall.save(target, "JPEG", exif=exif)
    row = put(tmp_path / "data", "a/x.jpg", target.getvalue(), reasons=["no_face"])
    (tmp_path / "out").mkdir()
    dropped_pictures.write([row], tmp_path / "data", tmp_path / "out")
    content = read_thumbnail(tmp_path / "out", row.sha256)
    assert content is not None
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (133, dropped_pictures.SIDE)


def test_what_gives_no_picture_or_was_never_opened_has_none(workspace: Path) -> None:
    table = decisions.read_decisions(workspace / paths.CLEAN)
    unreadable = [row for row in table if {"unreadable", "not_a_picture"} & {*row.reasons}]
    assert len(unreadable) == 2
    for row in unreadable:
        assert read_thumbnail(workspace / paths.CLEAN, row.sha256) is None
    shown = {row.sha256 for row in table} - {row.sha256 for row in unreadable}
    files = {path.stem for path in (workspace / paths.CLEAN / "thumbnails").iterdir()}
    assert files == shown


def test_every_label_has_its_turn() -> None:
    many = [Decision(f"a/{n:03}.jpg", "a", reasons=["no_face"]) for n in range(90)]
    few = [Decision(f"b/{n:03}.jpg", "b", reasons=["no_face", "blank"]) for n in range(3)]
    kept = [Decision("b/k.jpg", "b", decision=KEPT)]
    chosen = chosen_for_sheet([*many, *few, *kept])
    assert set(chosen) == {"no_face", "blank"}
    assert len(chosen["no_face"]) == MOST
    assert [row.file for row in chosen["no_face"]][-3:] == [row.file for row in few]
    assert chosen["no_face"][0].file == "a/000.jpg"
    assert chosen["blank"] == few


def test_the_words_of_one_reason_among_several() -> None:
    row = Decision(
        "a/x.jpg",
        reasons=["blank", "near_duplicate", "no_face"],
        scores={"blank": 1.0, "near_duplicate": 0.98, "no_face": None},
        mirrored=True,
    )
    assert reasons.explain(row, "blank") == "deviation 1.00, below clean.min_contrast"
    assert reasons.explain(row, "near_duplicate") == "correlation 0.980, mirrored"
    assert reasons.explain(row, "no_face") == ""


def test_the_stage_writes_them(tmp_path: Path, cases: Path) -> None:
    (tmp_path / "dvc.yaml").touch()
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    set_params(tmp_path, clean={"faces": "any"})
    for label in "ab":
        for number in range(2):
            put(tmp_path / "data", f"{label}/{number}.jpg", blocks(ord(label) + number))
    for path in sorted((cases / "awkward").iterdir())[:8]:
        shutil.copy(path, tmp_path / "data" / "a")
    subprocess.run(
        [sys.executable, REPOSITORY / "src" / "stage.py", "clean"], cwd=tmp_path, check=True
    )
    table = decisions.read_decisions(tmp_path / paths.CLEAN)
    dropped = [row for row in table if not row.kept]
    assert dropped
    contact_sheet.write(tmp_path)
    text = page(tmp_path).read_text(encoding="utf-8")
    drawn = [row for row in dropped if read_thumbnail(tmp_path / paths.CLEAN, row.sha256)]
    assert text.count("data:image/jpeg") >= len(drawn)
    assert all(f'id="{reason}"' in text for row in dropped for reason in row.reasons)


# The page


def test_the_table_counts_by_label_and_reason(workspace: Path, driver: Any) -> None:
    driver.get(page(workspace).as_uri())
    rows = driver.execute_script(
        "return [...document.querySelectorAll('#counts tr')]"
        ".map(r => [...r.cells].map(c => c.innerText.replaceAll('\\n', '')))"
    )
    assert rows[0] == [
        "label", "kept", "dropped", "near_duplicate", "cross_label", "no_face", "not_a_picture",
        "too_small", "unreadable",
    ]  # fmt: skip
    counts = {row[0]: row[1:] for row in rows[1:]}
    assert counts[HANGUL] == ["1", "6", "1", "1", "2", "1", "1", "1"]
    assert counts["O'Neil"] == ["1", "2", "1", "1", "", "", "", ""]
    assert counts["all"] == ["19", "25", "19", "2", "2", "1", "1", "1"]
    assert set(counts) - {"all"} == {label.replace("\ue000", "U+E000") for label in HOSTILE}
    heads = driver.execute_script(
        "return [...document.querySelectorAll('h2')].map(h => h.innerText)"
    )
    assert heads[:3] == ["near_duplicate 19", "cross_label 2", "no_face 2"]


def test_a_picture_stands_beside_its_twin_with_its_measure(workspace: Path, driver: Any) -> None:
    driver.get(page(workspace).as_uri())
    card = next(text for text in cards(driver, "near_duplicate") if HANGUL in text)
    assert card.replace("\n\n", "\n").split("\n") == [
        HANGUL, "google_0002.jpg", "dropped", HANGUL, "google_0001.jpg", "stays",
        "correlation 0.991",
    ]  # fmt: skip
    crossed = cards(driver, "cross_label")
    assert all("dropped too" in text for text in crossed)
    assert any(f"also under '{HANGUL}', correlation 1.000" in text for text in crossed)
    pairs = driver.execute_script(
        "return [...document.querySelectorAll('#near_duplicate li')].map(li =>"
        " [...li.querySelectorAll('figure')].map(f => f.getBoundingClientRect().top))"
    )
    assert all(len(tops) == 2 and tops[0] == tops[1] for tops in pairs)


def test_two_reasons_show_it_under_both_each_with_its_measure(
    workspace: Path, driver: Any
) -> None:
    driver.get(page(workspace).as_uri())
    words = [text.split("\n")[-1] for text in cards(driver, "too_small")]
    assert words == ["60x40 pixels, below clean.min_side"]
    assert len(cards(driver, "no_face")) == 2
    assert "counts, and is shown, under both" in driver.execute_script(
        "return document.body.innerText"
    )


def test_every_picture_loads_and_the_others_say_so(workspace: Path, driver: Any) -> None:
    driver.get(page(workspace).as_uri())
    images = driver.execute_async_script(
        "const done = arguments[0]; const all = [...document.images];"
        "all.forEach(i => { i.loading = 'eager'; });"
        "Promise.all(all.map(i => i.decode())).then(() =>"
        " done(all.map(i => [i.naturalWidth, i.naturalHeight, i.alt])))"
    )
    assert len(images) == 2 * 19 + 2 * 2 + 3
    assert all(0 < max(width, height) <= dropped_pictures.SIDE for width, height, _ in images)
    assert all(alt.startswith("folder ") for *_, alt in images)
    for reason in ("unreadable", "not_a_picture"):
        assert "no picture to show" in cards(driver, reason)[0]


def test_nothing_is_asked_of_anybody(workspace: Path, driver: Any) -> None:
    browser.requests(driver)
    driver.get(page(workspace).as_uri())
    addresses = browser.requests(driver)
    assert {address.split(":")[0] for address in addresses} == {"file", "data"}
    assert [url for url in addresses if url.startswith("file")] == [page(workspace).as_uri()]
    assert driver.get_log("browser") == []
    text = page(workspace).read_text(encoding="utf-8")
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", text)


def test_no_name_becomes_markup(workspace: Path, driver: Any) -> None:
    driver.get(page(workspace).as_uri())
    counts = driver.execute_script(
        "return [document.scripts.length, document.querySelectorAll('b, [onerror]').length]"
    )
    assert counts == [0, 0]
    assert "<img src=x onerror=alert(1)>.jpg" in cards(driver, "not_a_picture")[0]


def test_it_brings_the_letters_a_machine_may_lack(workspace: Path, driver: Any) -> None:
    driver.get(page(workspace).as_uri())
    driver.execute_cdp_cmd("DOM.enable", {})
    driver.execute_cdp_cmd("CSS.enable", {})
    root = driver.execute_cdp_cmd("DOM.getDocument", {})["root"]["nodeId"]
    nodes = driver.execute_cdp_cmd(
        "DOM.querySelectorAll", {"nodeId": root, "selector": "figcaption .label bdi"}
    )["nodeIds"]
    seen = 0
    for node in nodes:
        html = driver.execute_cdp_cmd("DOM.getOuterHTML", {"nodeId": node})["outerHTML"]
        if re.sub("<[^>]*>", "", html) in (HANGUL, "Кириллица", "かな", "مرحبا"):
            used = driver.execute_cdp_cmd("CSS.getPlatformFontsForNode", {"nodeId": node})
            assert used["fonts"]
            assert all(font["isCustomFont"] for font in used["fonts"]), html
            seen += 1
    assert seen >= 8


def test_a_phone_need_not_scroll_sideways(workspace: Path) -> None:
    assert LONG in HOSTILE
    with browser.chromium(390, 800) as phone:
        phone.get(page(workspace).as_uri())
        wide = phone.execute_script("return document.documentElement.scrollWidth")
    assert wide <= 390


def test_a_thousand_dropped_are_a_page_of_a_few_megabytes(tmp_path: Path) -> None:
    data = tmp_path / paths.DATA
    files = [f"{label}/{n:04}.jpg" for label in "ab" for n in range(500)]
    decision = put(data, files[0], blocks(1))
    shown = {row.file for row in chosen_for_sheet(_thousand(files)).get("no_face", ())}
    table = _thousand(files)
    for number, row in enumerate(table):
        if row.file in shown:
            written = put(data, row.file, blocks(number))
            table[number] = replace(row, sha256=written.sha256)
        else:
            table[number] = replace(row, sha256=decision.sha256[:-4] + f"{number:04}")
    finish(tmp_path, table)
    assert len(list((tmp_path / paths.CLEAN / "thumbnails").iterdir())) == MOST
    assert page(tmp_path).stat().st_size < 1_500_000
    text = page(tmp_path).read_text(encoding="utf-8")
    assert "960 more are not shown" in text
    assert text.count("<li>") == MOST


def _thousand(files: Sequence[str]) -> list[Decision]:
    return [Decision(file, file[0], reasons=["no_face"]) for file in files]


def test_every_reason_has_its_words() -> None:
    for name, reason in reasons.REASONS.items():
        row = Decision(
            "a/x.jpg", scores={name: 0.5}, other_label="b", detail="cut", review_why="old"
        )
        assert reason.says
        if reason.words:
            assert reasons.explain(row, name)


def test_nothing_dropped_is_said(tmp_path: Path) -> None:
    row = put(tmp_path / paths.DATA, "a/x.jpg", blocks(1), decision=KEPT)
    finish(tmp_path, [row])
    text = page(tmp_path).read_text(encoding="utf-8")
    assert "Nothing was dropped." in text
    assert "<h2" not in text


def test_the_same_decisions_give_the_same_bytes(workspace: Path) -> None:
    def contents() -> dict[str, bytes]:
        files = (workspace / paths.CLEAN / "thumbnails").iterdir()
        return {p.name: p.read_bytes() for p in [page(workspace), *files]}

    before = contents()
    finish(workspace, decisions.read_decisions(workspace / paths.CLEAN))
    assert contents() == before
