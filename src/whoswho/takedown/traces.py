"""What the workspace holds of pictures that are to be forgotten.

A picture is its bytes: every file with them counts, under whatever label and name. What the stages
computed from it counts as well, as whole outputs.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from whoswho import paths, tables
from whoswho.artifacts import decisions as clean
from whoswho.artifacts.decisions import Decision
from whoswho.artifacts.split import SplitRow, find_split
from whoswho.dataset import forgotten, listing, manifest, review
from whoswho.errors import UserError
from whoswho.labels import from_folder, is_litter
from whoswho.tables import Row
from whoswho.takedown import versioned

DECISIONS = paths.CLEAN / clean.DECISIONS


@dataclass(frozen=True)
class Asked:
    """What a person wants forgotten: addresses (of a picture or of its page), sha256, labels."""

    addresses: frozenset[str] = frozenset()
    pictures: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()

    @cached_property
    def hashes(self) -> frozenset[str]:
        """Of the addresses: spellings of one are equal by it."""
        return frozenset(map(forgotten.address_hash, self.addresses))


@dataclass(frozen=True)
class Copy:
    """A picture that cleaning found to look like one that goes, though its bytes differ."""

    file: str
    sha256: str


@dataclass
class Traces:
    """What the workspace holds of the pictures.

    Attributes:
        pictures: sha256 of their bytes, also where no file has them any more.
        files: sha256 of each file that goes, by its path relative to data/; empty for a link whose
            target is not ours.
        folders: of the labels asked for, relative to data/.
        rows: of the manifest. `reviews`: of review.csv.
        outputs: of stages, the last stage's first.
        caches: files of our own outside the outputs.
        in_split: whether a model has learned from them or was judged by them.
        copies: look-alikes that stay.
        unreadable: files that cannot be opened, and stay: nobody can tell whether they go.
        unknown: of the labels asked for, those nobody here has heard of, each with its nearest.
    """

    asked: Asked
    pictures: set[str] = field(default_factory=set)
    files: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    reviews: list[Row] = field(default_factory=list)
    outputs: list[versioned.Output] = field(default_factory=list)
    caches: list[Path] = field(default_factory=list)
    in_split: bool = False
    copies: list[Copy] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        """Whether there is anything to remove."""
        return bool(
            self.files or self.folders or self.rows or self.reviews or self.outputs or self.caches
        )


def asked(urls: Iterable[str], pictures: Iterable[str], labels: Iterable[str]) -> Asked:
    """What the command line asks for.

    Raises:
        UserError: it asks for nothing, or for what cannot be a sha256.
    """
    named = Asked(
        frozenset(urls),
        frozenset(text.strip().lower() for text in pictures),
        frozenset(map(from_folder, labels)),
    )
    for sha256 in named.pictures:
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise UserError(
                f"--sha256 {sha256}: not 64 hexadecimal digits; `sha256sum FILE` prints them, "
                "data/manifest.csv and artifacts/clean/decisions.csv list them"
            )
    for url in named.addresses:
        if not url.startswith(("http://", "https://")):
            raise UserError(
                f"--url {url[:60]}: not an address in the net; name the picture by --sha256"
            )
    if any(not label.strip() for label in named.labels):
        raise UserError("--label: is empty; name a folder of data/")
    if not (named.addresses or named.pictures or named.labels):
        raise UserError("forget: say what, with --url, --sha256 or --label (each may be repeated)")
    return named


def find(workspace: Path, asked: Asked, *, with_copies: bool = False) -> Traces:
    """Everything in `workspace` that holds what is asked for, or was computed from it.

    `with_copies` asks for the look-alikes as well.

    Raises:
        UserError: a table cannot be read. Nothing was touched.
    """
    traces = _find(workspace, asked)
    if with_copies and traces.copies:
        more = {copy.sha256 for copy in traces.copies}
        traces = _find(workspace, replace(asked, pictures=asked.pictures | more))
    return traces


def check_known(traces: Traces, *, elsewhere: bool) -> None:
    """Raise UserError for a label nobody knows: barring a misspelt name would bar nobody.

    `elsewhere` says that a run or a version knows it.
    """
    if elsewhere:
        return
    for label, nearest in traces.unknown.items():
        hint = f"did you mean {nearest!r}?" if nearest else "`ls data` lists them"
        raise UserError(f"--label {label}: no such label in data/ or in any table; {hint}")


def row_goes(row: Row, asked: Asked, files: Set[str], pictures: Set[str]) -> bool:
    """Whether a row of the manifest speaks of a picture that goes, or of what was asked for."""
    if (
        row["sha256"] in pictures
        or row["file"] in files
        or from_folder(row["label"]) in asked.labels
    ):
        return True
    urls = ([row["image_url"]] if is_address(row) else []) + [row["page_url"]]
    return bool(asked.hashes) and any(forgotten.address_hash(url) in asked.hashes for url in urls)


def review_goes(row: Row, traces: Traces) -> bool:
    """Whether a row of review.csv speaks of a picture that goes, or names a label asked for."""
    labels = {from_folder(row["label"]), from_folder(row["other_label"])}
    return row["sha256"].strip().lower() in traces.pictures or bool(labels & traces.asked.labels)


def is_address(row: Row) -> bool:
    """Whether a row has its picture's address; of a data: one it keeps the type alone."""
    return bool(row["image_url"]) and not row["image_url"].startswith("data:")


def _find(workspace: Path, asked: Asked) -> Traces:
    data = workspace / paths.DATA
    if not data.is_dir():
        raise UserError(
            f"{data}: not there; bring it with `dvc pull data.dvc` first: it also keeps what is "
            "barred from later crawls"
        )
    tables_of = _Tables.read(workspace)
    hashes, unreadable = _hashes(data)
    folders = _label_folders(data, asked.labels)
    traces = Traces(asked, set(asked.pictures), folders=folders)
    files = {file for file in hashes if _below(file, folders)}
    traces.pictures |= tables_of.pictures_of(asked.labels, set(hashes.values()))
    rows: list[Row] = []
    while True:  # a row leads to a file, its bytes to further files and rows
        before = len(files), len(rows), len(traces.pictures)
        files |= {file for file, sha256 in hashes.items() if sha256 in traces.pictures}
        rows = [row for row in tables_of.manifest if row_goes(row, asked, files, traces.pictures)]
        files |= {row["file"] for row in rows} & set(hashes)
        seen = {hashes[file] for file in files if not any(map(is_litter, Path(file).parts))}
        traces.pictures |= seen | {row["sha256"] for row in rows}
        traces.pictures.discard("")
        if before == (len(files), len(rows), len(traces.pictures)):
            break
    traces.files, traces.rows = {file: hashes[file] for file in sorted(files)}, rows
    traces.reviews = [row for row in tables_of.review if review_goes(row, traces)]
    _add_outputs(workspace, traces, tables_of)
    traces.unreadable = sorted(unreadable - files)
    traces.copies = _copies(tables_of.decisions, hashes, traces.pictures)
    known = tables_of.labels | _labels(data, hashes)
    known |= {from_folder(Path(folder).name) for folder in folders}
    barred = forgotten.load(data)
    traces.unknown = {
        label: next(iter(difflib.get_close_matches(label, sorted(known), 1)), "")
        for label in sorted(asked.labels - known)
        if not barred.bars_label(label)
    }
    return traces


@dataclass(frozen=True)
class _Tables:
    """The tables that speak of single pictures; empty where there is none, None where unknown."""

    manifest: list[Row]
    review: list[Row]
    decisions: list[Decision] | None
    split: list[SplitRow] | None

    @classmethod
    def read(cls, workspace: Path) -> _Tables:
        def rows(path: Path, columns: Iterable[str]) -> list[Row] | None:
            return tables.read(path, columns) if path.is_file() else None

        cleaned = (workspace / DECISIONS).is_file()
        return cls(
            manifest.read(workspace / paths.DATA)[1],
            rows(workspace / paths.REVIEW, review.COLUMNS) or [],
            clean.read_decisions(workspace / paths.CLEAN) if cleaned else None,
            find_split(workspace / paths.DATASET),
        )

    @property
    def labels(self) -> set[str]:
        """Every label that a table names."""
        rows = (*self.manifest, *self.review)
        counted = [row.label for row in (*(self.decisions or ()), *(self.split or ()))]
        return {from_folder(label) for label in (*(row["label"] for row in rows), *counted)}

    def pictures_of(self, labels: frozenset[str], present: set[str]) -> set[str]:
        """Pictures that count under a label though they lie elsewhere, or nowhere any more."""
        moved = {row["sha256"] for row in self.review if from_folder(row["other_label"]) in labels}
        lost = {
            row.sha256
            for row in (*(self.decisions or ()), *(self.split or ()))
            if row.label in labels and row.sha256 not in present
        }
        return moved | lost


def _hashes(data: Path) -> tuple[dict[str, str], set[str]]:
    """sha256 of every file below data/, hidden ones too, by its path relative to data/.

    The second part names those that cannot be opened; their hash stays empty.

    A link is read where it leads to a place in data/ or to an object of DVC; elsewhere somebody
    else's file begins, and its hash stays empty. So does that of an empty file: it is no picture.
    """
    root = data.resolve()
    files = [
        Path(folder, name)
        for folder, folders, names in os.walk(data)
        for name in (*names, *(name for name in folders if Path(folder, name).is_symlink()))
        if Path(folder, name).parent != data or name not in (forgotten.NAME, manifest.NAME)
    ]

    unreadable: set[str] = set()

    def hashed(file: Path) -> str:
        try:
            target = file.resolve()
            ours = target.is_relative_to(root) or versioned.is_object(target)
            whole = ours and target.is_file() and target.stat().st_size > 0
            return paths.sha256(target) if whole else ""
        except (FileNotFoundError, RuntimeError):  # gone meanwhile; a link in a circle
            return ""
        except OSError:
            unreadable.add(file.relative_to(data).as_posix())
            return ""

    with ThreadPoolExecutor() as pool:
        found = list(pool.map(hashed, files))
    named = {
        file.relative_to(data).as_posix(): sha256
        for file, sha256 in sorted(zip(files, found, strict=True))
    }
    return named, unreadable


def _label_folders(data: Path, labels: frozenset[str]) -> list[str]:
    """The folders of labels, in data/ or in each split of a set that is split already."""
    places = [data / split for split in paths.SPLITS] if listing.is_split(data) else [data]
    return sorted(
        folder.relative_to(data).as_posix()
        for place in places
        if place.is_dir()
        for folder in place.iterdir()
        if folder.is_dir() and from_folder(folder.name) in labels
    )


def _labels(data: Path, files: Iterable[str]) -> set[str]:
    """Labels that have one of these files."""
    depth = 1 if listing.is_split(data) else 0
    split = (Path(file).parts for file in files)
    return {from_folder(parts[depth]) for parts in split if len(parts) > depth + 1}


def _below(file: str, folders: Iterable[str]) -> bool:
    return any(file.startswith(f"{folder}/") for folder in folders)


def _add_outputs(workspace: Path, traces: Traces, read: _Tables) -> None:
    """What the stages computed from the pictures, as far as their tables tell.

    Where a table is missing nobody can tell, so the outputs go with the first picture that goes.
    """
    cells = traces.pictures | traces.asked.labels

    def reached(rows: Iterable[Iterable[str]] | None) -> bool:
        if rows is None:
            return bool(traces.files or traces.rows)
        return any(not cells.isdisjoint(row) for row in rows)

    decided = read.decisions and [
        (row.sha256, row.group, row.label, row.other_label) for row in read.decisions
    ]
    traces.in_split = reached(read.split and [vars(row).values() for row in read.split])
    if not traces.in_split and not reached(decided):
        return
    repo = versioned.opened(workspace)
    found = versioned.derived(repo, spare=None if traces.in_split else paths.DATASET)
    traces.outputs = [output for output in found if os.path.lexists(output.path)]
    if traces.in_split and (workspace / paths.CHECKPOINTS).is_dir():
        traces.caches += sorted((workspace / paths.CHECKPOINTS).iterdir())


def _copies(
    decisions: list[Decision] | None, hashes: Mapping[str, str], pictures: Set[str]
) -> list[Copy]:
    """Pictures of data/ that cleaning grouped with one that goes, though their bytes differ."""
    rows = decisions or ()
    groups = {row.group for row in rows if row.sha256 in pictures} - {""}
    return [
        Copy(row.file, row.sha256)
        for row in rows
        if row.group in groups
        and row.sha256 not in pictures
        and hashes.get(row.file) == row.sha256
    ]
