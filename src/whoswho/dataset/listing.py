"""What lies in data/: every file with its label and split, or the one thing wrong with the set."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from whoswho.errors import UserError
from whoswho.labels import (
    SPLIT_NAMES,
    TABLES,
    UNKNOWN,
    check_distinct,
    check_locale,
    folder_problem,
    from_folder,
    is_litter,
)
from whoswho.paths import SPLITS
from whoswho.wording import plural

# An object of DVC by its path. A link to one may stand in the place of a file; that is the file,
# wherever the cache is. One that ends in .dir is a folder's list.
DVC_OBJECT = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")

FEW_PICTURES = 20  # of a label: some 14 of them train, 3 judge


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file of data/: whose picture it should be, and why it cannot be read.

    Attributes:
        file: posix path below data/.
        label: empty for a loose file.
        split: of a set that is split in folders.
        problem: empty where it can be read.
    """

    file: str
    path: Path
    label: str
    split: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Listing:
    """All of data/.

    Attributes:
        files: sorted by path; loose ones have no label.
        labels: sorted.
        ready_split: whether data/ is split in folders already.
        litter: how many entries of systems and crawlers were passed over.
        notes: what the user should know, one line each.
    """

    files: Sequence[ListedFile]
    labels: Sequence[str]
    ready_split: bool
    litter: int
    notes: Sequence[str] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Files a label."""
        numbers = Counter(file.label for file in self.files)
        return {label: numbers[label] for label in self.labels}


def scan(data: Path) -> Listing:
    """List data/, the ordinary kind (data/<label>/…) and the ready-split one.

    Raises:
        UserError: the set is absent, empty, or has no two labels that can be told apart.
    """
    if not data.exists():
        raise UserError(
            f"{data}: not there; `dvc pull data.dvc` brings it (add `-r sample` for the sample), "
            "or put pictures into data/<label>/"
        )
    if not data.is_dir():
        raise UserError(f"{data}: is a file; put pictures into data/<label>/")
    for name in TABLES:
        tables_of(data, name)
    tree = _Tree.below(data)
    loose = sum(len(parts) == 1 for parts in tree.files)
    if not tree.tops and not loose:
        raise UserError(f"{data}: empty; put pictures into data/<label>/ (one folder a person)")
    if not tree.tops:
        raise UserError(
            f"{data}: holds {plural(loose, 'file')} but no label folder; "
            "put them into data/<label>/ (one folder a person)"
        )
    ready = _is_ready_split(data, tree)
    root = data.resolve()
    files = [_listed(data, root, parts, ready) for parts in tree.files]
    files.sort(key=lambda file: file.file)
    labels = sorted({file.label for file in files if file.label})
    _check_names(data, tree.labels(ready))
    notes = [
        *_loose_notes(data, files),
        *_name_notes(tree.labels(ready)),
        *_empty_notes(tree, ready),
    ]
    _check_several(data, labels, tree, ready)
    if ready:
        notes += _split_notes(data, labels, files)
    return Listing(files, labels, ready, tree.litter, notes)


def tables_of(data: Path, name: str) -> list[Path]:
    """The tables in `data`/`name`/, one of `labels.TABLES`, by their names.

    Raises:
        UserError: something else lies there, or one table in place of the folder.
    """
    folder, single = data / name, data / f"{name}.csv"
    if single.is_file():
        raise UserError(
            f"{single}: is not read, its tables lie in {folder}/ so that two people's can be "
            f"merged; move it: `mkdir -p {folder} && mv {single} {folder}/0000.csv`"
        )
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    entries = [entry for entry in entries if not is_litter(entry.name)]
    for entry in entries:
        if entry.suffix != ".csv" or entry.is_dir():
            raise UserError(
                f"{entry}: no table, and {folder}/ is for tables alone; move it out, or rename "
                "the folder where it is a label's"
            )
    return entries


def is_split(data: Path) -> bool:
    """Whether `data` is split in folders already; not so where it only looks like it."""
    tops = _Tree.below(data, depth=1).tops if data.is_dir() else []
    if not any(name.casefold() in SPLIT_NAMES for name in tops):
        return False  # so that no label's folder need be readable
    try:
        return _is_ready_split(data, _Tree.below(data, depth=2))
    except UserError:
        return False


def problem(path: Path, data: Path) -> str:
    """Why a file must not be read: it is no file, or a link out of `data`, a resolved folder."""
    try:
        if path.is_symlink():
            target = path.resolve()
            inside = target.is_relative_to(data) and target.is_file()
            if not inside and not DVC_OBJECT.search(target.as_posix()):
                return "a link that leads out of data/ or to no file; not followed"
        if not stat.S_ISREG(path.stat().st_mode):
            return "neither a file nor a folder"
    except (OSError, RuntimeError) as error:
        return getattr(error, "strerror", None) or "a link that leads in a circle"
    return ""


_Parts = tuple[str, ...]  # of a path relative to data/


@dataclass(frozen=True)
class _Tree:
    """What lies below data/, litter only counted."""

    folders: Sequence[_Parts]
    files: Sequence[_Parts]  # a linked folder counts as a file
    litter: int

    @classmethod
    def below(cls, data: Path, depth: int = sys.maxsize) -> _Tree:
        """Read `depth` levels of folders."""
        folders: list[_Parts] = []
        files: list[_Parts] = []
        litter = 0
        unread: list[_Parts] = [()]
        while unread:
            parents = unread.pop()
            for entry in os.scandir(data.joinpath(*parents)):
                parts = (*parents, entry.name)
                if is_litter(entry.name):
                    litter += 1
                elif not parents and entry.name in TABLES:
                    continue
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(parts)
                    if len(parts) < depth:
                        unread.append(parts)
                else:
                    files.append(parts)
        return cls(sorted(folders), sorted(files), litter)

    @property
    def tops(self) -> list[str]:
        """The folders that lie directly in data/."""
        return [parts[0] for parts in self.folders if len(parts) == 1]

    def labels(self, ready: bool) -> list[_Parts]:
        """The folders of labels."""
        return [parts for parts in self.folders if len(parts) == (2 if ready else 1)]


def _listed(data: Path, root: Path, parts: _Parts, ready: bool) -> ListedFile:
    split = parts[0] if ready and len(parts) > 1 else ""
    inner = parts[1:] if split else parts
    label = from_folder(inner[0]) if len(inner) > 1 else ""
    path = data.joinpath(*parts)
    return ListedFile("/".join(parts), path, label, split, problem(path, root))


def _is_ready_split(data: Path, tree: _Tree) -> bool:
    """Whether data/ is split already; UserError where it only looks like it."""
    tops = tree.tops
    named = {name: SPLIT_NAMES.get(name.casefold()) for name in tops}
    parts_of_split = {name: split for name, split in named.items() if split}
    train = [name for name, split in parts_of_split.items() if split == "train"]
    nested = any(len(parts) == 2 and parts[0] in train for parts in tree.folders)
    if not parts_of_split:
        return False
    if not train or not (nested or len(parts_of_split) > len(train)):
        name = next(iter(parts_of_split))
        raise UserError(
            f"{data}: {name}/ lies beside labels and is called like a part of a set split in "
            "folders; if it is one, move every label into data/{train,validation,test}/<label>/; "
            f"if it is a label, rename it, such as {name}_label"
        )
    # Training first: what it is called shows best that this is a set split in folders.
    ordered = sorted(parts_of_split.items(), key=lambda part: part[1] != "train")
    for name, split in ordered:
        if name != split:
            raise UserError(
                f"{data}: looks split in folders already, but {name}/ is not a name of ours; "
                f"rename {name} to {split} (the names are {', '.join(SPLITS)})"
            )
    if extra := sorted(set(tops) - set(SPLITS)):
        raise UserError(
            f"{data}: {extra[0]!r} lies beside the folders of a split set; a set already split "
            f"has {', '.join(SPLITS)} alone, else move every label directly into data/"
        )
    if not nested:
        raise UserError(
            f"{data}/train: holds no label folder; a set already split is "
            "data/{train,validation,test}/<label>/…"
        )
    if "validation" not in tops:
        raise UserError(
            f"{data}: has train/ without validation/; move a share of every label to "
            "data/validation/<label>/, or move the labels of train/ directly into data/"
        )
    return True


def _loose_notes(data: Path, files: Iterable[ListedFile]) -> Iterator[str]:
    """What is said of files outside every label, by the folder they lie in."""
    loose = Counter(file.split for file in files if not file.label)
    for split in sorted(loose):
        where = f"{split or data.name}/"
        note = f"{plural(loose[split], 'file')} directly in {where} belong to no label"
        hint = f"; `whoswho predict data/{where}*` names who is in them" if split == "test" else ""
        yield f"{note} and were left out{hint}"


def _check_names(data: Path, folders: Iterable[_Parts]) -> None:
    """See that the labels can be told apart and be said."""
    names: defaultdict[_Parts, list[str]] = defaultdict(list)  # by the folder they lie in
    for parts in folders:
        names[parts[:-1]].append(parts[-1])
    for inner in names.values():
        check_locale(inner)
        for name in inner:
            # A file's name may be any bytes. A label is said in JSON, on pages, in the registry.
            if any("\ud800" <= letter <= "\udfff" for letter in name):
                raise UserError(f"{data}: the folder {name!a} is no UTF-8; rename it")
            if from_folder(name).casefold() == UNKNOWN:
                raise UserError(f"{data / name}: the name {folder_problem(name)}")
        check_distinct(inner)
    check_distinct(sorted({from_folder(name) for inner in names.values() for name in inner}))


def _name_notes(folders: Iterable[_Parts]) -> Iterator[str]:
    """What is said of folders whose names another system refuses."""
    problems = {parts[-1]: folder_problem(from_folder(parts[-1])) for parts in folders}
    for name, why in sorted(problems.items()):
        if why:
            yield f"warning: the folder {name!r} {why}; rename it"


def _empty_notes(tree: _Tree, ready: bool) -> Iterator[str]:
    """What is said of labels without a file."""
    folders = tree.labels(ready)
    filled = {parts[: 2 if ready else 1] for parts in tree.files}
    if empty := ["/".join(parts) for parts in folders if parts not in filled]:
        # Not an error: Git and DVC do not keep empty folders, so a colleague has none of them.
        yield f"no file in {', '.join(sorted(empty))}"


def _check_several(data: Path, labels: Sequence[str], tree: _Tree, ready: bool) -> None:
    if not labels:
        raise UserError(f"{data}: no picture in any label folder; put pictures into data/<label>/")
    if len(labels) == 1:
        cure = "add a folder for a second person"
        if not ready and any(len(parts) == 2 for parts in tree.folders):
            cure = f"its folders are not labels: move them from data/{labels[0]}/ into data/"
        raise UserError(f"{data}: one label only, {labels[0]!r}; {cure}")


def _split_notes(data: Path, labels: Sequence[str], files: Iterable[ListedFile]) -> Iterator[str]:
    """What is said of labels that a split lacks."""
    present = {(file.split, file.label) for file in files if file.label}
    splits = [split for split in SPLITS if any((split, label) in present for label in labels)]
    if "validation" not in splits:
        raise UserError(
            f"{data}/validation: no label folder with a picture in it; move a share of every "
            "label there from train/"
        )
    for label in labels:
        if ("train", label) not in present:
            has = " and ".join(split for split in splits if (split, label) in present)
            raise UserError(
                f"{data}: label {label!r} is in {has} but not in train, so nothing can learn it; "
                f"put pictures into {data.name}/train/{label}/ or take it out of {has}"
            )
        missing = [split for split in splits if (split, label) not in present]
        if missing:
            yield f"label {label!r} has no picture in {' and '.join(missing)}"
