"""Which searches are done, so that the same command does not ask again.

The marks lie under the root, not in data/: what is versioned there is the pictures. A mark counts
for as long as the set still has rows of its label and site, so that a set thrown away, or one
label of it, is crawled anew.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from whoswho import tables
from whoswho.crawl.site import Search
from whoswho.errors import UserError

NAME = Path(".whoswho/crawl/finished.csv")
COLUMNS = ("data", "label", "site", "search", "face", "limit", "full")


@dataclass(frozen=True)
class Extent:
    """What a search asks for: how many pictures (0: all), full ones, only faces."""

    limit: int
    full: bool
    face: bool


class Finished:
    """The marks of one set, from many threads."""

    def __init__(self, root: Path, data: Path) -> None:
        """Read the marks of `data` that the repository at `root` keeps."""
        self._path = root / NAME
        self._lock = threading.Lock()
        resolved, root = data.resolve(), root.resolve()
        inside = resolved.is_relative_to(root)
        self._data = str(resolved.relative_to(root) if inside else resolved)
        self._marks: dict[tuple[str, ...], Extent] = {}
        if self._path.exists():
            for row in tables.read(self._path, COLUMNS):
                key = tuple(row[name] for name in COLUMNS[:5])
                if not row["limit"].isdecimal():
                    raise UserError(f"{self._path}: is damaged; delete it, then run this again")
                self._marks[key] = Extent(
                    int(row["limit"]), row["full"] == "1", row["face"] == "1"
                )

    def covers(self, search: Search, site: str, extent: Extent) -> bool:
        """Whether a search was finished that asked for at least as much."""
        mark = self._marks.get(self._key(search, site, extent.face))
        if mark is None or (extent.full and not mark.full):
            return False
        return mark.limit == 0 or 0 < extent.limit <= mark.limit

    def add(self, search: Search, site: str, extent: Extent) -> None:
        """Mark a search as finished."""
        with self._lock:
            self._marks[self._key(search, site, extent.face)] = extent
            tables.write(
                self._path,
                COLUMNS,
                [
                    dict(zip(COLUMNS, (*key, mark.limit, int(mark.full)), strict=True))
                    for key, mark in sorted(self._marks.items())
                ],
            )

    def _key(self, search: Search, site: str, face: bool) -> tuple[str, ...]:
        return self._data, search.label, site, search.text, str(int(face))
