"""The versions of data/: what lies there, what DVC's cache has, which ones Git's history names."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from whoswho import git, paths
from whoswho.dataset import listing
from whoswho.dataset.merging import TRACKED
from whoswho.errors import UserError, one_line
from whoswho.labels import is_litter

if TYPE_CHECKING:
    from dvc.repo import Repo

Files = Mapping[str, str]  # a file by its posix path below data/ -> MD5 of its bytes

_NAMED = re.compile(r"md5: ([0-9a-f]{32}\.dir)$", re.MULTILINE)
_COMMITS = 100  # that change data.dvc, the newest; more lists cost more time to read


@dataclass(frozen=True)
class DataVersion:
    """A version of data/.

    Attributes:
        commit: that names it.
        name: DVC's, of its list of files.
        reached: whether a branch, a tag or HEAD leads to the commit, so that it cannot get lost.
    """

    commit: str
    name: str
    reached: bool


def opened(workspace: Path) -> Repo:
    """The workspace as DVC sees it.

    Raises:
        UserError: it is none of DVC's.
    """
    # Slow to import, and stages that find nothing to compare need it not.
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        return Repo(str(workspace))
    except DvcException as error:
        cure = "`git init && dvc init` first"
        raise UserError(f"{workspace}: DVC does not open it ({error}); {cure}") from None


def check_locks(workspace: Path) -> None:
    """Refuse the lock file of a DVC that was killed as it wrote it: every later one stops there.

    Raises:
        UserError: with the cure.
    """
    lock = workspace / ".dvc" / "tmp" / "rwlock"
    if not lock.is_file():
        return
    try:
        json.loads(lock.read_bytes())
    except ValueError:
        name = lock.relative_to(workspace).as_posix()
        raise UserError(
            f"{name}: half written by a DVC that was killed, so that no DVC goes on; if none runs "
            f"here now: rm {name}"
        ) from None


def check_links(workspace: Path) -> None:
    """See that no link in data/ leads out of it, for DVC follows links: `dvc add` and `dvc repro`
    put a copy of what one leads to in its place, into the cache and, later, into the remotes.

    Raises:
        UserError: one does, or leads to nothing, which DVC refuses without a name.
    """
    data = workspace / paths.DATA
    root = data.resolve()
    wrong = [
        file.relative_to(workspace).as_posix()
        for folder, folders, names in os.walk(data)
        for name in [*names, *folders]
        if (file := Path(folder, name)).is_symlink()
        and not is_litter(name)
        and not file.is_dir()  # which DVC passes over, and cleaning names
        and listing.problem(file, root)
    ]
    if wrong:
        raise UserError(
            f"{workspace / min(wrong)}: a link out of data/ or to no file"
            f"{f', as are {len(wrong) - 1} more' if wrong[1:] else ''}; DVC would put a copy of "
            "what it leads to into its cache and remotes: delete it, or put the picture itself in "
            "its place"
        )


def lying(repo: Repo, workspace: Path) -> tuple[str, Files]:
    """What lies in data/ now: DVC's name for it, and its files.

    Raises:
        UserError: DVC cannot read one.
    """
    from dvc.exceptions import DvcException
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.tree import Tree

    data = workspace / paths.DATA
    try:
        _, _, tree = build(
            repo.cache.local, str(data), repo.fs, "md5", dry_run=True, ignore=repo.dvcignore
        )
    except (OSError, DvcException) as error:
        where = getattr(error, "filename", None) or data
        what = getattr(error, "strerror", None) or one_line(error)
        raise UserError(
            f"{where}: DVC cannot read it ({what}), so it can version no picture; make it "
            "readable, or move it out of data/"
        ) from None
    assert isinstance(tree, Tree)
    return str(tree.oid), {entry["relpath"]: entry["md5"] for entry in tree.as_list()}


def object_path(repo: Repo, name: str) -> Path:
    """Where DVC's cache has an object, or would have it."""
    return Path(repo.cache.local.path) / name[:2] / name[2:]


def files(repo: Repo, name: str) -> Files | None:
    """The files of a version; None where its list is not in the cache, or no list."""
    try:
        return listed(object_path(repo, name).read_bytes())
    except OSError:
        return None


def listed(content: bytes) -> Files | None:
    """The files that a folder's object lists; None where it is damaged."""
    try:
        return {str(entry["relpath"]): str(entry["md5"]) for entry in json.loads(content)}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def named(workspace: Path, revision: str | None = None) -> str:
    """DVC's name of the version that data.dvc names: in the workspace, at a revision of Git or in
    its index (""); empty where none is named.
    """
    if revision is None:
        file = workspace / TRACKED
        text = file.read_text("utf-8", "replace") if file.is_file() else ""
    else:
        text = git.answer(workspace, "show", f"{revision}:./{TRACKED}") or ""
    match = _NAMED.search(text)
    return match[1] if match else ""


def history(workspace: Path) -> list[DataVersion]:
    """The versions that commits name, the newest commit's first; those that only HEAD's log still
    knows, as after a rewritten history, come last. A stash or an experiment is nobody's base.
    """
    plain = ("log", "--format=%H", f"-{_COMMITS}")
    heads = ("HEAD", "--branches", "--tags", "--remotes")
    reached = (git.answer(workspace, *plain, *heads, "--", TRACKED) or "").split()
    former = (git.answer(workspace, *plain, "-g") or "").split()
    if former:
        former = (git.answer(workspace, *plain, *former, "--", TRACKED) or "").split()
    commits = list(dict.fromkeys([*reached, *former]))
    if not commits:
        return []
    lines = git.answer(workspace, "grep", "-E", _NAMED.pattern, *commits, "--", TRACKED) or ""
    names = {line[:40]: match[1] for line in lines.splitlines() if (match := _NAMED.search(line))}
    versions: dict[str, DataVersion] = {}
    for commit in commits:
        if name := names.get(commit):
            versions.setdefault(name, DataVersion(commit, name, commit in reached))
    return list(versions.values())


def came_by_commit(workspace: Path, name: str) -> bool:
    """Whether the version that HEAD names became its version by a commit made in this clone.

    A pull, a merge or a checkout moves data.dvc and leaves data/ as it is.
    """
    moves = (git.answer(workspace, "log", "-g", "--format=%H %gs", "-200") or "").splitlines()
    if not moves:
        return False
    commits = dict.fromkeys(move[:40] for move in moves)
    lines = git.answer(workspace, "grep", "-F", name, *commits, "--", TRACKED) or ""
    having = {line[:40] for line in lines.splitlines()}
    first = ""  # of the unbroken row of states with this version, what brought it
    for move in moves:
        if move[:40] not in having:
            break
        first = move[41:]
    return first.startswith("commit") and not first.startswith("commit (merge)")
