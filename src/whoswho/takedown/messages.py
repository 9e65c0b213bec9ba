"""What `whoswho forget` prints: what goes, what still holds the pictures, and what to run next."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from whoswho import paths
from whoswho.dataset import forgotten
from whoswho.takedown.same_face import SameFace
from whoswho.takedown.traces import Traces
from whoswho.takedown.versioned import ObjectStore
from whoswho.wording import plural

GUIDE = "docs/takedown.md"


def before(traces: Traces, same_face: SameFace, workspace: Path) -> list[str]:
    """What goes, and what stays by itself."""
    return [
        *_going(traces, workspace),
        *_staying(traces),
        *_same_face(same_face),
        *_searched(traces, workspace),
    ]


def held(
    objects: Mapping[str, str],
    stores: Sequence[ObjectStore],
    others: Sequence[str],
    workspace: Path,
) -> list[str]:
    """What is held where this command does not reach.

    Args:
        objects: MD5 of DVC's objects -> the file each stands for.
        others: lines about runs, registered versions, exported models and Git's history.
    """
    lines = []
    for name, what in sorted(objects.items(), key=lambda item: item[1]):
        having = [store for store in stores if name in store.objects]
        if not having:
            continue
        address = having[0].objects[name].removeprefix(f"{workspace}/")
        also = "".join(f", also in remote {store.name}" for store in having[1:])
        where = f"DVC remote {having[0].name}" if having[0].name else "DVC cache"
        lines.append(f"{where}: {address}{also}  ({what})")
    lines += [
        f"DVC remote {store.name}: perhaps ({store.problem}); {store.collect}"
        for store in stores
        if store.problem
    ]
    lines += others
    if not lines:
        return ["held elsewhere: by no DVC object, run, registered version, export or commit"]
    return ["held elsewhere, until it is collected:", *_indented(lines)]


@dataclass(frozen=True)
class Steps:
    """What is to be done next.

    Attributes:
        rebuild: whether the outputs, or what DVC says of them, are still those with the pictures.
        push: whether there is a remote to push the set to.
        deletion: commands that delete runs and versions.
        exports: exported folders.
        stripping: commands that rewrite Git's history.
        unsaved: whether Git has changes to commit.
    """

    rebuild: bool
    push: bool
    deletion: Sequence[str]
    exports: Sequence[str]
    stripping: Sequence[str]
    unsaved: bool


def after(stores: Sequence[ObjectStore], steps: Steps) -> list[str]:
    """What was done, and the commands that rebuild and collect, in their order."""
    commands = []
    if steps.rebuild:
        commands.append("dvc repro   # rebuilds without them, rewrites data.dvc")
    if steps.rebuild or (steps.stripping and steps.unsaved):
        commands.append('git commit -am "Take pictures down"   # no name in the message')
    if steps.rebuild and steps.push:
        commands.append("dvc push")
    if steps.deletion:
        commands += ['export MLFLOW_TRACKING_URI="$(whoswho store)"', *steps.deletion]
    commands += [f"rm -r {shlex.quote(folder)}" for folder in steps.exports]
    # It keeps what the workspace uses, and before the repro that is the pictures.
    commands += [store.collect for store in stores if store.objects]
    commands += steps.stripping
    lines = [f"barred from later crawls by hashes in data/{forgotten.FOLDER}/"]
    if not commands:
        return lines
    return [
        *lines,
        "next:",
        *_indented(commands),
        f"then run it again, which names what is left; {GUIDE} has the answer to the person",
    ]


def _going(traces: Traces, workspace: Path) -> list[str]:
    if not traces.any:
        return ["forget: nothing in this repository has it"]
    pictures, files = plural(len(traces.pictures), "picture"), plural(len(traces.files), "file")
    lines = [f"forget: {pictures}, {files}"]
    lines += _indented(f"{paths.DATA.as_posix()}/{file}" for file in traces.files)
    for table, rows in (("data/manifest/", traces.former), ("review.csv", traces.reviews)):
        if rows:
            lines.append(f"  {plural(len(rows), 'row')} of {table}")
    if computed := traces.outputs + traces.caches:
        lines.append("computed from them; the next `dvc repro` rebuilds it without them:")
        names = [path.relative_to(workspace).as_posix() for path in computed]
        lines.append(f"  {', '.join(names)}")
    return lines


def _staying(traces: Traces) -> list[str]:
    lines = []
    if traces.unreadable:
        lines += [
            "cannot be opened, so it is not known whether they go; make them readable "
            "(`chmod u+r FILE`), then run the same command again:",
            *_indented(f"data/{file}" for file in traces.unreadable),
        ]
    if traces.look_alikes:
        lines += [
            "look-alikes, perhaps the same photograph cut or resized: they stay; the same command "
            "with --with-copies takes them too:",
            *_indented(f"data/{file}  {sha256}" for file, sha256 in traces.look_alikes.items()),
        ]
    return lines


def _same_face(same: SameFace) -> list[str]:
    if same.problem:
        return [f"their face was not looked for under other labels: {same.problem}"]
    if not same.files:
        return []
    return [
        "under other labels, perhaps with the person's face: these stay; look at them, then take "
        "what shows the person (--sha256 may be repeated):",
        *_indented(
            f"whoswho forget --sha256 {sha256}   # data/{file}"
            for file, sha256 in same.files.items()
        ),
    ]


def _searched(traces: Traces, workspace: Path) -> list[str]:
    """Lines of the person's own keywords.txt, which is theirs to change."""
    keywords = workspace / "keywords.txt"
    if not keywords.is_file():
        return []
    text = keywords.read_text(encoding="utf-8-sig", errors="replace")
    return [
        f"keywords.txt, line {number}, still names a label that goes; delete it"
        for number, line in enumerate(text.splitlines(), 1)
        if any(traces.request.names_label(part.strip()) for part in line.split("="))
    ]


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]
