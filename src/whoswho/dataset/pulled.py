"""Git pulled, data not: data/ is not what data.dvc names, and `dvc repro` would make it so.

DVC writes what lies in data/ into data.dvc before any stage runs. Where a colleague's data.dvc
came with Git and their pictures did not come with DVC, the next commit would undo them. DVC keeps
no note of which version data/ was taken from, so it is told from Git's history and the lists of
files in DVC's cache.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from whoswho import git, paths
from whoswho.dataset import pulling, remote, versions
from whoswho.dataset.merging import GUIDE, TRACKED
from whoswho.dataset.versions import DataVersion, Files
from whoswho.errors import UserError
from whoswho.wording import plural

if TYPE_CHECKING:
    from dvc.repo import Repo

UNFINISHED = Path(".whoswho/merge.json")  # what a merge that was interrupted goes on from


@dataclass(frozen=True)
class Behind:
    """That data/ lacks a version which data.dvc names.

    Attributes:
        ours: what lies in data/.
        name: of the version; `theirs`: its files, None where no cache lists them.
        base: the version that data/ was taken from, as far as it is known; `before`: its files.
        same: whether data/ is that very version, and no commit is needed to keep it.
    """

    repo: Repo
    ours: Files
    name: str
    theirs: Files | None
    base: DataVersion | None
    before: Files
    same: bool


def check(workspace: Path) -> None:
    """See that data/ was taken from the version of it that data.dvc and the last commit name.

    Where DVC, on its way to a stage, has already written another version into data.dvc, the
    committed one is put back.

    Raises:
        UserError: it was not, and going on would undo what somebody else added or took out.
    """
    staged = os.environ.get("DVC_STAGE")  # by DVC, which has hashed data/ just now
    if staged and git.answer(workspace, "diff", "--quiet", "HEAD", "--", TRACKED) == "":
        return
    if (workspace / UNFINISHED).is_file():
        raise UserError(
            f"{workspace / UNFINISHED}: a merge of data/ was interrupted; `whoswho merge` ends it"
        )
    behind = _behind(workspace)
    if not behind:
        return
    if staged and behind.name != versions.named(workspace):
        git.answer(workspace, "restore", "--", TRACKED)
    raise UserError(
        f"{_finding(workspace, behind)}; {_cure(workspace, behind)} (if it is to go: {GUIDE})"
    )


def merge(workspace: Path) -> list[str]:
    """Bring into data/ what the version that data.dvc names changed; what only data/ has stays.

    A file that both sides changed is there twice, theirs with a hash in its name. Returns what
    was done, in lines.

    Raises:
        UserError: there is nothing to merge, or what is needed cannot be fetched.
    """
    note = workspace / UNFINISHED
    behind = _resumed(workspace, paths.read_json(note)) if note.is_file() else _behind(workspace)
    if not behind:
        raise UserError(f"{workspace / paths.DATA}: lacks nothing that {TRACKED} names")
    theirs = behind.theirs
    if theirs is None or _absent(behind.repo, theirs.values()):
        _fetch(workspace, behind)
        theirs = versions.files(behind.repo, behind.name)
    if theirs is None or _absent(behind.repo, theirs.values()):
        raise UserError(_not_fetched(workspace, behind))
    steps = _steps(behind, theirs)
    base = behind.base.name if behind.base and behind.base.reached else None
    paths.write_json(note, {"name": behind.name, "base": base})
    _apply(workspace / paths.DATA, behind.repo, steps)
    note.unlink()
    return _done(behind, steps)


# --- What is wrong ------------------------------------------------------------------------------


def _behind(workspace: Path) -> Behind | None:
    named, committed = versions.named(workspace), versions.named(workspace, "HEAD")
    if not named or not (workspace / paths.DATA).is_dir():
        return None
    repo = versions.opened(workspace)
    here, ours = versions.lying(repo, workspace)
    # Who stages another version with Git has said so, unless DVC does that by itself.
    chosen = named == versions.named(workspace, "") and not repo.config["core"].get("autostage")
    wanted = [named] if chosen or not committed else [named, committed]
    if {here} == set(wanted):
        return None
    known = versions.history(workspace)
    listed = {v.name: have for v in known if (have := versions.files(repo, v.name)) is not None}
    for name in dict.fromkeys(wanted):
        theirs = versions.files(repo, name)
        if name == here or (theirs is not None and name not in {v.name for v in known}):
            continue  # made by `dvc add` in this clone, of what lies here
        base = _taken_from(ours, name, theirs, known, listed)
        same = base is not None and base.reached and base.name == here
        if theirs is None:
            ordinary = base is None and named == here  # a set that somebody began anew
        else:
            ordinary = not same and (base is None or versions.came_by_commit(workspace, name))
        if not ordinary:
            before = listed[base.name] if base else {}
            return Behind(repo, ours, name, theirs, base, before, same)
    return None


def _taken_from(
    ours: Files,
    name: str,
    theirs: Files | None,
    known: Sequence[DataVersion],
    listed: dict[str, Files],
) -> DataVersion | None:
    """The version that data/ was taken from, where that is not the one called `name`.

    It is the nearest one, half of whose files are here at least, if nothing of what `theirs`
    changed since it has come.
    """
    mine = ours.items()
    near = [(len(mine ^ listed[v.name].items()), index) for index, v in enumerate(known)
            if v.name in listed and v.name != name]  # fmt: skip
    for distance, index in sorted(near):
        before = listed[known[index].name]
        stayed = before.items() & theirs.items() if theirs is not None else before.items()
        if 2 * len(stayed & mine) < len(stayed) or not before:
            continue
        if theirs is None:
            return known[index]
        changed = {file for file, _ in before.items() ^ theirs.items()}
        come = any(ours.get(file) == theirs.get(file) for file in changed)
        stayed_so = any(ours.get(file) == before.get(file) for file in changed)
        if stayed_so and not come and distance < len(mine ^ theirs.items()):
            return known[index]
    return None


def _absent(repo: Repo, names: Iterable[str]) -> list[str]:
    return [name for name in names if not versions.object_path(repo, name).exists()]


def _finding(workspace: Path, behind: Behind) -> str:
    data = workspace / paths.DATA
    what = (
        "the last commit names" if behind.name == versions.named(workspace, "HEAD") else "it names"
    )
    base = f"commit {behind.base.commit[:12]}" if behind.base else "another version"
    if behind.theirs is None:
        return (
            f"{workspace / TRACKED}: the list of pictures that {what} is in no cache here, and "
            f"{data.name}/ has others, so going on would undo what a colleague added or took out"
        )
    change = _changes(behind.before, behind.theirs)
    if behind.same:
        return f"{data}: is still as {base} has it and lacks what came since ({change})"
    return (
        f"{data}: comes from {base} and lacks what came since ({change}), and has changes of its "
        f"own ({_changes(behind.before, behind.ours)})"
    )


def _changes(before: Files, after: Files) -> str:
    """What came into a version and what was taken out of it."""
    new = _listed(after.items() - before.items())
    out = _listed(file for file in before.items() if file[0] not in after)
    return "; ".join(filter(None, (new and f"new: {new}", out and f"taken out: {out}")))


def _cure(workspace: Path, behind: Behind) -> str:
    """The command that brings what is lacking, and loses nothing that is here."""
    going = behind.ours.items() - (behind.theirs or {}).items()
    if not behind.same or _absent(behind.repo, (name for _, name in going)):
        return "`whoswho merge` keeps both"
    first = "" if behind.name == versions.named(workspace) else f"git restore {TRACKED} && "
    if behind.theirs is not None and not _absent(behind.repo, behind.theirs.values()):
        return f"`{first}dvc checkout {TRACKED}` brings it"
    option = "" if remote.default(workspace) else f"-r {_remote(workspace, behind.repo)} "
    return f"`{first}dvc pull {option}{TRACKED}` brings it"


def _remote(workspace: Path, repo: Repo) -> str:
    """The remote that pictures come from: without a default one the only one, if so."""
    names = sorted(repo.config["remote"])
    only = len(names) == 1 and not remote.default(workspace)
    return names[0] if only else pulling.source(workspace)


def _listed(files: Iterable[tuple[str, str]], most: int = 3) -> str:
    """Files as counts of each folder with the first names: `Ann 20 (a.jpg, b.jpg, …), Bob 1 …`."""
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for file, _ in sorted(files):
        folder, _, name = file.rpartition("/")
        folders[folder or "data"].append(name)
    parts = [
        f"{folder} {len(names)} ({', '.join(names[:most])}{', …' if len(names) > most else ''})"
        for folder, names in folders.items()
    ]
    more = [plural(len(parts) - 5, "more folder")] if len(parts) > 5 else []
    return ", ".join([*parts[:5], *more])


# --- Both kept ----------------------------------------------------------------------------------


def _resumed(workspace: Path, note: object) -> Behind:
    """A merge that was interrupted, with what lies in data/ by now."""
    repo = versions.opened(workspace)
    content = note if isinstance(note, dict) else {}
    name, base = str(content.get("name", "")), content.get("base")
    _, ours = versions.lying(repo, workspace)
    before = versions.files(repo, str(base)) or {}
    version = DataVersion("", str(base), reached=True) if base else None
    theirs = versions.files(repo, name)
    return Behind(repo, ours, name, theirs, version, before, same=False)


def _fetch(workspace: Path, behind: Behind) -> None:
    from dvc.exceptions import DvcException

    of_commit = behind.name != versions.named(workspace)
    options = {"revs": ["HEAD"], "workspace": False} if of_commit else {}
    try:
        behind.repo.fetch(targets=[TRACKED], remote=_remote(workspace, behind.repo), **options)
    except DvcException:
        raise UserError(_not_fetched(workspace, behind)) from None


def _not_fetched(workspace: Path, behind: Behind) -> str:
    return pulling.failure(workspace, _remote(workspace, behind.repo), behind.name)


@dataclass(frozen=True)
class FileChanges:
    """How data/ becomes what both sides want: files to write, by their MD5, and to remove."""

    write: Files
    beside: Files
    remove: Files


def _steps(behind: Behind, theirs: Files) -> FileChanges:
    # What only HEAD's log still leads to may be this person's own: nothing of it is removed.
    before = behind.before if behind.base and behind.base.reached else {}
    write, beside, remove = {}, {}, {}
    for file in sorted({*before, *behind.ours, *theirs}):
        old, mine, new = before.get(file), behind.ours.get(file), theirs.get(file)
        if new in (old, mine):
            continue
        if new is None:
            if mine is not None and mine == old and not _absent(behind.repo, [mine]):
                remove[file] = mine
        elif mine in (old, None):
            write[file] = new
        else:
            path = PurePosixPath(file)
            beside[path.with_name(f"{path.stem}-{new[:8]}{path.suffix}").as_posix()] = new
    return FileChanges(write, beside, remove)


def _apply(data: Path, repo: Repo, steps: FileChanges) -> None:
    for file, name in {**steps.write, **steps.beside}.items():
        if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
            raise UserError(
                f"{TRACKED}: lists {file!r}, which lies outside data/; nobody's picture"
            )
        try:
            with paths.fresh_file(data / file) as partial:
                shutil.copyfile(versions.object_path(repo, name), partial)
        except OSError as error:
            raise UserError(f"{data / file}: cannot be written ({error.strerror})") from None
    for file in steps.remove:
        (data / file).unlink(missing_ok=True)


def _done(behind: Behind, steps: FileChanges) -> list[str]:
    done = {
        "came": steps.write,
        "changed on both sides, theirs stands beside": steps.beside,
        "taken out by them": steps.remove,
    }
    lines = [f"merge: {what}: {_listed(files.items())}" for what, files in done.items() if files]
    own = behind.ours.items() - behind.before.items() - set(steps.write.items())
    lines.append(f"merge: your own stay: {_listed(own) or 'none'}")
    return [*lines, "next: dvc add data && whoswho check"]
