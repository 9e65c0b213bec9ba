"""Whether Git has merged what two people did, and what a clone needs for it; docs/team.md."""

from __future__ import annotations

import shlex
from pathlib import Path

from whoswho import git
from whoswho.dataset import forgotten, manifest, remote
from whoswho.dataset.forgotten import Forgotten
from whoswho.dataset.manifest import ManifestRow
from whoswho.errors import UserError

TRACKED = "data.dvc"
GUIDE = "docs/team.md"
# What a person or DVC writes. The tables in data/ are not Git's, their reader looks at them.
FILES = ("dvc.lock", "dvc.yaml", "params.yaml", "review.csv", "keywords.txt", ".dvc/config")
DRIVER = "dvc git-hook merge-driver --ancestor %O --our %A --their %B"


def check(workspace: Path) -> None:
    """See that no merge stands still here, and that none left out one side's pictures.

    Raises:
        UserError: a file of ours is half merged.
    """
    names = git.answer(workspace, "diff", "--name-only", "--relative", "--diff-filter=U") or ""
    unmerged = names.splitlines()
    again = f"as {GUIDE} says: DVC's merge driver set up, both sides' trees fetched"
    tracked = workspace / TRACKED
    line = git.marker_line(tracked.read_text("utf-8", "replace")) if tracked.is_file() else 0
    if line or TRACKED in unmerged:
        what = f"holds merge markers of Git at line {line}" if line else "is half merged"
        raise UserError(
            f"{tracked}: {what}, so one side's pictures would be lost; `git merge --abort`, then "
            f"merge {again}"
        )
    if side := _left_out(workspace):
        raise UserError(
            f"{tracked}: both sides of the merge changed it, and the pictures of "
            f"{side[:12]} are not in it; merge anew {again}; if they are not wanted, "
            '`git commit --allow-empty -m "One side\'s pictures"`'
        )
    made = [name for name in unmerged if name == "dvc.lock" or name.startswith("reports/")]
    if made:
        raise UserError(
            f"{workspace / made[0]}: not merged, nor need it be: `git checkout --ours dvc.lock "
            "reports && git add dvc.lock reports` takes yours, `dvc repro` writes them anew"
        )
    for name in FILES:
        git.check_merged(workspace / name)
    if unmerged:
        raise UserError(
            f"{workspace / unmerged[0]}: Git has not finished merging it; leave what is right of "
            f"both sides, then `git add {unmerged[0]}`"
        )


def advice(workspace: Path) -> list[str]:
    """Lines that say what a clone with a default remote lacks to merge two people's pictures."""
    in_git = git.answer(workspace, "rev-parse", "--git-dir")
    if not in_git or not remote.default(workspace):
        return []
    if git.answer(workspace, "config", "merge.dvc.driver"):
        return []
    return [
        "check: merging a colleague's pictures needs these two lines once in a clone, and both "
        f"sides' trees fetched each time ({GUIDE}):",
        '  git config merge.dvc.name "DVC merge driver"',
        f'  git config merge.dvc.driver "{DRIVER}"',
    ]


def barred_again(data: Path) -> str | None:
    """What is said of pictures that somebody took down while somebody else crawled them.

    Raises:
        UserError: a table in data/ cannot be understood.
    """
    barred = forgotten.load(data)
    options = [_option(row, barred) for row in manifest.read_all(data)] if barred else []
    arguments = sorted({f"--{name} {shlex.quote(value)}" for name, value in filter(None, options)})
    if not arguments:
        return None
    return (
        f"{data.name}/ holds what {data.name}/{forgotten.FOLDER}/ bars, since a takedown was "
        f"merged with a crawl: whoswho forget {' '.join(arguments)}"
    )


def _option(row: ManifestRow, barred: Forgotten) -> tuple[str, str] | None:
    """The option of `whoswho forget`, and its value, that a barred row goes by."""
    if row.sha256 and barred.bars_picture(row.sha256):
        return "sha256", row.sha256
    if barred.bars_label(row.label):
        return "label", row.label
    addresses = (row.address, row.page_url)
    return next((("url", url) for url in addresses if barred.bars_address(url)), None)


def _left_out(workspace: Path) -> str:
    """The commit whose pictures the present merge, or the last commit if it is one, left out.

    Where DVC's merge driver fails, one side's file stays, without a mark; `git add` hides it.
    """

    def commit(name: str) -> str:
        return git.answer(workspace, "rev-parse", "--verify", "-q", name) or ""

    merged = commit("MERGE_HEAD")
    sides = [commit("HEAD"), merged] if merged else [commit("HEAD^1"), commit("HEAD^2")]
    base = git.answer(workspace, "merge-base", *sides) if all(sides) else None
    if not base:
        return ""
    ours, theirs, before = (commit(f"{side}:./{TRACKED}") for side in (*sides, base))
    now = git.answer(workspace, "hash-object", TRACKED)
    if len({ours, theirs, before}) < 3:  # one side alone changed it, or both alike
        return ""
    return {ours: sides[1], theirs: sides[0]}.get(now or "", "")
