"""The embedded store: one sqlite file and one folder of artifacts at the repository's root.

MLflow writes absolute addresses into its database, and several processes that create one database
at once break it for good. So the database is made in a scratch folder and renamed into place
under a file lock, and whoever opens it after the folder moved corrects the addresses first.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
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
NAME = "whoswho"  # of the project, where nobody gave it one
# Where MLflow keeps absolute addresses of artifacts.
_ADDRESSES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)


def named_elsewhere(root: Path) -> str | None:
    """The address of another store, where MLFLOW_TRACKING_URI names one."""
    named = os.environ.get("MLFLOW_TRACKING_URI", "")
    own = named.startswith("sqlite:") and _file_of(named) == root.resolve() / DATABASE
    return None if own else named or None


def ready(root: Path, experiment: str, create: Callable[[str, str], None]) -> str:
    """The address of the embedded store, ready to be used, with an experiment of that name.

    It is made where it is absent, and its addresses corrected where its folder moved. An
    experiment that somebody put elsewhere on purpose stays there.

    Args:
        create: called with an address and a URI for artifacts, makes the experiment, and a
            database where there is none; by one process only.
    """
    root = root.resolve()
    database = root / DATABASE
    if "?" in str(root):
        raise UserError(f"{root}: sqlite cannot open a path with `?`; rename the folder")
    artifacts = (root / ARTIFACTS).as_uri()  # a path may hold `#` and `%`

    def former(recorded: Mapping[str, str]) -> str | None:
        default = recorded.get("Default", "").removesuffix("/default")  # as `_make` has it
        uri = recorded.get(experiment, default)
        return uri if uri.endswith(f"/{ARTIFACTS}") and uri != artifacts else None

    recorded = _recorded(database)
    if experiment not in recorded or former(recorded):
        with locked(root):
            recorded = _recorded(database)
            if folder := former(recorded):
                _move(database, folder, artifacts)
            if experiment not in recorded:
                _make(database, artifacts, create)
    return uri(root)


def uri(root: Path) -> str:
    """The address of the embedded store of this root."""
    return f"sqlite:///{(root.resolve() / DATABASE).as_posix()}"


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


def _file_of(uri: str) -> Path:
    """The file behind a sqlite address (a relative one starts at the working directory)."""
    return Path(uri.removeprefix("sqlite:///")).resolve()


def _recorded(database: Path) -> dict[str, str]:
    """Where the store believes the artifacts of each experiment to be; none where it is new."""
    if not database.is_file():
        return {}
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        try:
            rows = connection.execute("SELECT name, artifact_location FROM experiments")
            return {name: uri or "" for name, uri in rows}
        except sqlite3.DatabaseError as error:
            if "no such table" in str(error):  # another program's
                return {}
            raise


def _make(database: Path, artifacts: str, create: Callable[[str, str], None]) -> None:
    if database.is_file() and database.stat().st_size:
        # Somebody ran plain `mlflow` here first: their store gets our experiment.
        create(uri(database.parent), artifacts)
        return
    # A database open in this process cannot be renamed on Windows; its copy can.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        made = Path(scratch) / DATABASE
        create(uri(made.parent), artifacts)
        with closing(sqlite3.connect(made)) as connection, connection:
            # MLflow's own experiment would otherwise lie in the working directory.
            connection.execute(
                "UPDATE experiments SET artifact_location = ? WHERE name = 'Default'",
                (f"{artifacts}/default",),
            )
        with paths.fresh_file(database) as partial:
            shutil.copyfile(made, partial)


def _move(database: Path, old: str, new: str) -> None:
    """Write every address below the old root as the same one below the new root."""
    before, after = old.rpartition("/")[0], new.rpartition("/")[0]
    pairs = ((before, after), (_path_of(before), _path_of(after)))
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for table, column in _ADDRESSES:
            for start, other in pairs:
                connection.execute(
                    f"UPDATE {table} SET {column} = :other || substr({column}, :rest) "
                    f"WHERE {column} = :start OR substr({column}, 1, :rest) = :start || '/'",
                    {"start": start, "other": other, "rest": len(start) + 1},
                )


def _path_of(uri: str) -> str:
    """A file URI as the plain path that MLflow's own experiments are stored under."""
    parts = urlsplit(uri)
    return url2pathname(parts.path) if parts.scheme == "file" else unquote(uri)
