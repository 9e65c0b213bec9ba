"""Pictures that lie on this machine: a folder of folders, each named like its label."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from whoswho.crawl.site import Hit, Search, SiteError
from whoswho.errors import UserError
from whoswho.labels import check_distinct, folder_problem, from_folder, is_litter

NAME = "folder"


class Folder:
    """The files below FOLDER/<label>/, or all below FOLDER for one label, by name.

    A search's text is the name of its folder alone: where it lies on this machine is nobody's.
    """

    name = NAME

    def __init__(self, folder: Path, label: str | None = None) -> None:
        """List `folder`; with `label` everything in it belongs to that label.

        Raises:
            UserError: it is not there, or has nothing that could be a label's pictures.
        """
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; give one with <label>/pictures in it")
        if label is not None:
            self._folders = {from_folder(label): folder}
        else:
            inner = sorted(entry for entry in folder.iterdir() if entry.is_dir())
            inner = [entry for entry in inner if not is_litter(entry.name)]
            check_distinct(entry.name for entry in inner)
            self._folders = {from_folder(entry.name): entry for entry in inner}
        for name in self._folders:
            if problem := folder_problem(name):
                cure = "write another one" if label is not None else "rename the folder"
                raise UserError(f"{folder}: the label {name[:60]!r} {problem}; {cure}")
        if not self._folders:
            raise UserError(
                f"{folder}: has no folder for a label; move the pictures into "
                f"{folder.name}/<label>/, or name the label with --label"
            )

    def searches(self) -> list[Search]:
        """One search a label."""
        return [Search(folder.resolve().name, label) for label, folder in self._folders.items()]

    def hits(self, search: Search, limit: int) -> Iterator[Hit]:
        """The files of a label, in any depth, without hidden ones and links out of the folder."""
        files = _files(self._folders[search.label])
        rank = 0
        for rank, file in enumerate(islice(files, limit or None), 1):
            yield Hit(rank, "", file=file)
        if not rank:
            raise SiteError(f"no file in {self._folders[search.label]}; put pictures there")

    def close(self) -> None:
        """Nothing is held."""


def _files(top: Path) -> Iterator[Path]:
    root = top.resolve()
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if not is_litter(name))
        for name in sorted(names):
            file = Path(folder, name)
            if not is_litter(name) and file.is_file() and file.resolve().is_relative_to(root):
                yield file
