"""What the workspace has: its files by their hash, its labels, and the tables about both."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from whoswho import paths, tables
from whoswho.artifacts.decisions import DECISIONS, Decision, read_decisions
from whoswho.artifacts.split import SplitRow, find_split
from whoswho.dataset import listing, manifest, review
from whoswho.dataset.manifest import ManifestRow
from whoswho.errors import UserError
from whoswho.labels import TABLES, from_folder
from whoswho.tables import Row


@dataclass(frozen=True)
class Contents:
    """What a workspace has.

    Attributes:
        hashes: sha256 of every file below data/ by its path relative to data/; empty for an empty
            file, a link whose target is not ours, and one that cannot be opened.
        unreadable: the files that cannot be opened.
        folders: the labels by their folders, relative to data/.
        rows: of the manifest. `former`: with those that a later one replaces.
        reviews: of review.csv.
        cleaned: rows of cleaning's table. `prepared`: of the split's; None where it is missing.
    """

    workspace: Path
    hashes: dict[str, str]
    unreadable: set[str]
    folders: dict[str, str]
    rows: list[ManifestRow]
    former: list[ManifestRow]
    reviews: list[Row]
    cleaned: list[Decision] | None
    prepared: list[SplitRow] | None

    @property
    def listed(self) -> Iterator[Decision | SplitRow]:
        """Every row of the stages' tables."""
        yield from self.cleaned or ()
        yield from self.prepared or ()

    @property
    def labels(self) -> set[str]:
        """Every label of a folder or a table."""
        labels = {*self.folders.values(), *(row.label for row in self.listed)}
        labels |= {from_folder(row.label) for row in self.former}
        reviewed = (row[column] for row in self.reviews for column in ("label", "other_label"))
        return (labels | set(map(from_folder, reviewed))) - {""}


def read(workspace: Path) -> Contents:
    """What `workspace` has.

    Raises:
        UserError: there is no data/, or a table cannot be read.
    """
    data = workspace / paths.DATA
    if not data.is_dir():
        raise UserError(
            f"{data}: not there; bring it with `dvc pull data.dvc` first: it also keeps what is "
            "barred from later crawls"
        )
    rows, reviews = manifest.read(data), workspace / paths.REVIEW
    clean = workspace / paths.CLEAN
    hashes, unreadable = _hashes(data)
    return Contents(
        workspace,
        hashes,
        unreadable,
        _label_folders(data),
        rows,
        manifest.read_all(data),
        tables.read(reviews, review.COLUMNS) if reviews.is_file() else [],
        read_decisions(clean) if (clean / DECISIONS).is_file() else None,
        find_split(workspace / paths.DATASET),
    )


def _hashes(data: Path) -> tuple[dict[str, str], set[str]]:
    """sha256 of every file below data/, hidden ones too, by its path relative to data/.

    The second part names those that cannot be opened; their hash stays empty.

    A link is read where it leads to a place in data/ or to an object of DVC; elsewhere somebody
    else's file begins, and its hash stays empty. So does that of an empty file: it is no picture.
    """
    root = data.resolve()
    files = sorted(
        Path(folder, name)
        for folder, folders, names in os.walk(data)
        for name in (*names, *(name for name in folders if Path(folder, name).is_symlink()))
        if Path(folder, name).relative_to(data).parts[0] not in TABLES
    )
    unreadable: set[str] = set()

    def hashed(file: Path) -> str:
        try:
            target = file.resolve()
            ours = target.is_relative_to(root) or listing.DVC_OBJECT.search(target.as_posix())
            whole = ours and target.is_file() and target.stat().st_size > 0
            return paths.sha256(target) if whole else ""
        except (FileNotFoundError, RuntimeError):  # gone meanwhile; a link in a circle
            return ""
        except OSError:
            unreadable.add(file.relative_to(data).as_posix())
            return ""

    with ThreadPoolExecutor() as pool:
        hashes = list(pool.map(hashed, files))
    names = (file.relative_to(data).as_posix() for file in files)
    return dict(zip(names, hashes, strict=True)), unreadable


def _label_folders(data: Path) -> dict[str, str]:
    """The labels by their folders in data/, or in each split of a set that is split already."""
    parents = [data / split for split in paths.SPLITS] if listing.is_split(data) else [data]
    return {
        folder.relative_to(data).as_posix(): from_folder(folder.name)
        for parent in parents
        if parent.is_dir()
        for folder in parent.iterdir()
        if folder.is_dir() and folder.name not in TABLES
    }
