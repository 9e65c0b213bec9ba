"""What was found in a picture's bytes, so that no file is ever looked at twice.

One SQLite file under the root, shared by every run and every queued experiment. A row belongs to
the sha256 of a file and to everything else its value depends on (`version`); the value carries a
checksum. So a changed picture, detector or library is another row, and a damaged row or file is
no row: it costs the looking again, never a wrong answer. A cache that cannot be used (no space,
no access) is none, and `problem` says why.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self, TypeVar

FILE = "faces.sqlite"
# Seconds that one process waits for another to finish writing.
TIMEOUT = 30.0
# Rows that a killed run loses at most.
AT_ONCE = 50

Result = TypeVar("Result")


class FaceCache:
    """A table (sha256 of the file, version) -> bytes; to be used in a `with` block.

    Args:
        folder: where the file lies, made where it is not there. None: nothing is kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.problem = ""
        self._connection: sqlite3.Connection | None = None
        self._pending: list[tuple[str, str, bytes, bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        self._close()

    def get(self, sha256: str, version: str) -> bytes | None:
        """What was kept; None where nothing was, or where it is damaged."""
        row = self._try(
            lambda table: table.execute(
                "SELECT value, checksum FROM finds WHERE sha256 = ? AND version = ?",
                (sha256, version),
            ).fetchone()
        )
        if row is None:
            return None
        value, checksum = row
        if not isinstance(value, bytes) or checksum != _checksum(sha256, version, value):
            return None
        return value

    def put(self, sha256: str, version: str, value: bytes) -> None:
        """Keep `value`; it is on disk after `flush`, at the latest when the block ends."""
        self._pending.append((sha256, version, value, _checksum(sha256, version, value)))
        if len(self._pending) >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what `put` was given."""
        rows, self._pending = self._pending, []
        self._write("INSERT OR REPLACE INTO finds VALUES (?, ?, ?, ?)", rows)

    def forget(self, hashes: Iterable[str]) -> int:
        """Remove every row of these files, overwriting it; how many rows went."""
        self.flush()
        if self.folder is None or not (self.folder / FILE).exists():
            return 0
        return self._write("DELETE FROM finds WHERE sha256 = ?", [(sha256,) for sha256 in hashes])

    def _write(self, statement: str, rows: Sequence[tuple[str | bytes, ...]]) -> int:
        if not rows:
            return 0
        return self._try(lambda table: table.executemany(statement, rows).rowcount) or 0

    def _try(self, query: Callable[[sqlite3.Connection], Result]) -> Result | None:
        """`query` of the table in a transaction; a damaged file is made anew, once."""
        if self.folder is None or self.problem:
            return None
        try:
            try:
                return self._in_transaction(query)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                self._close()
                (self.folder / FILE).unlink(missing_ok=True)
                return self._in_transaction(query)
        except (sqlite3.Error, OSError) as error:
            self._close()
            self.problem = f"{self.folder / FILE}: {error}; faces found now are not kept"
            return None

    def _in_transaction(self, query: Callable[[sqlite3.Connection], Result]) -> Result:
        if self._connection is None:
            assert self.folder is not None
            self.folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.folder / FILE, timeout=TIMEOUT)
            # What is forgotten is overwritten: an embedding is a trace of a person.
            self._connection.execute("PRAGMA secure_delete = ON")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS finds (sha256 TEXT, version TEXT, value BLOB, "
                "checksum BLOB, PRIMARY KEY (sha256, version)) WITHOUT ROWID"
            )
        with self._connection:
            return query(self._connection)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _checksum(sha256: str, version: str, value: bytes) -> bytes:
    return hashlib.blake2b(
        "\0".join((sha256, version)).encode() + b"\0" + value, digest_size=8
    ).digest()
