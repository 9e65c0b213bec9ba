"""Pictures that a person lists: a table of addresses, or a folder of this machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from whoswho import tables
from whoswho.crawl.site import CrawlSource, Hit, Search, SiteError
from whoswho.errors import UserError
from whoswho.labels import (
    TABLES,
    check_distinct,
    check_locale,
    folder_problem,
    from_folder,
    is_litter,
)


@dataclass
class ListedPictures:
    """Pictures by label, in their order; it implements `site.Site`.

    A search's text is the last part of the table's or the folder's name alone: where it lies on
    this machine is nobody's.
    """

    name: str
    pictures: Mapping[Search, Sequence[Hit]]

    def hits(self, search: Search, limit: int) -> Iterator[Hit]:
        """The pictures of a label.

        Raises:
            SiteError: there is none.
        """
        if not self.pictures[search]:
            raise SiteError(f"no file for {search.label} in {search.text}; put pictures there")
        yield from self.pictures[search][: limit or None]

    def close(self) -> None:
        """Nothing is held."""

    def source(self, limit: int, *, link: bool = False) -> CrawlSource:
        """All of them, at most `limit` a label (0: all)."""
        contents = {search: _digest(hits) for search, hits in self.pictures.items()}
        searches = list(self.pictures)
        return CrawlSource(
            self.name, lambda *_: self, searches, limit, link=link, contents=contents
        )


def from_table(table: Path) -> ListedPictures:
    """The addresses of a table with the columns url and label, and page where it is known.

    Raises:
        UserError: it is not there, lacks a column, or a label cannot be a folder.
    """
    if not table.is_file():
        raise UserError(f"{table}: not there; give a CSV table with the columns url,label")
    try:
        rows = tables.read(table, ("url", "label"))
    except UnicodeError:
        raise UserError(f"{table}: not UTF-8; save the file as UTF-8") from None
    pictures: dict[Search, dict[str, Hit]] = {}
    for number, row in enumerate(rows, 2):
        url, label = row["url"].strip(), from_folder(row["label"].strip())
        where = f"{table}, row {number}"
        if not url:
            raise UserError(f"{where}: has no url; write one or remove the row")
        if "\ufffd" in label or any("\udc80" <= letter <= "\udcff" for letter in label):
            raise UserError(f"{where}: not UTF-8, maybe CP949; save the file as UTF-8")
        _check(label, where, "write another one")
        hits = pictures.setdefault(Search(table.name, label), {})
        hits.setdefault(url, Hit(len(hits) + 1, url, page=row.get("page", "").strip()))
    if not pictures:
        raise UserError(f"{table}: has no rows; write url,label into each")
    check_distinct(search.label for search in pictures)
    return ListedPictures("url", {search: list(pictures[search].values()) for search in pictures})


def from_tree(folder: Path, label: str | None = None) -> ListedPictures:
    """The files below FOLDER/<label>/, or all below FOLDER for one label, by name, in any depth.

    Hidden ones and links out of the folder are left out.

    Raises:
        UserError: it is not there, or has nothing that could be a label's pictures.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give one with <label>/pictures in it")
    if label is not None:
        _check(from_folder(label), str(folder), "write another one")
        folders = {from_folder(label): folder}
    else:
        inner = [entry for entry in sorted(folder.iterdir()) if entry.is_dir()]
        # Of another set of ours, too.
        inner = [entry for entry in inner if not (is_litter(entry.name) or entry.name in TABLES)]
        check_locale(entry.name for entry in inner)
        check_distinct(entry.name for entry in inner)
        folders = {from_folder(entry.name): entry for entry in inner}
        for name in folders:
            _check(name, str(folder), "rename the folder")
    if not folders:
        raise UserError(
            f"{folder}: has no folder for a label; move the pictures into "
            f"{folder.name}/<label>/, or name the label with --label"
        )
    pictures = {
        Search(top.resolve().name, name): [
            Hit(rank, "", file=file) for rank, file in enumerate(_files(top), 1)
        ]
        for name, top in folders.items()
    }
    return ListedPictures("folder", pictures)


def _check(label: str, where: str, cure: str) -> None:
    if problem := folder_problem(label):
        raise UserError(f"{where}: the label {label[:60]!r} {problem}; {cure}")


def _digest(hits: Sequence[Hit]) -> str:
    """A hash of addresses, and of files by name, size and time, so that none is read."""
    digest = hashlib.sha256()
    for hit in hits:
        parts = [hit.image]
        if hit.file is not None:
            state = hit.file.stat()
            parts = [str(hit.file.resolve()), str(state.st_size), str(state.st_mtime_ns)]
        digest.update("\0".join([*parts, ""]).encode(errors="surrogateescape"))
    return digest.hexdigest()


def _files(top: Path) -> Iterator[Path]:
    root = top.resolve()
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if not is_litter(name))
        for name in sorted(names):
            file = Path(folder, name)
            if not is_litter(name) and file.is_file() and file.resolve().is_relative_to(root):
                yield file
