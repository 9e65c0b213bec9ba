"""What DVC's lists and locks tell of pictures after their files are gone.

A lock says which objects a stage read and which it wrote: dvc.lock as it lies and as commits have
it, and DVC's run cache. The object of a folder lists the folder's files, and cleaning's and the
split's tables are objects too. All of them outlive a removal in the workspace, so a takedown that
was broken off, or is asked for again, names the same objects.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from dvc.repo import Repo

from whoswho import git, paths
from whoswho.artifacts.decisions import DECISIONS
from whoswho.artifacts.split import SPLIT
from whoswho.artifacts.thumbnails import thumbnail_path
from whoswho.dataset import manifest, versions
from whoswho.labels import from_folder
from whoswho.tables import Row
from whoswho.takedown.request import TakedownRequest

Read = Callable[[Set[str]], Mapping[str, bytes]]  # names of objects -> what those that exist hold

DATA, CLEAN, DATASET = (path.as_posix() for path in (paths.DATA, paths.CLEAN, paths.DATASET))
_LIST = ".dir"  # ends the name of a folder's object


@dataclass
class Step:
    """What a lock says of one stage: names of objects by the paths it read and wrote."""

    reads: dict[str, str] = field(default_factory=dict)
    writes: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """What every lock and list tells.

    Attributes:
        lists: name of a folder's object -> names of its files' objects by their path in it.
        tables: name of a table's object -> its rows.
        sets: names of the versions of data/.
        present: names that dvc.lock and data.dvc give now.
    """

    steps: Sequence[Step] = ()
    lists: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    tables: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    sets: Set[str] = frozenset()
    present: Set[str] = frozenset()

    def rows(self, folder: str, table: str) -> Sequence[Row] | None:
        """The rows of a table in the folder of this name; None where it cannot be read."""
        return self.tables.get(self.lists.get(folder, {}).get(table, ""))


def read(repo: Repo, workspace: Path, objects: Read) -> History:
    """What the locks and lists of a workspace tell, as far as `objects` can be read."""
    steps = [step for text in dict.fromkeys(_locks(repo, workspace)) for step in parse(text)]
    named = {version.name for version in versions.history(workspace)}
    named |= {versions.named(workspace), *(step.reads.get(DATA, "") for step in steps)} - {""}
    folders = {
        name
        for step in steps
        for name in (*step.writes.values(), *map(step.reads.get, (CLEAN, DATASET)))
        if name and name.endswith(_LIST)
    }
    read_lists = objects(folders | named).items()
    lists = {name: files for name, content in read_lists if (files := versions.listed(content))}
    wanted = {files[table] for files in lists.values() for table in (DECISIONS, SPLIT)
              if table in files}  # fmt: skip
    wanted |= {
        name
        for data in named & lists.keys()
        for file, name in lists[data].items()
        if file.startswith(f"{manifest.FOLDER}/")
    }
    tables = {name: _rows(content) for name, content in objects(wanted).items()}
    lock = workspace / "dvc.lock"
    text = lock.read_text(encoding="utf-8", errors="replace") if lock.is_file() else ""
    now = [name for step in parse(text) for name in (*step.reads.values(), *step.writes.values())]
    present = {*now, versions.named(workspace)}
    return History(steps, lists, tables, named, present)


def parse(lock: str) -> Iterator[Step]:
    """The stages of a text as DVC writes dvc.lock, or an entry of its run cache."""
    step, kind, path = Step(), "", ""
    for line in lock.splitlines():
        key, _, value = line.strip().removeprefix("- ").partition(":")
        value = value.strip().strip("'\"")
        if key == "cmd":
            step, kind = Step(), ""
            yield step  # filled before the next one is asked for
        elif not value:
            kind = key
        elif key == "path":
            path = value
        elif key == "md5" and kind in ("deps", "outs"):
            (step.reads if kind == "deps" else step.writes)[path] = value


def pictures(history: History, request: TakedownRequest) -> set[str]:
    """sha256 of the pictures that any version's tables tie to what is asked for."""
    return {
        row.get("sha256", "")
        for table in history.tables.values()
        for row in table
        if request.names_label(row.get("label", ""))
        or request.names_address(row.get("image_url", ""))
        or request.names_address(row.get("page_url", ""))
    } - {""}


def labels(history: History) -> set[str]:
    """Every label that a table of any version names."""
    return {
        from_folder(row["label"])
        for table in history.tables.values()
        for row in table
        if row.get("label")
    }


def originals(history: History, pictures: Set[str]) -> dict[str, tuple[str, str]]:
    """The objects that are these pictures' own bytes, as cleaning's tables of any version name
    them: name of the object -> sha256, and the file in data/.
    """
    by_object = {}
    for step in history.steps:
        data = history.lists.get(step.reads.get(DATA, ""), {})
        for row in history.rows(step.writes.get(CLEAN, ""), DECISIONS) or ():
            if row.get("sha256") in pictures and row.get("file") in data:
                by_object[data[row["file"]]] = row["sha256"], f"{DATA}/{row['file']}"
    return by_object


def objects(history: History, pictures: Set[str], names: Mapping[str, str]) -> dict[str, str]:
    """Names of the objects that hold the pictures or were computed from them, and what each is.

    An object that a stage also wrote without having read one of them holds nothing of them.

    Args:
        names: of the objects that are pictures' own bytes, with what each is.
    """
    held = dict(names)
    held |= {
        data: f"a list of {DATA}"
        for data in history.sets
        if not names.keys().isdisjoint(history.lists.get(data, {}).values())
    }
    todo = list(history.steps)
    while reached := [step for step in todo if not held.keys().isdisjoint(step.reads.values())]:
        todo = [step for step in todo if held.keys().isdisjoint(step.reads.values())]
        for step in reached:
            for path, name in step.writes.items():
                held |= _computed(history, path, name, pictures, names.keys())
    clear = {
        name
        for step in todo
        if all(step.reads.get(path, "") in ("", *history.lists) for path in (DATA, CLEAN, DATASET))
        for written in step.writes.values()
        for name in (written, *history.lists.get(written, {}).values())
    }
    return {
        name: names.get(name, what)
        for name, what in held.items()
        if name in names or name not in clear
    }


def _computed(
    history: History, path: str, name: str, pictures: Set[str], originals: Set[str]
) -> dict[str, str]:
    """Of an output of a stage that had read one of the pictures, what holds one.

    Of cleaned and prepared pictures only theirs do, and the tables beside; else all of it.
    """
    files = history.lists.get(name, {})
    own = set(files)
    if path == CLEAN:
        shown = {thumbnail_path(Path(), sha256).as_posix() for sha256 in pictures}
        own = {file for file in files if "/" not in file or file in shown}
        own |= {file for file, each in files.items() if each in originals}
    if path == DATASET:
        rows = history.rows(name, SPLIT)
        theirs = {row["path"] for row in rows or () if row.get("sha256") in pictures}
        if rows is not None and not theirs:
            return {}
        own = {file for file in files if "/" not in file or file in theirs}
    held = {files[file]: f"{path}/{file}" for file in sorted(own)}
    return held | {name: f"a list of {path}" if name.endswith(_LIST) else path}


def look_alikes(history: History, pictures: Set[str]) -> set[tuple[str, str]]:
    """File and sha256 of what looks like one of the pictures by any version's table."""
    return {pair for table in history.tables.values() for pair in alike(table, pictures)}


def alike(table: Iterable[Mapping[str, str]], pictures: Set[str]) -> set[tuple[str, str]]:
    """File and sha256 of a table's rows that share a group of look-alikes with the pictures."""
    rows = [row for row in table if row.get("group")]
    groups = {row["group"] for row in rows if row["sha256"] in pictures}
    return {
        (row["file"], row["sha256"])
        for row in rows
        if row["group"] in groups and row["sha256"] not in pictures
    }


def file_names(history: History, pictures: Set[str]) -> set[str]:
    """Where below data/ these pictures ever lay."""
    return {
        row["file"]
        for table in history.tables.values()
        for row in table
        if row.get("sha256") in pictures and row.get("file")
    }


def _locks(repo: Repo, workspace: Path) -> Iterator[str]:
    files = [workspace / "dvc.lock", *sorted(Path(repo.stage_cache.cache_dir).glob("*/*/*"))]
    for file in files:
        if file.is_file():
            yield file.read_text(encoding="utf-8", errors="replace")
    # Where Git does not give all of them, `committed` says so.
    blobs = git.blobs(workspace, re.compile(r"dvc\.lock")) or {}
    there = [name for name, path in blobs.items() if path]
    for content in git.contents(workspace, there).values():
        yield content.decode(errors="replace")


def _rows(content: bytes) -> list[Row]:
    """The rows of a table of any version of the columns; none where it is damaged."""
    text = content.decode("utf-8-sig", "surrogateescape")
    rows: Iterable[Row] = csv.DictReader(text.splitlines(), restkey="", restval="")
    try:
        return [row for row in rows if "" not in row]
    except csv.Error:
        return []
