"""artifacts/dataset: the prepared pictures, which of them is in which split, and their labels.

split.csv has a row a picture, dataset.json what all share, overlaps.csv the look-alikes that lie
in two splits of a set that came split, face_vectors.npy the numbers by which cleaning told faces
apart. Nobody else writes or reads these files; a tracked run keeps a copy of split.csv alone.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel

from whoswho import paths, tables
from whoswho.artifacts.model.settings import Box, Crop, PictureSettings
from whoswho.errors import UserError, one_line
from whoswho.wording import plural

SPLIT = "split.csv"
# Cleaning finds them, preprocess hands them on.
OVERLAPS = "overlaps.csv"
FACE_VECTORS = "face_vectors.npy"
DESCRIPTION = "dataset.json"

_AGAIN = "run `dvc repro -f -s preprocess`"

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class SplitRow:
    """A row of split.csv.

    Attributes:
        file: the original, posix path below data/.
        sha256: of the original.
        group: its look-alikes share it.
        crop: what the prepared picture shows of the original: face or whole.
        path: the prepared picture, posix path below the dataset's folder.
        face: the face's box in the prepared picture, `left top right bottom`; empty for none.
    """

    file: str
    sha256: str
    label: str
    split: str
    group: str
    crop: str
    path: str
    face: str = ""


@dataclass(frozen=True)
class Overlap:
    """Two look-alikes on two sides of a split that came with the set; paths below data/."""

    file_a: str
    split_a: str
    file_b: str
    split_b: str


def across_splits(overlaps: Sequence[Overlap], hashes: Mapping[str, str]) -> str:
    """`3 pairs of identical files and 1 pair of look-alikes lie across splits`, empty for none.

    Args:
        hashes: the sha256 of each file.
    """
    identical = sum(hashes[pair.file_a] == hashes[pair.file_b] for pair in overlaps)
    counts = {"identical files": identical, "look-alikes": len(overlaps) - identical}
    phrases = [f"{plural(count, 'pair')} of {what}" for what, count in counts.items() if count]
    verb = "lies" if len(overlaps) == 1 else "lie"
    return f"{' and '.join(phrases)} {verb} across splits" if phrases else ""


class Description(BaseModel, frozen=True, extra="forbid"):
    """What all pictures of a set share, as dataset.json holds it."""

    labels: tuple[str, ...]
    splits: tuple[str, ...]
    ready_split: bool
    picture: PictureSettings


@dataclass(frozen=True)
class Example:
    """One prepared picture."""

    file: str  # the original, relative to data/
    sha256: str  # of the original
    group: str  # its look-alikes share it
    label: int  # index into the labels of the set
    path: Path  # the prepared picture
    crop: Crop = "whole"  # what it shows of the original
    face: Box | None = None  # the face's box in the prepared picture


@dataclass(frozen=True)
class Dataset:
    """A prepared set.

    Attributes:
        labels: in the one order that model and metrics keep.
        picture: what its pictures were prepared with.
        examples: split -> pictures, in the order of split.csv.
        ready_split: whether data/ came split.
    """

    folder: Path
    labels: tuple[str, ...]
    picture: PictureSettings
    examples: dict[str, tuple[Example, ...]]
    ready_split: bool = False
    overlaps: Sequence[Overlap] = field(default=())

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """The splits that have pictures, in their customary order."""
        return tuple(split for split in paths.SPLITS if self.examples.get(split))

    def targets(self, split: str) -> NDArray[np.int64]:
        """The label index of each picture of a split."""
        return np.array([example.label for example in self.examples[split]], np.int64)

    def counts(self, split: str) -> Counter[str]:
        """Pictures of each label in a split."""
        return Counter(self.labels[example.label] for example in self.examples[split])


def write_dataset(
    folder: Path,
    rows: Sequence[SplitRow],
    picture: PictureSettings,
    *,
    ready_split: bool = False,
    overlaps: Iterable[Overlap] = (),
) -> None:
    """Write the three files into `folder`, where the prepared pictures lie."""
    tables.write_rows(folder / SPLIT, SplitRow, rows)
    write_overlaps(folder, overlaps)
    present = {row.split for row in rows}
    description = Description(
        labels=tuple(sorted({row.label for row in rows})),
        splits=tuple(split for split in paths.SPLITS if split in present),
        ready_split=ready_split,
        picture=picture,
    )
    paths.write_json(folder / DESCRIPTION, description.model_dump())


def load_dataset(folder: Path) -> Dataset:
    """Read artifacts/dataset.

    Raises:
        UserError: no dataset is there, or it lacks pictures to learn from or to validate on, or
            its table names a label that its list does not have.
    """
    path = folder / DESCRIPTION
    description = paths.validated(Description, paths.read_json(path), path, _AGAIN)
    index = {label: number for number, label in enumerate(description.labels)}
    if len(index) < len(description.labels):
        raise UserError(f"{path}: names a label twice; {_AGAIN}")
    examples: dict[str, list[Example]] = {split: [] for split in paths.SPLITS}
    for row in read_split(folder):
        try:
            if row.label not in index or row.split not in examples:
                raise ValueError(
                    f"label {row.label!r} or split {row.split!r} is unknown to {DESCRIPTION}"
                )
            example = Example(
                row.file,
                row.sha256,
                row.group,
                index[row.label],
                paths.inside(folder, row.path),
                "face" if row.crop == "face" else "whole",
                _box(row.face),
            )
        except ValueError as error:
            raise UserError(f"{folder / SPLIT}: {row.file}: {error}; {_AGAIN}") from None
        examples[row.split].append(example)
    for split in ("train", "validation"):
        if not examples[split]:
            raise UserError(
                f"{folder / SPLIT}: no {split} pictures; check split in {paths.PARAMS} and data/"
            )
    return Dataset(
        folder,
        description.labels,
        description.picture,
        {split: tuple(rows) for split, rows in examples.items()},
        description.ready_split,
        read_overlaps(folder),
    )


def box_cell(box: Box | None) -> str:
    """A face's box as the column `face` holds it."""
    return " ".join(map(str, box or ()))


def _box(cell: str) -> Box | None:
    """What `box_cell` was given."""
    if not cell:
        return None
    sides = tuple(map(int, cell.split()))
    if len(sides) != 4:
        raise ValueError(f"the face {cell!r} is no box")
    return sides


def open_prepared(path: Path) -> Image.Image:
    """A prepared picture.

    Raises:
        UserError: it is absent or damaged; only a hand in artifacts/ does that.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise UserError(
            f"{path}: cannot be read ({error}); run `dvc checkout`, or "
            "`dvc repro -f -s preprocess`"
        ) from None


def read_split(folder: Path) -> list[SplitRow]:
    """The rows of the split.csv in `folder`.

    Raises:
        UserError: it is absent or damaged.
    """
    return tables.read_rows(folder / SPLIT, SplitRow)


def find_split(folder: Path) -> list[SplitRow] | None:
    """The same; None where the table is absent."""
    return read_split(folder) if (folder / SPLIT).exists() else None


def dataset_digest(folder: Path) -> str:
    """Hash of everything a training reads of artifacts/dataset beside the pixels."""
    return paths.digest(*(paths.sha256(folder / name) for name in (DESCRIPTION, SPLIT)))


def split_digest(rows: Iterable[SplitRow]) -> str:
    """Hash of which picture lies in which split; models with equal ones may be compared."""
    pictures = sorted((row.sha256, row.label, row.split) for row in rows)
    return hashlib.sha256(repr(pictures).encode()).hexdigest()


def write_overlaps(folder: Path, overlaps: Iterable[Overlap]) -> None:
    """Write overlaps.csv into `folder`."""
    tables.write_rows(folder / OVERLAPS, Overlap, overlaps)


def read_overlaps(folder: Path) -> list[Overlap]:
    """The rows of the overlaps.csv in `folder`.

    Raises:
        UserError: it is absent or damaged.
    """
    return tables.read_rows(folder / OVERLAPS, Overlap)


def write_face_vectors(folder: Path, vectors: Sequence[Float32 | None]) -> None:
    """Write face_vectors.npy into `folder`, a row a picture, NaN for a picture without a vector.

    Nothing is written where no picture has one: faces were not told apart.
    """
    width = next((len(vector) for vector in vectors if vector is not None), 0)
    if width:
        nothing = np.full(width, np.nan, np.float32)
        rows = [nothing if vector is None else vector for vector in vectors]
        np.save(folder / FACE_VECTORS, np.array(rows, np.float32))


def read_face_vectors(folder: Path, rows: int) -> Float32 | None:
    """What `write_face_vectors` wrote, (rows, width), memory-mapped; None where nothing was.

    Args:
        rows: as many as the table in `folder` has.

    Raises:
        UserError: the file is damaged, or of another table.
    """
    path = folder / FACE_VECTORS
    if not path.exists():
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of a header that numpy had to mend
            vectors: Float32 = np.load(path, mmap_mode="r")
    except Exception as error:  # noqa: BLE001 - numpy reads its header as Python's own literal
        raise UserError(f"{path}: cannot be read ({one_line(error)}); {_AGAIN}") from None
    if vectors.dtype != np.float32:
        raise UserError(f"{path}: holds no 32-bit numbers; {_AGAIN}")
    if vectors.ndim != 2 or len(vectors) != rows:
        raise UserError(f"{path}: {len(vectors)} rows for {rows} pictures; {_AGAIN}")
    return vectors


def face_vectors(dataset: Dataset) -> Float32 | None:
    """The face vector of each picture, all splits one after the other, NaN for a picture without.

    None where cleaning told no faces apart.

    Raises:
        UserError: as `read_face_vectors`.
    """
    rows = read_split(dataset.folder)
    vectors = read_face_vectors(dataset.folder, len(rows))
    if vectors is None:
        return None
    numbers: dict[str, list[int]] = {split: [] for split in dataset.splits}
    for number, row in enumerate(rows):
        numbers[row.split].append(number)
    ordered: Float32 = vectors[np.concatenate([numbers[split] for split in dataset.splits])]
    return ordered
