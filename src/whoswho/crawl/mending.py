"""Files of data/ and rows of its manifest brought one to one again.

No table of an earlier crawl is changed: what is found goes into the present one's.

Between two crawls a kill may have left a picture without its row or under its unfinished name, and
a person may have taken a picture out, moved it, or put one in.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from whoswho import paths
from whoswho.crawl import download
from whoswho.crawl.transport import DownloadError
from whoswho.dataset.manifest import GONE, TAKEN_OUT, ManifestRow
from whoswho.labels import TABLES, from_folder, is_litter

PUT_IN = "put in by hand"

_PARTIAL = re.compile(r"\.(.+_\d{4,}_[0-9a-f]{8}\.\w+)\.partial")


def mend(
    data: Path, rows: Iterable[ManifestRow]
) -> tuple[list[ManifestRow], list[ManifestRow], set[str]]:
    """What should hold instead of `rows`, the rows that note it, every file relative to `data`.

    Unfinished files are finished where their row is there, else removed.
    """
    files, partials = _walk(data)
    composed = {from_folder(file): file for file in files}
    by_file: dict[str, ManifestRow] = {}
    kept: dict[ManifestRow, None] = {}
    notes: list[ManifestRow] = []
    for row in rows:
        there = composed.get(from_folder(row.file), row.file)
        if row.file not in files and row.file != there:  # a Mac changed the form of its name
            row.file = there
            notes.append(row)
        kept[row] = None
        if row.file:
            by_file[row.file] = row
    for file, partial in partials.items():
        expected = by_file.get(file)
        if expected and file not in files and paths.sha256(partial) == expected.sha256:
            partial.replace(data / file)
            files.add(file)
        else:
            partial.unlink()
    lost: defaultdict[str, list[ManifestRow]] = defaultdict(list)
    for file, row in by_file.items():
        if file not in files:
            lost[row.sha256].append(row)
    for file in sorted(files - by_file.keys()):
        sha256, label = paths.sha256(data / file), label_of(file)
        if lost[sha256]:  # it was moved
            moved = lost[sha256].pop()
            notes.append(replace(moved, note=GONE))
            moved.file, moved.label = file, label
            notes.append(moved)
        else:
            put_in = _put_in(data, file, label, sha256)
            kept[put_in] = None
            notes.append(put_in)
    labels = set(map(label_of, files))
    for row in (row for rows_lost in lost.values() for row in rows_lost):
        if row.label in labels:
            notes.append(replace(row, note=TAKEN_OUT))
            row.file, row.note = "", TAKEN_OUT
        else:  # the whole folder was removed: the label is to be crawled anew
            notes.append(replace(row, note=GONE))
            del kept[row]
    return list(kept), notes, files


def label_of(file: str) -> str:
    """The label in whose folder a file lies, by its path relative to data/."""
    return from_folder(file.split("/")[0])


def _walk(data: Path) -> tuple[set[str], dict[str, Path]]:
    """Files of the labels, and unfinished pictures by the file they were to become."""
    files: set[str] = set()
    partials: dict[str, Path] = {}
    for folder, folders, names in os.walk(data):
        folders[:] = [name for name in folders if not is_litter(name)]
        inside = Path(folder).relative_to(data)
        if inside == Path():
            folders[:] = [name for name in folders if name not in TABLES]
            continue
        for name in names:
            if match := _PARTIAL.fullmatch(name):
                partials[(inside / match[1]).as_posix()] = Path(folder, name)
            elif not is_litter(name) and Path(folder, name).is_file():
                files.add((inside / name).as_posix())
    return files, partials


def _put_in(data: Path, file: str, label: str, sha256: str) -> ManifestRow:
    """The row of a file that no crawl brought."""
    path = data / file
    row = ManifestRow(file, label, sha256=sha256, bytes=str(path.stat().st_size), note=PUT_IN)
    try:
        picture = download.identify(path)
    except DownloadError:
        return row
    row.width, row.height = str(picture.width), str(picture.height)
    row.content_type = picture.content_type
    return row
