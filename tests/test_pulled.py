"""Git pulled, data not: nobody's pictures are undone, and ordinary work is let through."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import dvc.cli
import pytest
from support.cleaning import photograph, write
from support.pipeline import NOT_PEOPLE, Workspace

from bench.workspace import environment
from whoswho import cli, paths
from whoswho.dataset import pulled, versions
from whoswho.errors import UserError

OLD = {"Ann/1", "Ann/2", "Bob/1", "Bob/2", "Bob/3"}
# What the colleague's commit makes of it: two are new, one is another picture, one is taken out.
NEW = {"Ann/1", "Ann/2", "Ann/theirs", "Bob/2", "Bob/3", "Bob/theirs"}
CHANGED = "Bob/3"


class Clone:
    """A repository of data/ alone, in Git and DVC."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *commands: str, code: int | None = 0) -> None:
        """Run lines of commands joined by &&; DVC and ours in this process, to save its start."""
        for command in (part for line in commands for part in line.split(" && ")):
            program, *arguments = shlex.split(command)
            if program in ("dvc", "whoswho"):
                main = {"dvc": dvc.cli.main, "whoswho": cli.main}[program]
                with contextlib.chdir(self.path):
                    done = main(arguments) or 0
            else:
                done = subprocess.run(
                    ["bash", "-c", command], cwd=self.path, env=environment(self.path, **NOBODY)
                ).returncode
            assert code is None or done == code, command

    def put(self, file: str, content: str | None = None) -> None:
        path = self.path / "data" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(content or file, encoding="utf-8")

    def drop(self, *files: str) -> None:
        for file in files:
            (self.path / "data" / file).unlink()

    def has(self) -> dict[str, str]:
        data = self.path / "data"
        files = [path for path in data.rglob("*") if path.is_file()]
        return {p.relative_to(data).as_posix(): p.read_text(encoding="utf-8") for p in files}

    def copy(self, path: Path) -> Clone:
        return Clone(Path(shutil.copytree(self.path, path, symlinks=True)))


NOBODY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "t"), ("EMAIL", "t@t.invalid"))
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """one, with both versions, pushed to hub and remote; two, a clone with the first."""
    folder = tmp_path_factory.mktemp("pulled")
    colleague = Clone(folder / "one")
    colleague.path.mkdir()
    (colleague.path / "dvc.yaml").write_text("stages: {}\n")
    for file in OLD:
        colleague.put(file)
    colleague.run(
        "git init -q -b main && dvc init -q && dvc config core.analytics false",
        f"dvc remote add -q -d team {folder}/remote && dvc add -q data",
        f"git add -A && git commit -qm old && git clone -q --bare . {folder}/hub",
        f"dvc push -q && git remote add origin {folder}/hub && git fetch -q",
        f"git branch -q -u origin/main && git clone -q {folder}/hub {folder}/two",
    )
    two = Clone(folder / "two")
    two.run("dvc pull -q")
    colleague.drop("Bob/1")
    colleague.put(CHANGED, "by them")
    for file in NEW - OLD:
        colleague.put(file)
    colleague.run("dvc add -q data && git commit -qam new && git push -q && dvc push -q")
    two.run("git fetch -q")
    return folder


@pytest.fixture
def two(base: Path, tmp_path: Path) -> Clone:
    """The colleague: has not pulled yet."""
    return Clone(base / "two").copy(tmp_path / "two")


def refusal(clone: Clone) -> str:
    before = clone.has()
    with pytest.raises(UserError) as caught:
        pulled.check(clone.path)
    assert clone.has() == before
    assert "\n" not in str(caught.value)
    assert "--force" not in str(caught.value)
    return str(caught.value)


def followed(clone: Clone, message: str, *expected: str) -> None:
    """Do what the message says; then the check passes, and does so when DVC has added data/."""
    command = re.search("`(.*?)`", message)[1]  # type: ignore[index]
    assert command in expected, message
    clone.run(command)
    pulled.check(clone.path)
    clone.run("dvc add -q data")
    pulled.check(clone.path)


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def theirs(**others: str) -> dict[str, str]:
    return {file: "by them" if file == CHANGED else file for file in NEW} | others


# --- Nothing here but what somebody committed ----------------------------------------------------


@pytest.mark.parametrize(
    ("came", "command"),
    [
        (["git pull -q"], "dvc pull data.dvc"),
        (["git pull -q", "dvc fetch -q"], "dvc checkout data.dvc"),
        # As `dvc repro` does, or README's own order.
        (["git pull -q", "dvc add -q data"], "git restore data.dvc && dvc pull data.dvc"),
        (
            ["git pull -q", "dvc fetch -q", "dvc add -q data"],
            "git restore data.dvc && dvc checkout data.dvc",
        ),
    ],
)
def test_an_older_version_is_brought_forward(came: list[str], command: str, two: Clone) -> None:
    two.run(*came)
    message = refusal(two)
    assert ("is in no cache here" in message) == ("dvc fetch -q" not in came)
    if "dvc fetch -q" in came:
        assert "new: Ann 1 (theirs), Bob 2 (3, theirs); taken out: Bob 1 (1)" in message
    followed(two, message, command)
    assert two.has() == theirs()


def test_the_only_remote_is_named_where_none_is_the_default(two: Clone) -> None:
    two.run("dvc remote default --unset -q", "git pull -q")
    followed(two, refusal(two), "dvc pull -r team data.dvc")
    assert two.has() == theirs()


def test_what_no_remote_has_is_said(two: Clone, tmp_path: Path) -> None:
    two.run("git pull -q")
    two.run(f"dvc remote add -q -f -d team {tmp_path}/another")
    two.put("Ann/mine")
    assert "`whoswho merge`" in refusal(two)
    before = two.has()
    with pytest.raises(UserError, match=r"there is no folder .*another; mount it"):
        pulled.merge(two.path)
    (tmp_path / "another").mkdir()
    with pytest.raises(UserError, match=r"whoever has the pictures must `dvc push`"):
        pulled.merge(two.path)
    assert two.has() == before


# --- Something here is nobody else's -------------------------------------------------------------


@pytest.mark.parametrize(
    "came",
    [
        ["git pull -q"],
        ["git pull -q", "dvc fetch -q"],
        ["git pull -q", "dvc pull -q"],  # which refuses, and has fetched
        ["git pull -q", "dvc add -q data"],
        ["dvc add -q data", "git stash -q", "git pull -q", "dvc fetch -q"],
    ],
)
def test_both_sides_files_are_kept(came: list[str], two: Clone) -> None:
    for file in ("Ann/mine", "Cid/mine"):
        two.put(file)
    two.drop("Ann/2")
    two.run(*came, code=None)
    message = refusal(two)
    if any("dvc fetch" in command or "dvc pull" in command for command in came):
        assert "new: Ann 1 (theirs), Bob 2 (3, theirs); taken out: Bob 1 (1)" in message
        assert "of its own (new: Ann 1 (mine), Cid 1 (mine); taken out: Ann 1 (2))" in message
    followed(two, message, "whoswho merge")
    expected = theirs(**{"Ann/mine": "Ann/mine", "Cid/mine": "Cid/mine"})
    del expected["Ann/2"]
    assert two.has() == expected


def test_what_was_committed_and_then_left_behind_is_kept(two: Clone) -> None:
    """Only HEAD's log still knows the own commit, and no branch does."""
    two.put("Ann/mine")
    two.run("dvc add -q data && git commit -qam mine && git reset -q --hard origin/main")
    two.run("dvc fetch -q")
    followed(two, refusal(two), "whoswho merge")
    assert two.has() == theirs(**{"Ann/mine": "Ann/mine", "Bob/1": "Bob/1", CHANGED: CHANGED}) | {
        f"{CHANGED}-{md5('by them')[:8]}": "by them"
    }


def test_a_file_that_both_changed_is_there_twice(two: Clone) -> None:
    two.put(CHANGED, "by me")
    two.put("Bob/1", "by me")  # they took it out
    two.put("Ann/theirs", "by me")  # one name for two new pictures
    two.run("git pull -q", "dvc fetch -q")
    before = two.has()
    two.run("whoswho merge")
    has = two.has()
    assert before.items() <= has.items()
    assert sorted(has.values()) == sorted(
        [*before.values(), "by them", "Ann/theirs", "Bob/theirs"]
    )
    pulled.check(two.path)


def test_a_merge_that_was_killed_goes_on(two: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    two.put("Ann/mine")
    two.run("git pull -q", "dvc fetch -q")
    copyfile, calls = shutil.copyfile, []

    def once(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) > 1:
            raise KeyboardInterrupt
        copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", once)
    with pytest.raises(KeyboardInterrupt):
        pulled.merge(two.path)
    monkeypatch.undo()
    assert two.has() != theirs(**{"Ann/mine": "Ann/mine"})
    followed(two, refusal(two), "whoswho merge")
    assert two.has() == theirs(**{"Ann/mine": "Ann/mine"})


def test_a_list_that_leads_out_of_data_writes_nothing(two: Clone, base: Path) -> None:
    """A remote holds what anybody with access put there."""
    two.put("Ann/mine")
    two.run("git pull -q", "dvc fetch -q")
    name = re.search(r"md5: (\w+\.dir)", (two.path / "data.dvc").read_text())[1]  # type: ignore[index]
    listed = two.path / ".dvc/cache/files/md5" / name[:2] / name[2:]
    listed.chmod(0o644)
    listed.write_text(listed.read_text().replace("Ann/theirs", "../escaped"))
    with pytest.raises(UserError, match="lies outside data/"):
        pulled.merge(two.path)
    assert not (two.path / "escaped").exists()


# --- Ordinary work -------------------------------------------------------------------------------


def pulls(clone: Clone) -> None:
    clone.run("git pull -q", "dvc pull -q")


def crawls(clone: Clone) -> None:
    clone.put("Ann/mine")
    clone.put("manifest/2")


def starts_anew(clone: Clone) -> None:
    shutil.rmtree(clone.path / "data")
    (clone.path / "data.dvc").unlink()
    for file in ("Cid/1", "Dan/1"):
        clone.put(file)


def deletes_what_it_added(clone: Clone) -> None:
    """One picture in place of another one that was committed here."""
    clone.put("Ann/bad")
    clone.run("dvc add -q data && git commit -qam bad")
    clone.drop("Ann/bad")
    clone.put("Ann/good")


def rewrites_history(clone: Clone) -> None:
    clone.put("Ann/mine")
    clone.run("dvc add -q data && git commit -qa --amend -m another")
    clone.put("Ann/more")


def leaves_git(clone: Clone) -> None:
    shutil.rmtree(clone.path / ".git")
    clone.run("dvc config core.no_scm true")
    clone.put("Ann/mine")


WORK: dict[str, list[Callable[[Clone], object]]] = {
    "nothing": [],
    "pictures crawled": [pulls, crawls],
    "pictures crawled before the first pull": [crawls],
    "pictures deleted": [pulls, lambda clone: clone.drop("Ann/1", "Bob/theirs")],
    "a label deleted, another crawled": [
        pulls, lambda clone: clone.drop("Bob/2", "Bob/3", "Bob/theirs"), crawls
    ],
    "a picture replaced": [pulls, lambda clone: clone.put(CHANGED, "better")],
    "one of theirs replaced": [pulls, lambda clone: clone.put("Ann/theirs", "better")],
    "rows added": [pulls, lambda clone: clone.run("echo row >> review.csv")],
    "fetched and checked out": [
        lambda clone: clone.run("git pull -q", "dvc fetch -q", "dvc checkout -q"), crawls
    ],
    "a new set": [pulls, starts_anew],
    "a new set, never pulled": [
        lambda clone: clone.run("git pull -q", "rm -r .dvc/cache"), starts_anew
    ],
    "its own picture exchanged": [pulls, deletes_what_it_added],
    "history rewritten": [pulls, rewrites_history],
    "an older version taken on purpose": [
        pulls, lambda clone: clone.run("git checkout -q HEAD^ -- data.dvc", "dvc checkout -q")
    ],
    "their history rewritten": [
        pulls, lambda clone: clone.run("git reset -q --hard HEAD^", "dvc checkout -q"), crawls
    ],
    "another branch": [
        pulls, lambda clone: clone.run("git checkout -q HEAD^", "dvc checkout -q"), crawls
    ],
    "no Git": [pulls, leaves_git],
}  # fmt: skip


@pytest.mark.parametrize("steps", WORK.values(), ids=WORK)
def test_ordinary_work_is_let_through(steps: list[Callable[[Clone], object]], two: Clone) -> None:
    for step in steps:
        step(two)
    pulled.check(two.path)
    two.run("dvc add -q data")
    pulled.check(two.path)


def test_a_shallow_clone_is_refused_and_let_through_alike(base: Path, tmp_path: Path) -> None:
    clone = Clone(tmp_path / "shallow")
    subprocess.run(
        ["git", "clone", "-q", "--depth=1", f"file://{base}/hub", clone.path], check=True
    )
    pulled.check(clone.path)  # no data/ yet
    clone.run("dvc pull -q")
    crawls(clone)
    pulled.check(clone.path)
    clone.run("dvc add -q data && git commit -qam mine")
    pulled.check(clone.path)


def test_who_wants_it_gone_says_so_as_the_docs_say(two: Clone) -> None:
    two.run("git pull -q", "dvc fetch -q")
    assert "if it is to go: docs/team.md" in refusal(two)
    guide = (Path(__file__).parents[1] / "docs/team.md").read_text(encoding="utf-8")
    before = two.has()
    two.run(re.search("^dvc add data && git add data.dvc$", guide, re.MULTILINE)[0])  # type: ignore[index]
    pulled.check(two.path)
    assert two.has() == before


@pytest.mark.parametrize("target", ["../secret", "nowhere", "link"])
def test_a_link_is_refused_before_dvc_follows_it(target: str, two: Clone) -> None:
    """DVC would put the bytes of a file outside into data/, its cache and the remotes."""
    (two.path / "secret").write_text("secret")
    (two.path / "data/Ann/inside").symlink_to("1")
    (two.path / "data/Ann/folder").symlink_to("..")
    versions.check_links(two.path)
    (two.path / "data/Ann/link").symlink_to(two.path / "secret" if "/" in target else target)
    with pytest.raises(UserError, match=r"data/Ann/link: a link out of data/ or to no file; "):
        versions.check_links(two.path)


# --- The way a person meets it -------------------------------------------------------------------


@pytest.mark.slow
def test_check_and_clean_refuse_before_anything_is_undone(base: Path, tmp_path: Path) -> None:
    """`whoswho check`, which `make repro` runs first, and the stage, to which DVC comes with the
    old version already written into data.dvc; an experiment's copy runs as before.
    """
    first = Workspace(tmp_path / "first", **NOT_PEOPLE)
    for number in range(6):
        label = "Ann" if number % 2 else "Bob"
        write(first.path / f"data/{label}/{number}.png", photograph(number))
    first.run("git", "init", "-q", "-b", "main")
    first.run("dvc", "remote", "add", "-q", "-d", "team", tmp_path / "remote")
    first.track_data()
    second = first.copy(tmp_path / "second")
    second.run("git", "remote", "add", "-f", "first", first.path)
    write(first.path / "data/Ann/theirs.png", photograph(10))
    about = paths.sha256(first.path / "data/Ann/theirs.png")
    with (first.path / "review.csv").open("a", encoding="utf-8") as table:
        table.write(f"{about},Ann,keep,,by the colleague,\n")
    first.repro("clean")
    first.run("git", "-c", "user.name=t", "-c", "user.email=t@t.invalid", "commit", "-qam", "new")
    first.run("dvc", "push", "-q", "data.dvc")
    second.run("git", "pull", "-q", "first", "main")
    write(second.path / "data/Bob/mine.png", photograph(11))
    pulled_file = (second.path / "data.dvc").read_bytes()
    output = second.repro("clean", code=None)
    assert "failed to reproduce 'clean'" in output
    assert "`whoswho merge` keeps both" in output
    assert "data.dvc: the list of pictures that the last commit names is in no cache" in output
    assert (second.path / "data.dvc").read_bytes() == pulled_file
    assert "`whoswho merge`" in second.run("whoswho", "check", code=2).stderr
    assert "Bob 1 (mine.png)" in second.run("whoswho", "merge").stdout
    second.run("whoswho", "check")
    assert "Running stage 'clean'" in second.repro("clean")
    files = {row["file"] for row in second.rows("artifacts/clean/decisions.csv")}
    assert {"Ann/theirs.png", "Bob/mine.png"} < files
    assert len(files) == 8
    tried = second.run("dvc", "exp", "run", "--temp", "-S", "clean.min_side=90", "clean")
    assert "Ran experiment" in tried.stdout
