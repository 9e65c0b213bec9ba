"""Whether the database of a store has the tables of the MLflow that is installed.

MLflow itself migrates a database that lacks a table as soon as anything opens it, without a
backup, and leaves it half migrated where that fails. So the store is looked into before.
"""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import mlflow
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from mlflow.store.db.base_sql_model import Base
from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool

from whoswho.errors import UserError

_DATABASES = ("sqlite:", "postgresql", "mysql", "mssql")
_DAMAGED = "bring back a backup, or move it away, and the next command makes a new one"
_HALFWAY = "_alembic_tmp_"  # what a migration of a sqlite table begins with and ends without


def check(uri: str) -> None:
    """See that what is at `uri` is no database, an absent one, or one of this MLflow's schema.

    Raises:
        UserError: it is older or newer, damaged, or a migration of it stopped half-way.
    """
    if not uri.startswith(_DATABASES):
        return
    engine = create_engine(uri, poolclass=NullPool)
    file = Path(engine.url.database or "") if engine.dialect.name == "sqlite" else None
    if file and not file.is_file():
        return
    if file and not file.stat().st_size:
        raise UserError(f"{file}: empty, 0 bytes, as a full disk leaves it; {_DAMAGED}")
    try:
        tables = set(inspect(engine).get_table_names())
    except DatabaseError as error:
        if file and re.search("not a database|malformed", str(error.orig)):
            why = f"not a tracking store ({error.orig})"
            raise UserError(f"{file}: {why}; {_DAMAGED}") from None
        raise
    if not tables & {"experiments", "alembic_version"}:
        return  # nothing of MLflow's yet
    if problem := _problem(engine, tables):
        shown = engine.url.render_as_string(hide_password=True)
        raise UserError(f"tracking store {shown}: {problem}")


def _problem(engine: Engine, tables: set[str]) -> str:
    """What is wrong with the schema, and the cure; empty where nothing is."""
    with engine.connect() as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory(str(files("mlflow") / "store" / "db_migrations"))
    head = scripts.get_current_head()
    shown = engine.url.render_as_string(hide_password=True)
    upgrade = f"`mlflow db upgrade {shown}`"
    halfway = sorted(table for table in tables if table.startswith(_HALFWAY))
    missing = sorted(set(Base.metadata.tables) - tables) if revision == head else []
    if halfway or missing:
        what = f"has {halfway[0]}" if halfway else f"lacks {', '.join(missing)}"
        return (
            f"is half migrated ({what}); bring back the backup from before the migration, then "
            f"run {upgrade}"
        )
    if revision == head:
        return ""
    versions = f"schema {revision}, where MLflow {mlflow.__version__} has {head}"
    if revision and revision not in {script.revision for script in scripts.walk_revisions()}:
        return (
            f"was made by a newer MLflow ({versions}); install that version, whose "
            f"{upgrade} made it so"
        )
    return f"was made by an older MLflow ({versions}); make a backup, then run {upgrade}"
