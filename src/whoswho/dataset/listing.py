"""What lies in data/: every file with its label and split, or the one thing wrong with the set."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from whoswho.errors import UserError
from whoswho.labels import check_distinct, from_folder, is_litter
from whoswho.paths import SPLITS

# Tables of ours that lie directly in data/ beside the labels.
KNOWN_FILES = {"manifest.csv", "forgotten.csv"}

# What people call the parts of a set; only the names of SPLITS are taken for one.
_TRAIN_NAMES = {"train", "training"}
_OTHER_NAMES = {
    "validation": ("validation", "valid", "val", "dev", "eval"),
    "test": ("test", "testing", "tests"),
}

# DVC may put a link to its cache in the place of a file; that is the file, wherever the cache is.
_DVC_OBJECT = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")


@dataclass(frozen=True)
class Source:
    """A file of data/: where it lies, whose picture it should be, and why it cannot be read."""

    file: str
    path: Path
    label: str
    split: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Listing:
    """All of data/.

    Attributes:
        sources: every file, sorted by its path; loose ones have no label.
        labels: sorted.
        ready_split: whether data/ is split in folders already.
        litter: how many entries of systems and crawlers were passed over.
        notes: what the user should know, one line each.
    """

    sources: Sequence[Source]
    labels: Sequence[str]
    ready_split: bool
    litter: int
    notes: Sequence[str] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Files a label."""
        found = Counter(source.label for source in self.sources if source.label)
        return {label: found[label] for label in self.labels}


@dataclass
class _Walk:
    root: Path
    litter: int = 0
    notes: list[str] = field(default_factory=list)


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
    walk = _Walk(data.resolve())
    folders, files = _entries(data, walk)
    files = [path for path in files if path.name not in KNOWN_FILES]
    if not folders and not files:
        raise UserError(f"{data}: empty; put pictures into data/<label>/ (one folder a person)")
    if not folders:
        raise UserError(
            f"{data}: holds {_files(len(files))} but no label folder; "
            "put them into data/<label>/ (one folder a person)"
        )
    ready = _is_ready_split(data, folders, walk)
    sources = [Source(path.name, path, "", "", problem(path, walk.root)) for path in files]
    if files:
        walk.notes.append(
            f"{_files(len(files))} directly in {data.name}/ belong to no label and were left out"
        )
    if ready:
        for folder in folders:
            sources += _split_sources(folder, walk)
    else:
        sources += [source for folder in folders for source in _label_sources(folder, "", walk)]
    sources.sort(key=lambda source: source.file)
    labels = sorted({source.label for source in sources if source.label})
    _check_labels(data, folders, labels, ready, sources, walk)
    return Listing(sources, labels, ready, walk.litter, walk.notes)


def is_split(data: Path) -> bool:
    """Whether `data` is split in folders already; not so where it only looks like it."""
    if not data.is_dir():
        return False
    walk = _Walk(data.resolve())
    try:
        return _is_ready_split(data, _entries(data, walk)[0], walk)
    except UserError:
        return False


def _entries(folder: Path, walk: _Walk) -> tuple[list[Path], list[Path]]:
    """Sub-folders and files of a folder, sorted, without litter. A linked folder is a file."""
    folders, files = [], []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if is_litter(entry.name):
            walk.litter += 1
        elif entry.is_dir(follow_symlinks=False):
            folders.append(Path(entry.path))
        else:
            files.append(Path(entry.path))
    return folders, files


def _files_below(folder: Path, walk: _Walk) -> Iterator[Path]:
    folders, files = _entries(folder, walk)
    yield from files
    for inner in folders:
        yield from _files_below(inner, walk)


def _label_sources(folder: Path, split: str, walk: _Walk) -> list[Source]:
    prefix = f"{split}/" if split else ""
    label = from_folder(folder.name)
    return [
        Source(
            f"{prefix}{folder.name}/{path.relative_to(folder).as_posix()}",
            path,
            label,
            split,
            problem(path, walk.root),
        )
        for path in _files_below(folder, walk)
    ]


def _split_sources(folder: Path, walk: _Walk) -> list[Source]:
    split = folder.name
    folders, loose = _entries(folder, walk)
    sources = [
        Source(f"{split}/{path.name}", path, "", split, problem(path, walk.root)) for path in loose
    ]
    if loose:
        hint = (
            f"; `whoswho predict data/{split}/*` names who is in them" if split == "test" else ""
        )
        walk.notes.append(
            f"{_files(len(loose))} directly in {split}/ belong to no label and were left out{hint}"
        )
    for inner in folders:
        sources += _label_sources(inner, split, walk)
    return sources


def problem(path: Path, data: Path) -> str:
    """Why a file must not be read: it is no file, or a link out of `data`, a resolved folder."""
    try:
        if path.is_symlink():
            target = path.resolve()
            inside = target.is_relative_to(data) and target.is_file()
            if not inside and not _DVC_OBJECT.search(target.as_posix()):
                return "a link that leads out of data/ or to no file; not followed"
        if not stat.S_ISREG(path.stat().st_mode):
            return "neither a file nor a folder"
    except (OSError, RuntimeError) as error:
        return getattr(error, "strerror", None) or "a link that leads in a circle"
    return ""


def _is_ready_split(data: Path, folders: Sequence[Path], walk: _Walk) -> bool:
    """Whether data/ is split already; UserError where it only looks like it."""
    by_name = {folder.name: folder for folder in folders}
    train = [folder for name, folder in by_name.items() if name.casefold() in _TRAIN_NAMES]
    if not train:
        return False
    others = {
        name: meant
        for name in by_name
        for meant, words in _OTHER_NAMES.items()
        if name.casefold() in words
    }
    quiet = _Walk(walk.root)  # looked into here, counted later
    nested = any(_entries(folder, quiet)[0] for folder in train)
    if not nested and not others:
        return False  # somebody is called train
    renames = [(folder.name, "train") for folder in train if folder.name != "train"]
    renames += [(name, meant) for name, meant in others.items() if name != meant]
    if renames:
        was, meant = renames[0]
        raise UserError(
            f"{data}: looks split in folders already, but {was}/ is not a name of ours; "
            f"rename {was} to {meant} (the names are {', '.join(SPLITS)})"
        )
    extra = sorted(set(by_name) - set(SPLITS))
    if extra:
        raise UserError(
            f"{data}: {extra[0]!r} lies beside the folders of a split set; a set already split "
            f"has {', '.join(SPLITS)} alone, else move every label directly into data/"
        )
    if not nested:
        raise UserError(
            f"{data}/train: holds no label folder; a set already split is "
            "data/{train,validation,test}/<label>/…"
        )
    if "validation" not in by_name:
        raise UserError(
            f"{data}: has train/ without validation/; move a share of every label to "
            "data/validation/<label>/, or move the labels of train/ directly into data/"
        )
    return True


def _check_labels(
    data: Path,
    folders: Sequence[Path],
    labels: Sequence[str],
    ready: bool,
    sources: Sequence[Source],
    walk: _Walk,
) -> None:
    quiet = _Walk(walk.root)
    label_folders = (
        [inner for folder in folders for inner in _entries(folder, quiet)[0]]
        if ready
        else list(folders)
    )
    for folder in label_folders:
        # A file's name may be any bytes. A label is said in JSON, on pages and in the registry.
        if any("\ud800" <= letter <= "\udfff" for letter in folder.name):
            raise UserError(f"{data}: the folder {folder.name!a} is no UTF-8; rename it")
    check_distinct(sorted({folder.name for folder in label_folders}))
    empty = sorted(
        folder.relative_to(data).as_posix()
        for folder in label_folders
        if next(_files_below(folder, quiet), None) is None
    )
    if empty:
        # Not an error: Git and DVC do not keep empty folders, so a colleague has none of them.
        walk.notes.append(f"no file in {', '.join(empty)}")
    if not labels:
        raise UserError(f"{data}: no picture in any label folder; put pictures into data/<label>/")
    if len(labels) == 1:
        nested = not ready and any(_entries(folder, quiet)[0] for folder in folders)
        cure = (
            f"its folders are not labels: move them from data/{labels[0]}/ into data/"
            if nested
            else "add a folder for a second person"
        )
        raise UserError(f"{data}: one label only, {labels[0]!r}; {cure}")
    if not ready:
        return
    found = {(source.split, source.label) for source in sources}
    splits = [split for split in SPLITS if any((split, label) in found for label in labels)]
    if "validation" not in splits:
        raise UserError(
            f"{data}/validation: no label folder with a picture in it; move a share of every "
            "label there from train/"
        )
    for label in labels:
        if ("train", label) not in found:
            has = " and ".join(split for split in splits if (split, label) in found)
            raise UserError(
                f"{data}: label {label!r} is in {has} but not in train, so nothing can learn it; "
                f"put pictures into {data.name}/train/{label}/ or take it out of {has}"
            )
        missing = [split for split in splits if (split, label) not in found]
        if missing:
            walk.notes.append(f"label {label!r} has no picture in {' and '.join(missing)}")


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"
