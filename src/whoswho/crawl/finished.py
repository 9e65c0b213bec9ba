"""Which searches are done, so that the same command does not ask again.

The marks lie under the root, not in data/: what is versioned there is the pictures. A mark counts
for as long as the set still has rows of its label and site, so that a set thrown away, or one
label of it, is crawled anew.
"""

from __future__ import annotations

import threading
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from whoswho import tables
from whoswho.crawl.site import CrawlSource, Search
from whoswho.errors import UserError

NAME = Path(".whoswho/crawl/finished.csv")


@dataclass(frozen=True)
class Mark:
    """A row: a finished search of a set of pictures, and what it asked for.

    Attributes:
        face: 1: only faces.
        limit: how many pictures, 0: all.
        full: 1: full ones.
        contents: tells one state of a list from another; a site's is empty.
    """

    data: str
    label: str
    site: str
    search: str
    face: str
    limit: str
    full: str
    contents: str

    @property
    def key(self) -> tuple[str, ...]:
        """What a later mark of the same search has in common with it."""
        return self.data, self.label, self.site, self.search, self.face


class Finished:
    """The marks of one set, from many threads."""

    def __init__(self, root: Path, data: Path) -> None:
        """Read the marks of `data` that the repository at `root` keeps."""
        self._path = root / NAME
        self._lock = threading.Lock()
        resolved, root = data.resolve(), root.resolve()
        inside = resolved.is_relative_to(root)
        self._data = str(resolved.relative_to(root) if inside else resolved)
        self._marks = {mark.key: mark for mark in _read(self._path)}

    def mark(self, source: CrawlSource, search: Search, *, face: bool) -> Mark:
        """The mark that a search of a source gets once it is finished."""
        extent = str(int(face)), str(source.limit), str(int(not source.thumbnails))
        contents = source.contents.get(search, "")
        return Mark(self._data, search.label, source.site, search.text, *extent, contents)

    def covers(self, mark: Mark) -> bool:
        """Whether a search was finished that asked for at least as much, of the same list."""
        done = self._marks.get(mark.key)
        if done is None or done.contents != mark.contents:
            return False
        if mark.full == "1" and done.full != "1":
            return False
        return done.limit == "0" or 0 < int(mark.limit) <= int(done.limit)

    def add(self, mark: Mark) -> None:
        """Mark a search as finished."""
        with self._lock:
            self._marks[mark.key] = mark
            tables.write_rows(self._path, Mark, (self._marks[key] for key in sorted(self._marks)))


def forget(root: Path, labels: Set[str]) -> None:
    """Remove the marks of labels; a table without one keeps its bytes."""
    marks = _read(root / NAME)
    kept = [mark for mark in marks if mark.label not in labels]
    if len(kept) < len(marks):
        tables.write_rows(root / NAME, Mark, kept)


def _read(path: Path) -> list[Mark]:
    try:
        marks = tables.read_rows(path, Mark) if path.exists() else []
    except UserError as error:
        raise UserError(f"{error}; it holds marks alone: delete it, then run this again") from None
    if not all(mark.limit.isdecimal() for mark in marks):
        raise UserError(f"{path}: is damaged; delete it, then run this again")
    return marks
