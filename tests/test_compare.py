"""Two models on common test pictures: `whoswho compare`, and the page that register writes."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from mlflow.entities import Run
from PIL import Image
from support import lifecycle_outputs as small
from support.browser import chromium, requests
from support.lifecycle_store import environment, project
from support.lifecycle_versions import fixture_weights, outputs_of  # noqa: F401
from support.repository import REPOSITORY

from whoswho import cli
from whoswho.errors import UserError
from whoswho.evaluation.significance import paired_interval
from whoswho.lifecycle import comparison_page
from whoswho.lifecycle.comparison import comparison_tables, paired, register_page, sides
from whoswho.lifecycle.comparison.sides import Side
from whoswho.lifecycle.registry import completion, promotion, registration, version_files
from whoswho.lifecycle.registry.record import Record
from whoswho.lifecycle.registry.registration import Registered
from whoswho.lifecycle.tracking import lineage
from whoswho.lifecycle.tracking.store import open_store
from whoswho.params import Promote

SCRIPT = "<script>alert(1)</script>"
LABELS = ("장원영", "O'Neil", SCRIPT, "007", "C++", 'a"b&amp;')
POLICY = Promote(
    margin=0.5, recall_floor=0.0, significance=None, strangers_margin=1.0, newcomer_likeness=0.7
)


@pytest.fixture(scope="module", name="tried")
def fixture_tried(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Path:
    """Version 1, the champion, and version 2, trained with another rate on the same split;
    version 3 on another one; the workspace holds the third's outputs. The pages that register
    wrote lie in pages/, named by the version that they are of."""
    root = project(tmp_path_factory.mktemp("compared") / "repository")
    shutil.copy(REPOSITORY / "params.yaml", root)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.delenv("DVC_ROOT", raising=False)
        patch.chdir(root)
        store = open_store(root)
        for number, (lr, wrong, pictures) in enumerate(
            [(0.001, [0, 4], 3), (0.01, [4, 5, 6, 7], 3), (0.01, [0], 4)]
        ):
            record = outputs_of(
                root, weights, number / 10, labels=LABELS, wrong=wrong, pictures=pictures
            )
            tags = {"commit": "c" * 40, "dvc.experiment": f"exp-{number}"}
            flat = {**small.PARAMS, "train.lr": lr}
            files = lineage.files(root, flat, tags)
            run = completion.completed_run(store, record, root / "reports", flat, tags, files)
            made = registration.register(store, run.info.run_id, record, "always")
            page = register_page.write(store, root, run, made, record)
            (root / "pages").mkdir(exist_ok=True)
            shutil.copy(page, root / "pages" / f"{made.number}.html")
            if not number:
                promotion.promote(store, "1", POLICY)
        for row in record.split[:]:
            path = root / "artifacts" / "dataset" / row.path
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((64, 64, 3), len(row.file), np.uint8)).save(path, "WEBP")
    return root


def compared(root: Path, first: str, second: str) -> paired.Comparison:
    store = open_store(root)
    return paired.compare(*(sides.side(store, root, name) for name in (first, second)))


def test_two_versions_are_compared_picture_by_picture(tried: Path) -> None:
    comparison = compared(tried, "champion", "2")
    assert comparison.params == {"train.lr": ("0.001", "0.01")}
    assert comparison.data == "the same pictures in the same splits"
    assert comparison.code == "the same commit cccccccccc"
    assert len(comparison.pairs) == 18
    assert comparison.right == (16, 14)
    assert (len(comparison.only_first), len(comparison.only_second)) == (3, 1)
    assert comparison.p == pytest.approx(0.625)  # 2 * (1 + 4) / 16
    value, low, high = comparison.difference
    assert value == pytest.approx(-2 / 18)
    assert low < value < high
    assert {label: rest for label, *rest in comparison.labels()}["장원영"] == [3, 2, 3]
    assert paired.verdict(comparison) == [
        "of 18 common test pictures A gets 16 right and B 14: difference -0.111 (95% interval "
        f"{low:+.3f} to {high:+.3f}; McNemar p = 0.625), too few pictures or too small a "
        "difference to tell"
    ]


def test_another_split_is_not_comparable_and_by_how_many(tried: Path) -> None:
    comparison = compared(tried, "2", "workspace")
    assert comparison.apart == (0, 6)
    assert paired.verdict(comparison)[0] == (
        "not comparable as they stand: 0 of A's 18 test pictures did not judge B, 6 of B's 24 did "
        "not judge A; what follows is of the common ones"
    )
    assert comparison.data == "pictures: 6 only B has"
    lines = promotion.table(open_store(tried), tried)
    assert [line.split()[0] for line in lines[:4]] == ["version", "3", "2", "1"]
    assert "registered (UTC)" in lines[0]
    assert [line.count("*") for line in lines[:4]] == [0, 2, 0, 0]
    assert lines[4].startswith("* another split than version 1 (champion)'s")


def test_a_picture_that_taught_the_other_makes_them_not_comparable(tried: Path) -> None:
    side = sides.side(open_store(tried), tried, "1")
    sha256 = next(row.sha256 for row in side.record.split if row.split == "test")
    taught = [
        row if row.sha256 != sha256 else type(row)(**{**vars(row), "split": "train"})
        for row in side.record.split
    ]
    other = Side("other", Record(side.record.folder, side.record.model, taught,
                                 side.record.evaluation), side.params, side.tags)  # fmt: skip
    comparison = paired.compare(side, other)
    assert comparison.taught == (0, 1)
    assert paired.verdict(comparison)[0] == (
        "not comparable: 1 of the common test pictures taught B"
    )
    assert comparison.data == "pictures: 1 lie in another split"


def test_a_side_is_found_by_every_name_it_has(tried: Path) -> None:
    store = open_store(tried)
    newest, second, first = store.runs()
    assert [run.info.run_name for run in (second, first)] == ["lr=0.01 (exp-1)", "first (exp-0)"]
    for reference in ("first (exp-0)", "exp-0", first.info.run_id, first.info.run_id[:8]):
        side = sides.side(store, tried, reference)
        assert side.name.startswith("run first (exp-0)")
        assert side.name.endswith(" UTC")
        assert side.params["train.lr"] == "0.001"
    assert sides.side(store, tried, "models:/whoswho@challenger").name.startswith("version 3")
    with pytest.raises(UserError, match=r"nobody: no version, alias, run or DVC experiment"):
        sides.side(store, tried, "nobody")
    unfinished = store.client.create_run(store.experiment_id, run_name="half").info.run_id
    with pytest.raises(UserError, match="does not have what its model was judged by"):
        sides.side(store, tried, "half")
    store.client.delete_run(unfinished)
    assert newest.info.run_name == "again (exp-2)"


def test_deleting_a_run_costs_a_version_nothing(tried: Path, tmp_path: Path) -> None:
    root = tmp_path / "repository"
    shutil.copytree(tried, root)
    store = open_store(root)
    for run in store.runs():
        store.client.delete_run(run.info.run_id)
        shutil.rmtree(root / "mlartifacts" / run.info.run_id / "artifacts")
    comparison = compared(root, "1", "2")
    assert comparison.right == (16, 14)
    assert comparison.params == {"train.lr": ("0.001", "0.01")}
    assert any("16 right of 18" in note or "14 against 16" in note
               for note in promotion.judge(store, 2, POLICY).notes)  # fmt: skip
    page = register_page.write(store, root, *newest_of(tried))
    assert "of 18 common test pictures A gets 16 right" in shown(page)
    # Nor need the champion's files be there for registering to succeed.
    shutil.rmtree(version_files.model_folder(store, "1").parents[1])
    text = shown(register_page.write(store, root, *newest_of(tried)))
    assert (
        "It cannot be compared with the champion, version 1: models:/whoswho/1: its files" in text
    )
    assert "refused: cannot compare: models:/whoswho/1: its files are gone" in text


def newest_of(root: Path) -> tuple[Run, Registered, Record]:
    """What registering the workspace's model led to."""
    store = open_store(root)
    record = sides.side(store, root, "workspace").record
    return store.runs()[0], Registered(3, True, "version 3 of whoswho is the challenger"), record


def test_the_command_prints_and_the_page_shows_it(tried: Path) -> None:
    command = [sys.executable, "-m", "whoswho.cli", "compare", "champion", "challenger"]
    done = subprocess.run(
        command, cwd=tried, capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    comparison = compared(tried, "champion", "challenger")
    assert done.stdout.splitlines() == [
        *comparison_tables.lines(comparison), "", "page: reports/compare.html",
    ]  # fmt: skip
    with Image.open(tried / comparison_page.FIGURE) as figure:
        assert figure.width > 300
    with chromium(390, 800) as driver:
        driver.get((tried / comparison_page.PAGE).as_uri())
        text = driver.execute_script("return document.body.innerText")
        for line in paired.verdict(comparison):
            assert line in text
        for label in LABELS:
            assert label in text
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        assert all(address.startswith(("file:", "data:")) for address in requests(driver))


def printed(root: Path, capsys: pytest.CaptureFixture[str], *command: str) -> list[str]:
    """What a command prints, run here."""
    with pytest.MonkeyPatch.context() as patch, suppress(SystemExit):
        patch.chdir(root)
        cli.main(command)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_of_register_says_what_compare_and_the_gate_say(
    width: int, tried: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = printed(tried, capsys, "compare", "champion", "2")
    gate = printed(tried, capsys, "promote", "2", "--dry-run")
    assert len(gate) > 3
    assert any(line.startswith("refused: ") for line in gate)
    with chromium(width, 800) as driver:
        driver.get((tried / "pages" / "2.html").as_uri())
        text = driver.execute_script("return document.body.innerText")
        named = [line for line in text.splitlines() if line[:3] in ("A: ", "B: ")]
        assert lines[:2] == [line.replace(" (challenger)", "") for line in named]  # as it was then
        assert [e.text for e in driver.find_elements("css selector", "#gate li")] == gate
        rows = driver.execute_script(
            "return [...document.querySelectorAll('#champion tr')]"
            ".map(row => [...row.cells].map(cell => cell.textContent.trim()))"
        )
        spoken = [" ".join(line.split()) for line in lines]
        assert len(rows) > 10
        assert ["train.lr", "0.001", "0.01"] in rows
        assert all(" ".join(" ".join(row).split()) in spoken for row in rows)
        assert lines[2] in text  # which of the two is better
        assert driver.execute_script("return document.scripts.length") == 0
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        sizes = driver.execute_script(
            "return [...document.querySelectorAll('td, th, p, li, caption')]"
            ".map(e => parseFloat(getComputedStyle(e).fontSize))"
        )
        assert min(sizes) >= 13
        links = [a.get_attribute("href") for a in driver.find_elements("css selector", "a")]
        assert all(address.startswith(("file:", "data:")) for address in requests(driver))
    run = open_store(tried).runs()[1].info
    assert links[:2] == [
        f"http://127.0.0.1:5000/#/experiments/{run.experiment_id}/runs/{run.run_id}",
        "http://127.0.0.1:5000/#/models/whoswho/versions/2",
    ]
    assert [link.rpartition("/")[2] for link in links[2:]] == ["report.html", "clean.html"]
    assert f"{run.run_name} {run.run_id}" in " ".join(text.split())
    assert "version 2 (challenger)" in text
    assert re.search(r"stood at \d{4}-\d\d-\d\d \d\d:\d\d UTC", text)
    assert "O'Neil needs pictures most" not in text
    assert "007 needs pictures most: it has 4 to train on." in text


def shown(page: Path) -> str:
    """The text of a page, its spaces made one."""
    body = page.read_text(encoding="utf-8").partition("<body>")[2]
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", body)).split())


def test_the_page_of_register_knows_its_day(tried: Path) -> None:
    """No champion yet; and one that was judged on other pictures."""
    first, third = (shown(tried / "pages" / f"{number}.html") for number in (1, 3))
    assert "champion there is none" in first
    assert "There is no champion to compare with." in first
    assert "accuracy 0.889" in first
    assert "note: there is no champion to compare with" in first
    assert "6 of B's 24 did not judge A; what follows is of the common ones" in third
    assert "On the 18 common test pictures" in third


def test_a_model_that_is_not_registered_is_compared_too(tried: Path) -> None:
    store = open_store(tried)
    run, record = store.runs()[0], sides.side(store, tried, "workspace").record
    left = Registered(None, False, "not registered (register.when: never)")
    text = shown(register_page.write(store, tried, run, left, record))
    assert text.startswith("Not registered")
    assert "version none: not registered (register.when: never)" in text
    assert "B: workspace (version 3, run again (exp-2))" in text
    assert "It judges registered versions, and this model is none" in text


def test_the_date_of_the_data_is_that_of_its_commit(tmp_path: Path) -> None:
    assert register_page.data_date(tmp_path) == "unknown: data.dvc is in no commit here"
    data = tmp_path / "data.dvc"
    data.write_text("outs:\n", encoding="utf-8")
    git_here(tmp_path, "init", "-q")
    git_here(tmp_path, "commit", "-q", "--allow-empty", "-m", "empty")
    assert register_page.data_date(tmp_path).startswith("not committed")
    git_here(tmp_path, "add", "data.dvc")
    git_here(tmp_path, "commit", "-q", "-m", "data")
    commit = git_here(tmp_path, "rev-parse", "--short", "HEAD")
    assert register_page.data_date(tmp_path) == (
        f"2026-01-02 02:04 UTC, when data.dvc was committed ({commit})"
    )
    data.write_text("outs: []\n", encoding="utf-8")
    assert register_page.data_date(tmp_path).startswith("not committed")


def git_here(folder: Path, *arguments: str) -> str:
    named = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    day = {"GIT_COMMITTER_DATE": "2026-01-02T03:04:05+01:00"}
    done = subprocess.run(
        ["git", "-C", str(folder), *named, *arguments],
        env={**os.environ, **day}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_the_paired_interval_is_that_of_the_pictures_drawn_anew() -> None:
    """Against resampling the pictures one by one."""
    answers = np.array([-1] * 3 + [1] * 9 + [0] * 28)
    dice = np.random.default_rng(1)
    drawn = dice.choice(answers, (20000, len(answers))).mean(axis=1)
    low, high = paired_interval(3, 9, 40, 20000, 0)
    assert (low, high) == pytest.approx(np.percentile(drawn, (2.5, 97.5)), abs=0.026)
    assert paired_interval(0, 0, 5, 100, 0) == (0.0, 0.0)
