"""Two people crawl on two branches: what Git, DVC and a person's word make of it (report H2)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.cleaning import photograph, write
from support.pipeline import NOT_PEOPLE, Workspace, commit
from support.repository import REPOSITORY

from whoswho import params, paths
from whoswho.crawl import keywords
from whoswho.dataset import forgotten, manifest, merging, review
from whoswho.dataset.manifest import ManifestRow
from whoswho.errors import UserError

MARKERS = "<<<<<<< HEAD\n{}=======\n{}>>>>>>> origin/main\n"


# --- Files that are half merged ------------------------------------------------------------------


def half_merged(file: Path, *lines: str) -> None:
    """The last line of a file as two sides changed it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    before = file.read_text(encoding="utf-8") if file.is_file() else ""
    file.write_text(before + MARKERS.format(*(f"{line}\n" for line in lines)), encoding="utf-8")


def refusal(look: object, *arguments: object) -> str:
    with pytest.raises(UserError) as caught:
        look(*arguments)  # type: ignore[operator]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_merge_markers_are_named_in_every_file_that_is_read(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    lines = len((tmp_path / "params.yaml").read_text(encoding="utf-8").splitlines())
    half_merged(tmp_path / "params.yaml", "a: 1", "a: 2")
    line = f"holds merge markers of Git at line {lines + 1}; "
    assert f"params.yaml: {line}" in refusal(params.load_params, tmp_path)

    line = "holds merge markers of Git at line 2; "
    file = tmp_path / "review.csv"
    file.write_text(",".join(review.COLUMNS) + "\n")
    row = f"{'a' * 64},Ann,{{}},,,"
    half_merged(file, row.format("keep"), row.format("drop"))
    assert f"review.csv: {line}" in refusal(review.read, file)

    (tmp_path / "keywords.txt").write_text("Ann\n")
    half_merged(tmp_path / "keywords.txt", "Bob", "Cid")
    assert f"keywords.txt: {line}" in refusal(keywords.read, tmp_path / "keywords.txt")
    (tmp_path / "keywords.txt").write_text("Ann\n=====\n")
    assert "holds merge markers" not in refusal(keywords.read, tmp_path / "keywords.txt")

    table = manifest.new_file(tmp_path / "data")
    manifest.write(table, [])
    half_merged(table, *2 * ["," * (len(manifest.COLUMNS) - 1)])
    assert f"{table.name}: {line}" in refusal(manifest.read, tmp_path / "data")
    table = tmp_path / "data/forgotten/1.csv"
    half_merged(table, "kind,sha256", "kind,sha256")
    assert "1.csv: holds merge markers of Git at line 1; " in refusal(
        forgotten.load, tmp_path / "data"
    )
    table = tmp_path / "metrics.json"
    half_merged(table, "{}", "{}")
    assert "metrics.json: holds merge markers of Git at line 1; " in refusal(
        paths.read_json, table
    )


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("data.dvc", "one side's pictures would be lost; `git merge --abort`"),
        ("dvc.lock", "delete the markers"),
        ("dvc.yaml", "delete the markers"),
        (".dvc/config", "delete the markers"),
        ("keywords.txt", "delete the markers"),
    ],
)
def test_check_refuses_what_only_dvc_or_a_crawl_would_read(
    tmp_path: Path, name: str, cure: str
) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / name).write_text("outs:\r\n")
    merging.check(tmp_path)
    half_merged(tmp_path / name, "- md5: 1", "- md5: 2")
    message = refusal(merging.check, tmp_path)
    assert f"{name}: holds merge markers of Git at line 2" in message
    assert cure in message


def git(folder: Path, *arguments: str, code: int = 0) -> None:
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@t.invalid", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr


def two_sides(folder: Path, **sides: tuple[str, str, str]) -> None:
    """A repository in which a merge stands still: files as they were, as ours, as theirs."""
    shutil.copy(REPOSITORY / ".gitattributes", folder)
    for number, branch in enumerate(("main", "main", "theirs")):
        for name, contents in sides.items():
            (folder / name.replace("_", ".")).write_text(contents[number])
        if branch == "theirs":
            git(folder, "checkout", "-q", "-f", "-b", "theirs", "HEAD^")
            for name, contents in sides.items():
                (folder / name.replace("_", ".")).write_text(contents[number])
        commit(folder)
    git(folder, "checkout", "-q", "main")
    git(folder, "merge", "theirs", code=1)


def test_a_merge_that_stands_still_is_refused_file_by_file(tmp_path: Path) -> None:
    changed = ("a\n", "b\n", "c\n")
    two_sides(tmp_path, data_dvc=changed, dvc_lock=changed, NOTES=changed)
    assert "data.dvc: holds merge markers of Git at line 1" in refusal(merging.check, tmp_path)
    (tmp_path / "data.dvc").write_text("b\n")  # as DVC's driver leaves it where it fails
    assert "data.dvc: is half merged" in refusal(merging.check, tmp_path)
    git(tmp_path, "add", "data.dvc")
    theirs = subprocess.check_output(["git", "rev-parse", "theirs"], cwd=tmp_path, text=True)
    message = refusal(merging.check, tmp_path)
    assert f"both sides of the merge changed it, and the pictures of {theirs[:12]}" in message
    (tmp_path / "data.dvc").write_text("b and c\n")
    git(tmp_path, "add", "data.dvc")

    assert (tmp_path / "dvc.lock").read_text() == "b\n", "ours, and no markers"
    message = refusal(merging.check, tmp_path)
    assert "dvc.lock: not merged, nor need it be" in message
    command = message.split("`")[1].replace(" reports", "")
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    assert "NOTES: Git has not finished" in refusal(merging.check, tmp_path)
    commit(tmp_path)
    merging.check(tmp_path)


def test_a_side_that_was_left_out_is_said_until_somebody_says_it_is_meant(tmp_path: Path) -> None:
    two_sides(tmp_path, data_dvc=("a\n", "b\n", "c\n"))
    (tmp_path / "data.dvc").write_text("c\n")
    commit(tmp_path)
    message = refusal(merging.check, tmp_path)
    git(tmp_path, *re.search("`git (.*)`", message)[1].replace('"', "").split(maxsplit=3))
    merging.check(tmp_path)


def test_one_side_alone_that_changed_the_set_is_no_half_merge(tmp_path: Path) -> None:
    two_sides(tmp_path, data_dvc=("a\n", "a\n", "c\n"), NOTES=("a\n", "b\n", "c\n"))
    commit(tmp_path)
    assert (tmp_path / "data.dvc").read_text() == "c\n"
    merging.check(tmp_path)


def test_the_lines_are_said_where_data_is_shared(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(
        "[core]\n    remote = ours\n['remote \"ours\"']\n    url = s3://ours\n"
    )
    assert merging.advice(tmp_path) == [], "no repository of Git's"
    commit(tmp_path)
    first, *lines = merging.advice(tmp_path)
    assert "trees fetched" in first
    guide = (REPOSITORY / "docs/team.md").read_text(encoding="utf-8")
    for line in lines:
        assert line.strip() in guide
        subprocess.run(line, shell=True, check=True, cwd=tmp_path)
    assert len(lines) == 2
    assert merging.advice(tmp_path) == []
    git(tmp_path, "config", "--unset", "merge.dvc.driver")
    assert merging.advice(tmp_path)
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n")
    assert merging.advice(tmp_path) == [], "nobody to merge with"


def test_what_a_takedown_bars_and_a_crawl_brought_meanwhile_is_said(tmp_path: Path) -> None:
    data = tmp_path / "data"
    table = manifest.new_file(data)
    manifest.write(table, [
        ManifestRow("Ann/1.jpg", "Ann", image_url="https://x.example/1", sha256="1" * 64),
        ManifestRow("Ann/2.jpg", "Ann", image_url="https://x.example/2", sha256="2" * 64),
        ManifestRow("Bob O/3.jpg", "Bob O", sha256="3" * 64),
        ManifestRow("Cid/4.jpg", "Cid", sha256="4" * 64),
    ])  # fmt: skip
    assert merging.barred_again(data) is None
    forgotten.add(data, pictures=["5" * 64])
    assert merging.barred_again(data) is None
    forgotten.add(data, pictures=["1" * 64], labels=["bob o"], addresses=["http://x.example/2"])
    assert merging.barred_again(data).endswith(
        f"whoswho forget --label 'Bob O' --sha256 {'1' * 64} --url https://x.example/2"
    )


# --- Two clones, real Git and real DVC -----------------------------------------------------------

BY_HAND = "Ann/1.png"


class Side(Workspace):
    """One person's clone."""

    @classmethod
    def clone(cls, hub: Path, folder: Path) -> Side:
        subprocess.run(["git", "clone", "-q", hub, folder], check=True)
        side = cls.at(folder)
        for name, value in (("user.name", "t"), ("user.email", "t@t.invalid")):
            side.run("git", "config", name, value)
        side.run("dvc", "pull", "-q", "data.dvc")
        return side

    def crawl_and_decide(self, name: str, seeds: range) -> None:
        """Crawl a folder of Ann and Bob, decide about two pictures, clean, commit and push."""
        for number in seeds:
            label = "Ann" if number % 2 else "Bob"
            write(self.path.parent / name / label / f"{number}.png", photograph(number))
        self.run("whoswho", "crawl", "--folder", self.path.parent / name)
        new = sorted((self.path / "data/Bob").glob("folder_*"))[0]
        about = ((BY_HAND, "keep"), (f"Bob/{new.name}", "drop"))
        with (self.path / "review.csv").open("a", encoding="utf-8") as table:
            for file, word in about:
                sha256 = paths.sha256(self.path / "data" / file)
                table.write(f"{sha256},{file.split('/')[0]},{word},,by {name},\n")
        self.run("dvc", "add", "-q", "data")
        self.repro("clean")
        commit(self.path, name)
        self.run("dvc", "push", "-q", "data.dvc")

    def merge(self) -> str:
        """Type what docs/team.md says, but clean alone, up to the first line that fails."""
        guide = (REPOSITORY / "docs/team.md").read_text(encoding="utf-8")
        lines = re.search("```sh\n(git fetch\n.*?)```", guide, re.DOTALL)[1].splitlines()
        output = ""
        for line in lines:
            line = line.replace("dvc repro", "dvc repro clean")
            done = self.run("bash", "-c", line, code=None)
            output += f"$ {line}\n{done.stdout}{done.stderr}"
            if done.returncode and not line.startswith("git merge"):
                break
        return output

    def files(self) -> set[str]:
        data = self.path / "data"
        return {p.relative_to(data).as_posix() for p in data.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the shared repository, hub, and the shared pictures, remote."""
    folder = tmp_path_factory.mktemp("team")
    first = Workspace(folder / "first", **NOT_PEOPLE)
    for number in range(6):
        write(
            first.path / f"data/{'Ann' if number % 2 else 'Bob'}/{number}.png", photograph(number)
        )
    first.run("git", "init", "-q", "-b", "main")
    first.run("dvc", "remote", "add", "-q", "-d", "team", folder / "remote")
    first.track_data()
    first.run("dvc", "push", "-q")
    subprocess.run(["git", "clone", "-q", "--bare", first.path, folder / "hub"], check=True)
    return folder


@pytest.fixture(scope="module")
def crawled(base: Path) -> tuple[Side, Side]:
    """Two clones after their crawls; the first has pushed, the second has not merged yet."""
    first, second = (Side.clone(base / "hub", base / name) for name in ("one", "two"))
    first.crawl_and_decide("mine", range(10, 14))
    first.run("git", "push", "-q")
    second.crawl_and_decide("yours", range(20, 24))
    return first, second


@pytest.fixture
def sides(crawled: tuple[Side, Side], base: Path, tmp_path: Path) -> tuple[Side, Side]:
    """Copies of the two and of what they push to, for one test."""
    hub = shutil.copytree(base / "hub", tmp_path / "hub")
    first, second = (side.copy(tmp_path / side.path.name) for side in crawled)
    for side in (first, second):
        side.run("git", "remote", "set-url", "origin", hub)
    return first, second


@pytest.mark.slow
def test_a_merge_without_the_driver_or_the_other_sides_list_is_refused(
    sides: tuple[Side, Side],
) -> None:
    two = sides[1]
    check = two.run("whoswho", "check")
    assert "check: params.yaml and review.csv are sound" in check.stdout
    lines = [line for line in check.stdout.splitlines() if line.startswith("  git config")]
    two.run("git", "fetch", "-q")
    two.run("git", "merge", "origin/main", code=1)
    assert "data.dvc: holds merge markers" in two.run("whoswho", "check", code=2).stderr
    two.run("git", "merge", "--abort")
    for line in lines:
        two.run("bash", "-c", line)
    two.run("git", "merge", "origin/main", code=1)
    assert "data.dvc: is half merged" in two.run("whoswho", "check", code=2).stderr
    two.run("git", "add", "-A")
    two.run("git", "commit", "-qm", "half")
    assert "data.dvc: both sides" in two.run("whoswho", "check", code=2).stderr


@pytest.mark.slow
def test_both_peoples_pictures_rows_and_decisions_are_there(sides: tuple[Side, Side]) -> None:
    first, second = sides
    expected = first.files() | second.files()
    assert len(expected - first.files()) == len(expected - second.files()) == 5, (
        "4 pictures, a table"
    )
    for line in merging.advice(second.path)[1:]:
        second.run("bash", "-c", line)
    output = second.merge()
    assert "check: params.yaml and review.csv are sound, 14 files of 2 labels" in output, output
    assert "Running stage 'clean'" in output
    first.run("git", "pull", "-q")
    first.run("dvc", "pull", "-q", "data.dvc")
    for side in sides:
        assert side.files() == expected
        rows = {row.file: row for row in manifest.read(side.path / "data")}
        crawled = {file for file in expected if "/folder_" in file}
        assert crawled < set(rows)
        assert all(rows[file].sha256 == paths.sha256(side.path / "data" / file) for file in rows)
        assert [row.why for row in review.read(side.path / "review.csv")] in (
            ["by mine", "by mine", "by yours", "by yours"],
            ["by yours", "by yours", "by mine", "by mine"],
        )
        status = side.run("git", "status", "--porcelain").stdout
        assert status == ""
    decided = {row["file"]: row for row in second.rows("artifacts/clean/decisions.csv")}
    assert {file for file in expected if "manifest/" not in file} == set(decided)
    assert sum(row["decision"] == "dropped" for row in decided.values()) == 2


@pytest.mark.slow
def test_decisions_that_disagree_stop_the_merge_until_one_is_chosen(
    sides: tuple[Side, Side],
) -> None:
    second = sides[1]
    table = second.path / "review.csv"
    about = paths.sha256(second.path / "data" / BY_HAND)
    words = table.read_text(encoding="utf-8")
    table.write_text(words.replace(f"{about},Ann,keep", f"{about},Ann,drop"), encoding="utf-8")
    commit(second.path, "another word")
    for line in merging.advice(second.path)[1:]:
        second.run("bash", "-c", line)
    output = second.merge()
    assert f"disagree about the picture {about[:12]}… of 'Ann' (" in output, output
    assert "dvc repro" not in output
    done = second.run("python", "src/stage.py", "clean", code=2)
    assert f"disagree about the picture {about[:12]}…" in done.stderr
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    table.write_text("".join(line for line in lines if f"{about},Ann,keep" not in line))
    row = manifest.read(second.path / "data")[0]
    forgotten.add(second.path / "data", pictures=[row.sha256])
    check = second.run("whoswho", "check")
    assert "are sound, 14 files" in check.stdout
    assert f"whoswho forget --sha256 {row.sha256}" in check.stderr
