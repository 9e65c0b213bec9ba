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
from whoswho.wording import plural

_NAMED = 5  # links whose names are said


@dataclass
class ListedPictures:
    """Pictures by label, in their order; it implements `site.Site`.

    A search's text is the last part of the table's or the folder's name alone: where it lies on
    this machine is nobody's.
    """

    name: str
    pictures: Mapping[Search, Sequence[Hit]]
    left_out: Sequence[str] = ()  # links, by their place below the folder

    @property
    def note(self) -> str:
        """What is said of what was left out; empty where nothing was."""
        if not self.left_out:
            return ""
        names = ", ".join(self.left_out[:_NAMED])
        more = ", …" if len(self.left_out) > _NAMED else ""
        return (
            f"{plural(len(self.left_out), 'link')} left out: to a folder, to no file or out of "
            f"the one given ({names}{more}); give what is meant as a --folder of its own"
        )

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

    Hidden ones are left out. A link to a file inside FOLDER is that file; every other one is left
    out and named, for nobody would know what it brings.

    Raises:
        UserError: it is not there, or has nothing that could be a label's pictures.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give one with <label>/pictures in it")
    left_out: list[str] = []
    if label is not None:
        _check(from_folder(label), str(folder), "write another one")
        folders = {from_folder(label): folder}
    else:
        # Of another set of ours, too.
        entries = [
            entry
            for entry in sorted(folder.iterdir())
            if not (is_litter(entry.name) or entry.name in TABLES)
        ]
        left_out = [entry.name for entry in entries if entry.is_symlink() and not entry.is_file()]
        inner = [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
        check_locale(entry.name for entry in inner)
        check_distinct(entry.name for entry in inner)
        folders = {from_folder(entry.name): entry for entry in inner}
        for name in folders:
            _check(name, str(folder), "rename the folder")
    if not folders:
        raise UserError(
            f"{folder}: has no folder for a label; move the pictures into "
            f"{folder.name}/<label>/, or name the label with --label"
            + (f" (links are not followed: {', '.join(left_out[:_NAMED])})" if left_out else "")
        )
    pictures = {
        Search(top.resolve().name, name): [
            Hit(rank, "", file=file) for rank, file in enumerate(_files(top, folder, left_out), 1)
        ]
        for name, top in folders.items()
    }
    return ListedPictures("folder", pictures, left_out)


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


def _files(top: Path, source: Path, left_out: list[str]) -> Iterator[Path]:
    """The files below `top`, a link as the file of `source` that it leads to; the names of other
    links are added to `left_out`.
    """
    root = source.resolve()
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if not is_litter(name))
        linked = [name for name in folders if Path(folder, name).is_symlink()]
        for name in sorted([*names, *linked]):
            file = Path(folder, name)
            if is_litter(name):
                continue
            target = _inside(file, root) if file.is_symlink() else file
            if target is None:
                left_out.append(file.relative_to(source).as_posix())
            elif target.is_file():
                yield target


def _inside(link: Path, root: Path) -> Path | None:
    """The file in the folder `root` that a link leads to; None where it leads to none."""
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):  # to nothing, or in a circle
        return None
    return target if target.is_file() and target.is_relative_to(root) else None
