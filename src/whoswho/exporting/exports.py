"""Where exported models lie: a table in the workspace, for whoever must take a person down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from whoswho import tables

TABLE = Path(".whoswho/exports.csv")


@dataclass(frozen=True)
class Export:
    """An exported model's folder, absolute, and the digest of the model."""

    folder: str
    model: str


def note(workspace: Path, folder: Path, model: str) -> None:
    """Keep where a model is going to be exported to."""
    export = Export(str(folder.resolve()), model)
    tables.write_rows(workspace / TABLE, Export, sorted({*known(workspace), export}, key=str))


def known(workspace: Path) -> list[Export]:
    """The folders that are still there.

    Raises:
        UserError: the table cannot be read.
    """
    table = workspace / TABLE
    exports = tables.read_rows(table, Export) if table.is_file() else []
    return [export for export in exports if Path(export.folder).is_dir()]
