"""What `whoswho forget` prints: what goes, what still holds the pictures, and what to run next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from whoswho import paths
from whoswho.dataset import forgotten
from whoswho.takedown.traces import Traces
from whoswho.takedown.versioned import ObjectStore
from whoswho.wording import plural

GUIDE = "docs/takedown.md"


def before(traces: Traces, workspace: Path) -> list[str]:
    """What goes, and what stays by itself."""
    return [*_going(traces, workspace), *_staying(traces), *_searched(traces, workspace)]


def held(
    objects: Mapping[str, str],
    stores: Sequence[ObjectStore],
    models: Sequence[str],
    workspace: Path,
) -> list[str]:
    """What is held where this command does not reach.

    Args:
        objects: MD5 of DVC's objects -> the file each stands for.
        models: lines about runs and registered versions.
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
    lines += models
    if not lines:
        return ["held elsewhere: by no DVC object, no run and no registered version"]
    return ["held elsewhere, until it is collected:", *_indented(lines)]


def after(
    stores: Sequence[ObjectStore], deletion: Sequence[str], *, changed: bool, push: bool
) -> list[str]:
    """What was done, and the commands that rebuild and collect, in their order.

    Args:
        deletion: commands that delete runs and versions.
        changed: whether the set is another one than before.
        push: whether there is a remote to push it to.
    """
    lines = [f"barred from later crawls by hashes in data/{forgotten.FOLDER}/"]
    steps = []
    if changed:
        steps.append("dvc repro   # rebuilds without them, rewrites data.dvc")
        steps.append('git commit -am "Take pictures down"   # no name in the message')
        if push:
            steps.append("dvc push")
    if deletion:
        steps.append('export MLFLOW_TRACKING_URI="$(whoswho store)"')
        steps += deletion
    # It keeps what the workspace uses, and before the repro that is the pictures.
    steps += [store.collect for store in stores if store.objects]
    if not steps:
        return lines
    return [
        *lines,
        "next:",
        *_indented(steps),
        f"Git's history keeps file names and hashes of the reports; {GUIDE} says how to purge it",
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
    computed = [output.path for output in traces.outputs] + traces.caches
    if computed:
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
