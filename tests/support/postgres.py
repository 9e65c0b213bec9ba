"""A PostgreSQL of its own, as a team's tracking server keeps its runs in."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.lifecycle_store import free_port
from support.repository import skip_or_fail

OWNER = "postgres"  # Debian's; root may not run the server


@dataclass(frozen=True)
class Postgres:
    """Where it listens, and where its programs are."""

    port: int
    programs: Path

    def uri(self, database: str) -> str:
        return f"postgresql://{OWNER}@127.0.0.1:{self.port}/{database}"


def _programs() -> Path:
    initdbs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    single = shutil.which("initdb")
    if not initdbs and not single:
        skip_or_fail("needs PostgreSQL (Debian: apt-get install postgresql)")
    return initdbs[-1].parent if initdbs else Path(str(single)).parent


def _run(command: Sequence[str | Path]) -> None:
    as_owner = ["runuser", "-u", OWNER, "--"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*as_owner, *map(str, command)], cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def serving(*databases: str) -> Iterator[Postgres]:
    """A server on loopback with these databases, that trusts whoever reaches it."""
    programs, port = _programs(), free_port()
    # Its owner must be allowed to enter every folder above, which pytest's are closed to.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        if os.geteuid() == 0:
            shutil.chown(folder, OWNER)
        data = Path(folder) / "data"
        _run([programs / "initdb", "-D", data, "-U", OWNER, "--auth=trust", "--no-sync"])
        options = f"-p {port} -c unix_socket_directories={folder} -c listen_addresses=127.0.0.1"
        control = [programs / "pg_ctl", "-D", data, "-w"]
        _run([*control, "-l", Path(folder) / "log.txt", "-o", f"{options} -c fsync=off", "start"])
        try:
            reach = ["-h", "127.0.0.1", "-p", str(port), "-U", OWNER]
            for database in databases:
                _run([programs / "createdb", *reach, database])
            yield Postgres(port, programs)
        finally:
            _run([*control, "-m", "immediate", "stop"])
