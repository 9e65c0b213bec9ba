"""Where exported models lie: a table in the workspace, for whoever must take a person down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from whoswho import tables

TABLE = Path(".whoswho/exports.csv")


@dataclass(frozen=True)
class Place:
    """An exported model's folder, absolute, and the digest of the model."""

    folder: str
    model: str


def note(workspace: Path, folder: Path, model: str) -> None:
    """Keep where a model is going to be exported to."""
    place = Place(str(folder.resolve()), model)
    tables.write_rows(workspace / TABLE, Place, sorted({*known(workspace), place}, key=str))


def known(workspace: Path) -> list[Place]:
    """The folders that are still there.

    Raises:
        UserError: the table cannot be read.
    """
    table = workspace / TABLE
    places = tables.read_rows(table, Place) if table.is_file() else []
    return [place for place in places if Path(place.folder).is_dir()]
