"""The colleague's first command: data/ from the right remote, or the reason and the cure (H3)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import object_store
from support.lifecycle_store import free_port
from support.object_store import ObjectStore
from support.repository import REPOSITORY

from bench.workspace import commit, environment
from whoswho.dataset import pulling
from whoswho.errors import UserError

FILES = {"Ann": 3, "한가상": 2, "manifest": 1}
# The line of `make repro` that brings the pictures, as a shell gets it.
FIRST = re.search(r"^repro:.*\n\t@(.*)$", (REPOSITORY / "Makefile").read_text(), re.M)


def run(folder: Path, *command: str, code: int | None = 0, **more: str) -> str:
    surroundings = {k: v for k, v in environment(folder).items() if not k.startswith("AWS_")}
    surroundings |= {"PYTHONPATH": str(REPOSITORY / "src"), **more}
    done = subprocess.run(
        command, cwd=folder, env=surroundings, capture_output=True, text=True, check=False
    )
    output = done.stdout + done.stderr
    assert code is None or done.returncode == code, output
    assert "Traceback" not in output
    return output


def first_command(clone: Path, code: int = 0, **more: str) -> str:
    assert FIRST
    return run(clone, "sh", "-c", FIRST[1], code=code, **more)


def configure(folder: Path, default: str = "", local: str = "", **remotes: str) -> None:
    """Write DVC's configuration: remotes by their addresses, and keys for the default one."""
    lines = [f"[core]\n    remote = {default}\n"] if default else []
    lines += [f"['remote \"{name}\"']\n    url = {url}\n" for name, url in remotes.items()]
    (folder / ".dvc/config").write_text("".join(lines))
    if local:
        keys = f"['remote \"{default}\"']\n{local}"
        (folder / ".dvc/config.local").write_text(keys)


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose pictures lie in the remote `sample` within it."""
    folder = tmp_path_factory.mktemp("pushed") / "repository"
    for label, count in FILES.items():
        (folder / "data" / label).mkdir(parents=True)
        for number in range(count):
            (folder / f"data/{label}/{number}.jpg").write_text(f"{label} {number}")
    (folder / "dvc.yaml").touch()
    shutil.copy(REPOSITORY / ".gitignore", folder)
    commit(folder)
    run(folder, "dvc", "init", "-q")
    configure(folder, sample="../sample")
    run(folder, "dvc", "add", "-q", "data")
    run(folder, "dvc", "push", "-q", "-r", "sample")
    commit(folder, "data")
    return folder


@pytest.fixture
def clone(pushed: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", pushed, folder], check=True)
    return folder


@pytest.fixture
def storage(clone: Path, pushed: Path, tmp_path: Path) -> Path:
    """A default remote in a folder outside the clone, with everything that was pushed."""
    folder = tmp_path / "storage"
    shutil.copytree(pushed / "sample", folder)
    configure(clone, "storage", storage=str(folder))
    return folder


def test_without_a_default_remote_the_sample_comes(clone: Path) -> None:
    assert "pull: data/ came from sample" in first_command(clone)
    assert len(list((clone / "data").rglob("*.jpg"))) == sum(FILES.values())
    assert first_command(clone) == ""  # and is not asked for again


def test_a_team_gets_its_own_pictures_and_never_the_samples(clone: Path, storage: Path) -> None:
    shutil.rmtree(clone / "sample")
    assert "pull: data/ came from storage" in first_command(clone)
    assert (clone / "data/한가상/1.jpg").read_text() == "한가상 1"
    (clone / "data/Ann/mine.jpg").write_text("not saved anywhere")
    assert "data/ is there" in pulling.pull(clone)
    assert (clone / "data/Ann/mine.jpg").exists()


def test_what_was_not_pushed_is_counted_and_who_has_it_named(clone: Path, storage: Path) -> None:
    for path in storage.rglob("*"):
        if path.is_file() and path.read_text() in ("Ann 0", "Ann 2", "한가상 1"):
            path.unlink()
    output = first_command(clone, code=2)
    assert not (clone / "data").exists(), "half a set is taken for a whole one"
    *of_dvc, last = output.splitlines()
    assert any(line.startswith("ERROR: failed to pull") for line in of_dvc), output
    lacking = "lacks 3 of the 6 files that data.dvc names (Ann 2, 한가상 1)"
    assert last.startswith(f"whoswho: remote storage ({storage}): {lacking}; whoever has")
    assert "must `dvc push` (it was changed last by t in commit " in last
    shutil.rmtree(storage)
    storage.mkdir()
    none = "has none of the files that data.dvc names; whoever has"
    assert none in pulling.failure(clone, "storage")


def test_a_remote_that_is_not_there_is_told_from_one_that_lacks_files(
    clone: Path, storage: Path
) -> None:
    shutil.rmtree(storage)
    assert f"there is no folder {storage}; mount it" in pulling.failure(clone, "storage")
    configure(clone, "stroage", storage=str(storage))
    with pytest.raises(UserError, match=r"no remote 'stroage' \(it knows: storage\)"):
        pulling.pull(clone)
    configure(clone, "storage", storage=f"http://127.0.0.1:{free_port()}/set")
    assert "does not answer (" in pulling.failure(clone, "storage")
    configure(clone, "storage", storage="gs://bucket/set")
    cure = 'pip install -c constraints.txt "dvc[gs]"`'
    assert cure in pulling.failure(clone, "storage")


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    with object_store.serving(tmp_path_factory.mktemp("weed"), "pictures") as store:
        yield store


@pytest.mark.slow
def test_an_object_store_that_refuses_is_told_from_one_that_lacks_files(
    clone: Path, storage: Path, s3: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(clone))

    def failure(bucket: str, key: str, secret: str) -> str:
        local = f"    endpointurl = {s3.address}\n"
        if key:
            local += f"    access_key_id = {key}\n    secret_access_key = {secret}\n"
        configure(clone, "storage", local, storage=f"s3://{bucket}/set")
        return pulling.failure(clone, "storage")

    team = object_store.KEY, object_store.SECRET
    refused = "storage (s3://pictures/set): refuses you ("
    assert refused in failure("pictures", "", "")
    assert refused in failure("pictures", "stranger", object_store.SECRET)
    assert refused in failure("pictures", object_store.KEY, "guessed")
    assert "has none of the files" in failure("pictures", *team)
    assert "has none of the files" in failure("no-such-bucket", *team)
    for path in storage.rglob("*"):
        if path.is_file() and path.read_text() != "Ann 1":
            name = f"set/{path.relative_to(storage).as_posix()}"
            object_store.client(s3).upload_file(str(path), "pictures", name)
    assert "lacks 1 of the 6 files that data.dvc names (Ann 1)" in failure("pictures", *team)
