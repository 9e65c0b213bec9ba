"""The embedded store: one sqlite file and one folder of artifacts at the repository's root.

MLflow writes absolute places into its database, and several processes that create one database
at once break it for good. So the database is made in a scratch folder and renamed into place
under a file lock, and whoever opens it after the folder moved corrects the places first.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from filelock import FileLock

from whoswho import paths
from whoswho.errors import UserError

DATABASE = Path("mlflow.db")
ARTIFACTS = Path("mlartifacts")
LOCK = Path(".whoswho/store.lock")
EXPERIMENT = "whoswho"
# Where MLflow keeps absolute places of artifacts.
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)


def address(root: Path, create: Callable[[str, str], None]) -> str:
    """The tracking address: MLFLOW_TRACKING_URI, or else the embedded store, ready to be used.

    `create(uri, artifacts)` makes a new database with the experiment in it; it is called in a
    scratch folder, by one process only.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI", "")
    if given and _file_of(given) != root.resolve() / DATABASE:
        return given
    return embedded(root, create)


def embedded(root: Path, create: Callable[[str, str], None]) -> str:
    """The embedded store's address, after making it or correcting its places where needed."""
    root = root.resolve()
    if "?" in str(root):
        raise UserError(f"{root}: sqlite cannot open a path with `?`; rename the folder")
    database = root / DATABASE
    if _to_do(database, root):
        with locked(root):
            recorded = _recorded(database)
            if recorded is None:
                _make(root, create)
            elif _to_do(database, root):
                _move(database, recorded, _artifacts(root))
    return _uri(database)


def exists(root: Path) -> bool:
    """Whether there is a store to look into, this one or another that a person named."""
    return bool(os.environ.get("MLFLOW_TRACKING_URI")) or (root / DATABASE).is_file()


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the store's lock: one process of this machine at a time."""
    path = root.resolve() / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield


def _uri(database: Path) -> str:
    return f"sqlite:///{database.as_posix()}"


def _file_of(uri: str) -> Path | None:
    """The file behind a sqlite address (a relative one starts at the working directory)."""
    return Path(uri.removeprefix("sqlite:///")).resolve() if uri.startswith("sqlite:") else None


def _artifacts(root: Path) -> str:
    """The artifacts' place as MLflow is told it: a URI, because `#` and `%` may be in a path."""
    return (root / ARTIFACTS).as_uri()


def _recorded(database: Path) -> str | None:
    """The place the store believes its artifacts to be at; None where there is no store yet."""
    if not database.is_file():
        return None
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        try:
            row = connection.execute(
                "SELECT artifact_location FROM experiments WHERE name = ?", (EXPERIMENT,)
            ).fetchone()
        except sqlite3.DatabaseError as error:
            if "no such table" in str(error):  # an empty file, or another program's
                return None
            raise UserError(
                f"{database}: not a tracking store ({error}); move it away, and the next "
                "command makes a new one"
            ) from None
    return row[0] if row else None


def _to_do(database: Path, root: Path) -> bool:
    """Whether the store is to be made, or its places to be corrected.

    An experiment that somebody put elsewhere on purpose stays there.
    """
    recorded = _recorded(database)
    if recorded is None:
        return True
    return recorded != _artifacts(root) and recorded.endswith(f"/{ARTIFACTS}")


def _make(root: Path, create: Callable[[str, str], None]) -> None:
    database = root / DATABASE
    if database.is_file() and database.stat().st_size:
        # Somebody ran plain `mlflow` here first: their store gets our experiment.
        create(_uri(database), _artifacts(root))
        return
    # A database open in this process cannot be renamed on Windows; its copy can.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        made = Path(scratch) / DATABASE
        create(_uri(made), _artifacts(root))
        with closing(sqlite3.connect(made)) as connection, connection:
            # MLflow's own experiment would otherwise lie in the working directory.
            connection.execute(
                "UPDATE experiments SET artifact_location = ? WHERE name = 'Default'",
                (f"{_artifacts(root)}/default",),
            )
        with paths.fresh_file(database) as partial:
            shutil.copyfile(made, partial)


def _move(database: Path, old: str, new: str) -> None:
    """Write every place below the old root as the same place below the new one."""
    was, now = old.rpartition("/")[0], new.rpartition("/")[0]
    prefixes = [(was, now), (_path_of(was), _path_of(now))]
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for table, column in _PLACES:
            rows = connection.execute(
                f"SELECT rowid, {column} FROM {table} WHERE {column} IS NOT NULL"
            ).fetchall()
            for rowid, place in rows:
                for before, after in prefixes:
                    if place == before or place.startswith(f"{before}/"):
                        connection.execute(
                            f"UPDATE {table} SET {column} = ? WHERE rowid = ?",
                            (after + place[len(before) :], rowid),
                        )
                        break


def _path_of(uri: str) -> str:
    """A file URI as the plain path that MLflow's own experiments are stored under."""
    parts = urlsplit(uri)
    return url2pathname(parts.path) if parts.scheme == "file" else unquote(uri)
