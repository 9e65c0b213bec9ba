"""The pictures of data/ and the manifest's rows, kept one to one whatever happens.

A picture is written beside its place, then its row, then it is moved into its place. A crawl
that was killed between any two of these is mended by the next one (`Collection.open`), which also
takes note of what a person did in between: took a picture out, moved it, put one in.
"""

from __future__ import annotations

import os
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from whoswho import paths
from whoswho.crawl import download
from whoswho.crawl.download import THUMBNAIL, Picture
from whoswho.crawl.site import Hit, Search
from whoswho.crawl.transport import DownloadError
from whoswho.data_urls import is_data_url
from whoswho.dataset import listing, manifest
from whoswho.errors import UserError
from whoswho.labels import check_distinct, folder_problem, from_folder, is_litter
from whoswho.pictures import opening
from whoswho.tables import Row

TAKEN_OUT = "taken out by hand"
PUT_IN = "put in by hand"
LOCK = Path(".whoswho/crawl/lock")
LETTERS = 10_000  # of a cell; a reader of CSV takes up to 131,072

_PARTIAL = re.compile(r"\.(.+_\d{4,}\.\w+)\.partial")
_NUMBERED = re.compile(r"(.+)_(\d+)\.\w+")
# Halves of letters, as a page may hold them; the others stand for bytes of a file's name.
_UNWRITABLE = re.compile("[\ud800-\udc7f\udd00-\udfff]")


class Collection:
    """A set that grows. One process has it open; many threads use it."""

    def __init__(self, data: Path) -> None:
        """Open the set in `data`, mending what a killed crawl left and noting a person's changes.

        Raises:
            UserError: the manifest cannot be understood, or the set is split already.
        """
        self.data = data
        self.notes: list[str] = []
        self._lock = threading.RLock()
        self._columns, self._rows = manifest.read(data)
        self._addresses: dict[tuple[str, str], Row] = {}
        self._pictures: dict[tuple[str, str], Row] = {}
        self._numbers: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._gone: set[int] = set()  # rows that are not written any more, by id
        if listing.is_split(data):
            raise UserError(
                f"{data}: is split into train and validation already; crawl into another folder "
                "with --out, and move the pictures from there"
            )
        data.mkdir(parents=True, exist_ok=True)
        self._mend()
        for row in self._rows:
            self._index(row)
        if not manifest.may_be_appended(data, self._columns):
            manifest.write(data, self._columns, self._rows)

    # --- Asking ----------------------------------------------------------------------------------

    @property
    def counts(self) -> dict[str, int]:
        """Pictures a label."""
        found: defaultdict[str, int] = defaultdict(int)
        for row in self._living():
            if row["file"]:
                found[row["label"]] += 1
        return dict(found)

    def files(self, label: str, site: str) -> list[Row]:
        """Rows of the pictures that a label has of a site."""
        with self._lock:
            return [
                row
                for row in self._living()
                if row["file"] and row["label"] == label and row["site"] == site
            ]

    def has(self, label: str, site: str) -> bool:
        """Whether a label has any row of a site, be it a failure."""
        with self._lock:
            return any(row["label"] == label and row["site"] == site for row in self._living())

    def by_address(self, label: str, url: str) -> Row | None:
        """The row of a picture that was had from an address; for data: ones, of its bytes."""
        with self._lock:
            if not url:
                return None
            if not is_data_url(url):
                row = self._addresses.get((label, url))
                return row and self._pictures[label, row["sha256"]]
            try:
                picture = download.data_picture(url)
            except DownloadError:
                return None
            return self._pictures.get((label, picture.sha256))

    def by_picture(self, label: str, sha256: str) -> Row | None:
        """The row of a picture with these bytes."""
        with self._lock:
            return self._pictures.get((label, sha256))

    # --- Adding ----------------------------------------------------------------------------------

    def save(
        self, search: Search, site: str, hit: Hit, picture: Picture, *, link: bool = False
    ) -> Row:
        """Keep a picture under the next free number; `link` ties it to `hit.file`, uncopied."""
        with self._lock:
            folder = self.data / search.label
            folder.mkdir(exist_ok=True)
            key = (search.label, site)
            self._numbers[key] += 1
            name = f"{site}_{self._numbers[key]:04d}.{picture.ending}"
            partial = folder / f".{name}.partial"
            row = self._row(search, site, hit) | {
                "file": f"{search.label}/{name}",
                "fetched_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "sha256": picture.sha256,
                "bytes": str(len(picture.data)),
                "width": str(picture.width),
                "height": str(picture.height),
                "content_type": picture.content_type,
                "note": _cell(picture.note),
            }
            try:
                if link and hit.file is not None:
                    _link(hit.file, partial)
                else:
                    _write(partial, picture.data)
                manifest.append(self.data, self._columns, row)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
            partial.replace(folder / name)
            self._rows.append(row)
            self._index(row)
            return row

    def note(self, search: Search, site: str, hit: Hit, reason: str, sha256: str = "") -> None:
        """Write down an address that gave no picture, or (with `sha256`) one that is there."""
        with self._lock:
            row = self._row(search, site, hit) | {
                "fetched_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "sha256": sha256,
                "note": _cell(reason),
            }
            manifest.append(self.data, self._columns, row)
            self._rows.append(row)
            self._index(row)

    def annotate(self, row: Row, note: str) -> None:
        """Change the note of a row; it is on the disk once the set is closed."""
        with self._lock:
            row["note"] = _cell(note)

    def drop(self, row: Row) -> None:
        """Remove a picture of ours that a better one of the same hit stands in for."""
        with self._lock:
            (self.data / row["file"]).unlink(missing_ok=True)
            self._gone.add(id(row))
            row["file"] = ""  # its bytes are still known, but count as no picture

    def close(self) -> None:
        """Write the manifest in order, each address that failed once, with its last reason."""
        with self._lock:
            had = {_failure(row) for row in self._rows if row["sha256"]}
            last = {_failure(row): id(row) for row in self._rows if not row["sha256"]}
            rows = [
                row
                for row in self._living()
                if row["sha256"] or (_failure(row) not in had and last[_failure(row)] == id(row))
            ]
            manifest.write(self.data, self._columns, rows)

    def _living(self) -> Iterator[Row]:
        return (row for row in self._rows if id(row) not in self._gone)

    def _index(self, row: Row) -> None:
        if not row["sha256"]:
            return
        for key, index in (
            ((row["label"], row["image_url"]), self._addresses),
            ((row["label"], row["sha256"]), self._pictures),
        ):
            if all(key) and (row["file"] or key not in index):
                index[key] = row

    def _row(self, search: Search, site: str, hit: Hit) -> Row:
        address = hit.image or hit.thumbnail
        if is_data_url(address):  # its bytes are the picture's: the type is enough
            address = re.split("[;,]", address, maxsplit=1)[0]
        row = dict.fromkeys(self._columns, "")
        return row | {
            "label": search.label,
            "site": site,
            "search": search.text,
            "rank": str(hit.rank),
            "page_url": _cell(hit.page),
            "image_url": _cell(address),
            "author": _cell(hit.author),
            "licence": _cell(hit.licence),
        }

    # --- Mending ---------------------------------------------------------------------------------

    def _mend(self) -> None:
        """Bring files and rows one to one."""
        files, partials = _walk(self.data)
        changed = False
        by_file: dict[str, Row] = {}
        for row in self._rows:
            if row["file"] in by_file:  # of one that was written twice, the last row is right
                self._gone.add(id(by_file[row["file"]]))
            if row["file"]:
                by_file[row["file"]] = row
        for file, partial in partials.items():
            wanted = by_file.get(file)
            if wanted and file not in files and paths.sha256(partial) == wanted["sha256"]:
                partial.replace(self.data / file)
                files.add(file)
            else:
                partial.unlink()
        lost: defaultdict[str, list[Row]] = defaultdict(list)
        for file, row in by_file.items():
            if file not in files:
                lost[row["sha256"]].append(row)
        for file in sorted(files - set(by_file)):
            changed = True
            sha256 = paths.sha256(self.data / file)
            label = from_folder(file.split("/")[0])
            if lost[sha256]:  # it was moved
                lost[sha256].pop().update(file=file, label=label)
            else:
                self._rows.append(self._found(file, label, sha256))
        labels = {from_folder(file.split("/")[0]) for file in files}
        for row in (row for rows in lost.values() for row in rows):
            changed = True
            if row["label"] in labels:
                row["file"], row["note"] = "", TAKEN_OUT
            else:  # the whole folder was removed: the label is to be crawled anew
                self._gone.add(id(row))
        changed = changed or bool(self._gone)
        self._rows = list(self._living())
        self._gone = set()
        for file in files:
            label, _, name = file.partition("/")
            if match := _NUMBERED.fullmatch(name):
                key = (from_folder(label), match[1])
                self._numbers[key] = max(self._numbers[key], int(match[2]))
        if changed:
            manifest.write(self.data, self._columns, self._rows)

    def _found(self, file: str, label: str, sha256: str) -> Row:
        """The row of a file that no crawl brought."""
        path = self.data / file
        row = dict.fromkeys(self._columns, "") | {
            "file": file, "label": label, "sha256": sha256, "bytes": str(path.stat().st_size),
            "note": PUT_IN,
        }  # fmt: skip
        try:
            picture = download.picture(opening.read_bytes(path))
        except (DownloadError, opening.ImageOpenError):
            return row
        return row | {
            "width": str(picture.width), "height": str(picture.height),
            "content_type": picture.content_type,
        }  # fmt: skip


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Be the one process that changes the set of the repository at `root`.

    Raises:
        UserError: another one does.
    """
    lock = root / LOCK
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            yield
    except Timeout:
        raise UserError(
            f"{lock}: a crawl or a takedown is running here; wait for its end"
        ) from None


def check_labels(data: Path, labels: set[str]) -> None:
    """See that each label can be a folder of `data`, and is there no link, no file, no twin.

    Raises:
        UserError: one cannot, or differs from a folder only in case or Unicode form.
    """
    for label in sorted(labels):
        if problem := folder_problem(label):
            raise UserError(f"the label {label[:60]!r} {problem}; write another one")
        folder = data / label
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise UserError(f"{folder}: is a link or a file; put a folder in its place")
    entries = list(data.iterdir()) if data.is_dir() else []
    folders = {entry.name for entry in entries if entry.is_dir() and not is_litter(entry.name)}
    check_distinct(sorted(folders | labels))


def is_thumbnail(row: Row) -> bool:
    """Whether a row's picture is a thumbnail because no more was asked for."""
    return row["note"] == THUMBNAIL


def _failure(row: Row) -> tuple[str, ...]:
    """What a failure is known by when it happens again, or is mended."""
    if row["image_url"].startswith("http"):
        return row["label"], row["site"], row["image_url"]
    return row["label"], row["site"], row["search"], row["rank"]  # a file, or a data: address


def _walk(data: Path) -> tuple[set[str], dict[str, Path]]:
    """Files of the labels, and half-written pictures by the file they were to become."""
    files: set[str] = set()
    partials: dict[str, Path] = {}
    for folder, folders, names in os.walk(data):
        folders[:] = [name for name in folders if not is_litter(name)]
        inside = Path(folder).relative_to(data)
        if inside == Path():
            continue
        for name in names:
            if match := _PARTIAL.fullmatch(name):
                partials[(inside / match[1]).as_posix()] = Path(folder, name)
            elif not is_litter(name) and Path(folder, name).is_file():
                files.add((inside / name).as_posix())
    return files, partials


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError as error:
        raise UserError(
            f"{source.name}: cannot be linked into {target.parent} ({error.strerror}); a hard "
            "link needs both on one disk: leave --link away to copy"
        ) from None


def _cell(text: str) -> str:
    """Text in one line, without what no table can hold, and no longer than one can read."""
    return " ".join(_UNWRITABLE.sub("\ufffd", text.replace("\0", "")).split())[:LETTERS]
