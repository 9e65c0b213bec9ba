"""The pictures of data/ and the manifest's rows, kept one to one whatever happens.

A picture is written under a hidden name, then its row, then it gets its own name. A crawl that
was killed between any two of these is mended by the next one (`mending`).
"""

from __future__ import annotations

import os
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from whoswho.crawl import download, mending
from whoswho.crawl.download import THUMBNAIL, FetchedPicture
from whoswho.crawl.site import Hit, Search
from whoswho.crawl.transport import DownloadError
from whoswho.data_urls import is_data_url
from whoswho.dataset import listing, manifest
from whoswho.dataset.manifest import ManifestRow
from whoswho.errors import UserError
from whoswho.labels import (
    check_distinct,
    check_locale,
    folder_of,
    folder_problem,
    from_folder,
    is_litter,
)

LOCK = Path(".whoswho/crawl/lock")
LETTERS = 10_000  # of a cell; a reader of CSV takes up to 131,072

_NUMBERED = re.compile(r"(.+?)_(\d+)(?:_[0-9a-f]{8})?\.\w+")
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
        self._lock = threading.RLock()
        held = manifest.read(data)
        if listing.is_split(data):
            raise UserError(
                f"{data}: is split into train and validation already; crawl into another folder "
                "with --out, and move the pictures from there"
            )
        data.mkdir(parents=True, exist_ok=True)
        rows, notes, files = mending.mend(data, held)
        self._table = manifest.new_file(data)
        self._own = dict.fromkeys(notes)  # rows of that table
        if notes:
            manifest.write(self._table, notes)
        self._rows: dict[ManifestRow, None] = {}
        self._addresses: dict[tuple[str, str], ManifestRow] = {}
        self._pictures: dict[tuple[str, str], ManifestRow] = {}
        for row in rows:
            self._add(row)
        self._numbers: defaultdict[tuple[str, str], int] = defaultdict(int)
        for file in files:
            if match := _NUMBERED.fullmatch(file.partition("/")[2]):
                key = (mending.label_of(file), match[1])
                self._numbers[key] = max(self._numbers[key], int(match[2]))

    # --- Asking ----------------------------------------------------------------------------------

    @property
    def counts(self) -> dict[str, int]:
        """Pictures a label."""
        return Counter(row.label for row in self._rows if row.file)

    def rows(self, label: str, site: str) -> list[ManifestRow]:
        """What a label has of a site, failures too."""
        with self._lock:
            return [row for row in self._rows if (row.label, row.site) == (label, site)]

    def by_address(self, label: str, url: str) -> ManifestRow | None:
        """The row of a picture that was had from an address; for data: ones, of its bytes."""
        if not is_data_url(url):
            with self._lock:
                row = self._addresses.get((label, url))
                return row and self._pictures[label, row.sha256]
        try:
            return self.by_picture(label, download.identify_data_url(url).sha256)
        except DownloadError:
            return None

    def by_picture(self, label: str, sha256: str) -> ManifestRow | None:
        """The row of a picture with these bytes."""
        with self._lock:
            return self._pictures.get((label, sha256))

    # --- Adding ----------------------------------------------------------------------------------

    def save(
        self, search: Search, site: str, hit: Hit, picture: FetchedPicture, *, link: bool = False
    ) -> ManifestRow:
        """Keep a picture under the next free number; `link` ties it to `hit.file`, uncopied.

        The name ends in 8 digits of its hash: another person's crawl may give the same number.
        """
        with self._lock:
            folder = folder_of(self.data, search.label)
            folder.mkdir(exist_ok=True)
            key = (search.label, site)
            self._numbers[key] += 1
            name = f"{site}_{self._numbers[key]:04d}_{picture.sha256[:8]}.{picture.ending}"
            row = _row(search, site, hit, picture.note)
            row.file, row.sha256 = f"{folder.name}/{name}", picture.sha256
            row.bytes, row.content_type = str(len(picture.data)), picture.content_type
            row.width, row.height = str(picture.width), str(picture.height)
            partial = folder / f".{name}.partial"
            try:
                if link and hit.file is not None:
                    _link(hit.file, partial)
                else:
                    _write(partial, picture.data)
                manifest.append(self._table, row)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
            partial.replace(folder / name)
            self._own[row] = None
            self._add(row)
            return row

    def note(self, search: Search, site: str, hit: Hit, reason: str, sha256: str = "") -> None:
        """Write down an address that gave no picture, or (with `sha256`) one that is there."""
        with self._lock:
            row = _row(search, site, hit, reason)
            row.sha256 = sha256
            manifest.append(self._table, row)
            self._own[row] = None
            self._add(row)

    def annotate(self, row: ManifestRow, note: str) -> None:
        """Change the note of a row; it is on the disk once the set is closed."""
        with self._lock:
            row.note = _cell(note)
            if row in self._rows:
                self._own[row] = None

    def drop(self, row: ManifestRow) -> None:
        """Remove a picture of ours that a better one of the same hit stands in for."""
        with self._lock:
            (self.data / row.file).unlink(missing_ok=True)
            self._rows.pop(row, None)
            self._own.pop(row, None)
            self._own[replace(row, note=manifest.GONE)] = None
            row.file = ""  # its bytes are still known, but count as no picture

    def close(self) -> None:
        """Write this crawl's table in order, each address that failed once, with its last reason.

        Without a row there is no table.
        """
        with self._lock:
            held = set(manifest.without_old_failures(self._rows))
            own = [row for row in self._own if row.file or row.sha256 or row in held]
            if own:
                manifest.write(self._table, own)
            else:
                self._table.unlink(missing_ok=True)

    def _add(self, row: ManifestRow) -> None:
        self._rows[row] = None
        if not row.sha256:
            return
        for key, index in (
            ((row.label, row.image_url), self._addresses),
            ((row.label, row.sha256), self._pictures),
        ):
            if all(key) and (row.file or key not in index):
                index[key] = row


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
        raise UserError(f"{lock}: a crawl or takedown is running here; wait for its end") from None


def check_labels(data: Path, labels: set[str]) -> None:
    """See that each label can be a folder of `data`, and is there no link and no file.

    Raises:
        UserError: one cannot, or differs from a folder only in case.
    """
    check_locale(sorted(labels))
    for label in sorted(labels):
        if problem := folder_problem(label):
            raise UserError(f"the label {label[:60]!r} {problem}; write another one")
        folder = folder_of(data, label)
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise UserError(f"{folder}: is a link or a file; put a folder in its place")
    entries = list(data.iterdir()) if data.is_dir() else []
    folders = {entry.name for entry in entries if entry.is_dir() and not is_litter(entry.name)}
    check_distinct(sorted(folders))
    check_distinct(sorted({from_folder(name) for name in folders | labels}))


def is_thumbnail(row: ManifestRow) -> bool:
    """Whether a row's picture is a thumbnail because no more was asked for."""
    return row.note == THUMBNAIL


def _row(search: Search, site: str, hit: Hit, note: str) -> ManifestRow:
    address = hit.image or hit.thumbnail
    if is_data_url(address):  # its bytes are the picture's: the type is enough
        address = re.split("[;,]", address, maxsplit=1)[0]
    return ManifestRow(
        label=search.label,
        site=site,
        search=search.text,
        rank=str(hit.rank),
        page_url=_cell(hit.page),
        image_url=_cell(address),
        fetched_at=datetime.now(UTC).isoformat(timespec="seconds"),
        author=_cell(hit.author),
        licence=_cell(hit.licence),
        note=_cell(note),
    )


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
