"""Tables on disk: CSV in UTF-8 with LF line ends, every cell a string, written atomically.

Labels are data: `None`, `NA` and `007` are names, so nothing is ever guessed from a cell's look.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from whoswho import git
from whoswho.errors import UserError
from whoswho.paths import finite, fresh_file

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = dict[str, str]
Kind = TypeVar("Kind", bound="DataclassInstance")


def read(path: Path, required: Iterable[str] = ()) -> list[Row]:
    """The rows of `path` as dicts of strings; `required` columns must be in its header.

    Raises:
        UserError: the file is absent, is not UTF-8, lacks a column, has a row of another width, or
            is half merged.
    """
    try:
        return _read(path, required)
    except UserError:
        git.check_merged(path)
        raise


def _read(path: Path, required: Iterable[str]) -> list[Row]:
    try:
        # Names of files that are not valid UTF-8 survive the way to disk and back.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file, restkey="")
            header = list(reader.fieldnames or [])
            rows: list[Row] = []
            for row in reader:
                if "" in row or None in row.values():
                    raise UserError(
                        f"{path}, line {reader.line_num}: has more or fewer cells than the "
                        f"header ({', '.join(header)}); quote cells with commas"
                    )
                rows.append(dict(row))
    except FileNotFoundError:
        raise UserError(f"{path}: not there; run `dvc repro` (or `dvc pull`) first") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; put the table in its place") from None
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV table ({error}); mend or restore the file") from None
    missing = [name for name in required if name not in header]
    if missing:
        raise UserError(
            f"{path}: column {', '.join(map(repr, missing))} is missing from its header "
            f"({', '.join(header) or 'empty'}); expected {', '.join(required)}"
        )
    return rows


def write(path: Path, columns: Iterable[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write `rows` under the header `columns`; floats keep every digit, absent cells are empty."""
    with (
        fresh_file(path) as partial,
        partial.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.DictWriter(file, list(columns), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def columns(kind: type[DataclassInstance]) -> tuple[str, ...]:
    """The columns of a table whose rows are the dataclass `kind`: its fields."""
    return tuple(column.name for column in fields(kind))


def read_rows(path: Path, kind: type[Kind]) -> list[Kind]:
    """The rows of `path` as `kind`, see `from_cells`; other columns are passed over.

    Raises:
        UserError: as `read`.
        ValueError: as `from_cells`.
    """
    return [kind(**from_cells(kind, row)) for row in read(path, columns(kind))]


def from_cells(kind: type[DataclassInstance], row: Row) -> dict[str, Any]:
    """The fields of the dataclass `kind` that are texts, numbers or flags, from a row's cells.

    An empty cell is None where the field may be.

    Raises:
        ValueError: a cell is no number, or no flag, where one belongs.
    """
    cells: dict[str, Any] = {}
    for name, value, optional in _values(kind):
        try:
            cells[name] = None if optional and not row[name] else value(row[name])
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return cells


@cache
def _values(kind: type[DataclassInstance]) -> list[tuple[str, Callable[[str], object], bool]]:
    """Each such field with what a cell becomes there, and whether it may be None."""
    typed = [(column.name, *str(column.type).partition(" | ")) for column in fields(kind)]
    return [(name, _KNOWN[type], bool(none)) for name, type, _, none in typed if type in _KNOWN]


def _flag(cell: str) -> bool:
    if cell not in ("", "0", "1"):
        raise ValueError(f"{cell!r} is neither 0 nor 1")
    return cell == "1"


def write_rows(path: Path, kind: type[Kind], rows: Iterable[Kind]) -> None:
    """Write rows of the dataclass `kind` under a header of its fields."""
    write(path, columns(kind), map(vars, rows))


# What a cell becomes, by the annotation of its field.
_KNOWN: dict[str, Callable[[str], object]] = {
    "str": str,
    "int": int,
    "float": finite,
    "bool": _flag,
}
