"""Tables on disk: CSV in UTF-8 with LF line ends, every cell a string, written atomically.

Labels are data: `None`, `NA` and `007` are names, so nothing is ever guessed from a cell's look.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from whoswho import git
from whoswho.errors import UserError
from whoswho.paths import fresh_file

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
    """The rows of `path` as `kind`, a dataclass of strings; other columns are passed over.

    Raises:
        UserError: as `read`.
    """
    names = columns(kind)
    return [kind(**{name: row[name] for name in names}) for row in read(path, names)]


def write_rows(path: Path, kind: type[Kind], rows: Iterable[Kind]) -> None:
    """Write rows of the dataclass `kind` under a header of its fields."""
    write(path, columns(kind), map(vars, rows))
