"""Taking pictures down: they are barred, and every trace in the workspace is removed.

`dvc repro` rebuilds what the stages had computed from them. What a removal cannot reach (DVC's
objects, registered versions, Git's history) is named instead.

Removal can be killed anywhere: the bar stands first, and the manifest, which alone ties an address
to a file, gives up its rows last, those that name what was asked for after the others, so the same
command finds the rest and finishes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Set
from pathlib import Path

from dvc.repo import Repo

from whoswho import paths, tables
from whoswho.crawl import collection, finished
from whoswho.dataset import forgotten, manifest, review
from whoswho.errors import UserError
from whoswho.exporting import exports as exported
from whoswho.labels import from_folder
from whoswho.pictures.face_cache import FaceCache
from whoswho.takedown import committed, history, versioned
from whoswho.takedown.traces import Traces, find


def remove(workspace: Path, traces: Traces) -> bool:
    """Bar the pictures from later crawls, then remove every trace, the manifest's rows last.

    What a crawl brought since `traces` were found goes as well. Returns whether data/ is another
    set than before.

    Raises:
        UserError: a crawl is running, whose own copy of the manifest would bring rows back.
    """
    with collection.alone(workspace):
        barred = forgotten.load(workspace / paths.DATA)
        traces = find(workspace, traces.request, past=traces.past)
        _remove(workspace, traces)
        return traces.any or forgotten.load(workspace / paths.DATA) != barred


def held(
    repo: Repo, workspace: Path, traces: Traces
) -> tuple[dict[str, str], list[versioned.ObjectStore]]:
    """DVC's objects of the pictures and of what was made of them, and where they are.

    Objects are named by their MD5, each with the file it stands for.
    """
    data = workspace / paths.DATA
    named = history.originals(traces.past, traces.pictures)
    names = {name: file for name, (_, file) in named.items()}
    names |= {
        versioned.md5(data / file): f"{paths.DATA}/{file}"
        for file, sha256 in traces.files.items()
        if sha256
    }
    lost = traces.pictures - set(traces.files.values()) - {sha256 for sha256, _ in named.values()}
    by_name = versioned.by_content(repo, lost)
    names |= {name: f"sha256 {sha256}" for name, sha256 in by_name.items()}
    objects = history.objects(traces.past, traces.pictures, names)
    complete = lost <= set(by_name.values())
    return objects, versioned.stores(repo, objects.keys(), complete=complete)


def words(traces: Traces) -> set[str]:
    """What a text that speaks of the pictures holds one of: hashes, files' names, labels."""
    names = history.file_names(traces.past, traces.pictures) | traces.files.keys()
    names |= {row.file for row in traces.former}
    # A name may have been given again, to a file that stays.
    return (names - traces.staying.keys() | traces.pictures | traces.request.labels) - {""}


def labels_that_stay(traces: Traces) -> set[str]:
    """The labels of files that stay, one of which may have a label that goes in it."""
    folders = {part for file in traces.staying for part in Path(file).parts[:-1]}
    return {from_folder(folder) for folder in folders} - traces.request.labels


def left_to_people(traces: Traces) -> list[Path]:
    """Files that people write and the removal leaves as they are."""
    return [committed.KEYWORDS, *([] if traces.reviews else [paths.REVIEW])]


def exports(workspace: Path, held: Set[str], clear: Set[str]) -> dict[str, str]:
    """Exported folders of models that learned from the pictures, each with what to say of it.

    Args:
        held: digests of models that did.
        clear: digests of models that did not.
    """
    return {
        export.folder: f"exported model: {export.folder}"
        + ("" if export.model in held else ": perhaps, no run tells any more of its model")
        for export in exported.known(workspace)
        if export.model not in clear
    }


def _remove(workspace: Path, traces: Traces) -> None:
    data = workspace / paths.DATA
    request = traces.request
    forgotten.add(
        data,
        pictures=traces.pictures,
        addresses=request.addresses | {row.address for row in traces.rows} - {""},
        labels=request.labels,
    )
    _forget_faces(workspace, traces.pictures)
    drawn = [workspace / path for path in (*paths.COMPARISON, paths.REGISTER_PAGE)]
    # Only the outputs' tables tell that the caches go.
    for path in (*traces.caches, *drawn, *traces.outputs):
        _delete(path)
    for file in traces.files:
        (data / file).unlink(missing_ok=True)
    for folder in traces.folders:
        _delete(data / folder)
    _remove_empty({(data / file).parent for file in traces.files}, data)
    finished.forget(workspace, request.labels)
    _strike_reviews(workspace / paths.REVIEW, traces)
    manifest.strike(data, lambda row: traces.has_row(row) and not traces.is_asked_for(row))
    manifest.strike(data, traces.has_row)
    _remove_empty([data / manifest.FOLDER], data)


def _forget_faces(workspace: Path, pictures: Set[str]) -> None:
    with FaceCache(workspace / paths.FACES) as cache:
        cache.forget(pictures)
    if cache.problem:
        raise UserError(
            f"{workspace / paths.FACES}: cannot be cleaned ({cache.problem}); delete the "
            "folder, then run the same command again"
        )


def _delete(path: Path) -> None:
    """Remove a file, a link or a folder. A folder's own tables say what it holds: they go last."""
    if path.is_symlink() or path.is_file():
        path.unlink()
        return
    if not path.is_dir():
        return
    for entry in sorted(path.iterdir(), key=lambda entry: (entry.suffix == ".csv", entry.name)):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    path.rmdir()


def _remove_empty(folders: Iterable[Path], data: Path) -> None:
    """Remove folders that lost their last file, upwards to data/."""
    for folder in folders:
        while folder != data and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent


def _strike_reviews(table: Path, traces: Traces) -> None:
    """Take rows out of review.csv; without such a row it keeps its bytes."""
    with review.locked(table):
        rows = tables.read(table) if table.is_file() else []
        kept = [row for row in rows if not traces.has_review(row)]
        if len(kept) < len(rows):
            tables.write(table, rows[0], kept)
