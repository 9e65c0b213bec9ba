"""Stores that must not be used as they are: of another MLflow, damaged, closed, or a trap (H4)."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest
from support import processes, tracking_server
from support.lifecycle_store import environment, fixture_made, fixture_root, free_port, project  # noqa: F401
from support.repository import skip_or_fail

from whoswho.errors import UserError
from whoswho.lifecycle.tracking import runs
from whoswho.lifecycle.tracking.store import open_store, refusal

OLDER, NEWER, HALF = "was made by an older MLflow", "was made by a newer MLflow", "half migrated"


def refused(root: Path) -> str:
    with pytest.raises(UserError) as caught:
        open_store(root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def execute(root: Path, *statements: str) -> None:
    with closing(sqlite3.connect(root / "mlflow.db")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def older(root: Path) -> None:
    """The database as a former MLflow made it, by MLflow's own migrations backwards."""
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config

    command.downgrade(_get_alembic_config(f"sqlite:///{root / 'mlflow.db'}"), "-2")


def test_an_older_store_is_left_alone_until_mlflows_command_is_run(
    root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    older(root)
    before = (root / "mlflow.db").read_bytes()
    with runs.training_run(root, {}, {}) as run:
        run.finished("d" * 64)
    err = capfd.readouterr().err
    assert err.count("\n") == 1, err
    assert OLDER in err
    assert "the training goes on untracked" in err
    assert (root / "mlflow.db").read_bytes() == before
    command = re.search(r"make a backup, then run `(mlflow db upgrade .*)`", refused(root))
    assert command
    done = subprocess.run(shlex.split(command[1]), env=environment(), check=False)
    assert done.returncode == 0
    assert open_store(root).runs() == []


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        (["UPDATE alembic_version SET version_num = 'ffffffffffff'"], NEWER),
        (["DELETE FROM alembic_version"], OLDER),
        (["DROP TABLE webhooks", "DROP TABLE runs"], f"{HALF} (lacks runs, webhooks)"),
        (["CREATE TABLE _alembic_tmp_runs (x INT)"], f"{HALF} (has _alembic_tmp_runs)"),
    ],
)
def test_a_newer_or_half_migrated_store_is_told_in_one_line(
    statements: list[str], problem: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(root, *statements)
    before = (root / "mlflow.db").read_bytes()
    assert problem in refused(root)
    assert "`mlflow db upgrade sqlite:///" in refused(root)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow.db'}")
    assert problem in refused(project(root.parent / "another"))
    assert (root / "mlflow.db").read_bytes() == before


@pytest.mark.parametrize("named", [False, True])
def test_a_database_of_no_bytes_is_no_new_store(
    named: bool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = root / "mlflow.db"
    database.write_bytes(b"")
    if named:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
        root = project(root.parent / "another")
    assert f"{database}: empty, 0 bytes" in refused(root)
    assert database.stat().st_size == 0
    database.unlink()
    assert open_store(root).runs() == []


def test_a_store_that_another_program_holds_is_not_called_broken(root: Path) -> None:
    with closing(sqlite3.connect(root / "mlflow.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        message = refused(root)
    assert "database is locked" in message
    assert "move it away" not in message


# --- Servers -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A server that asks for passwords and hands out a folder of its own, and that folder."""
    if find_spec("flask_wtf") is None:
        skip_or_fail("needs what the extra `server` installs: mlflow[auth]")
    folder, port = tmp_path_factory.mktemp("guarded"), free_port()
    own = folder / "srv"
    auth = folder / "auth.ini"
    auth.write_text(
        "[mlflow]\ndefault_permission = READ\nauth_cache_ttl_seconds = 300\n"
        f"database_uri = sqlite:///{folder}/auth.db\n"
        "admin_username = admin\nadmin_password = a-long-password\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
    command += ["--app-name", "basic-auth", "--default-artifact-root", own.as_uri()]
    surroundings = environment(
        **tracking_server.SETTINGS,
        MLFLOW_AUTH_CONFIG_PATH=str(auth),
        MLFLOW_FLASK_SERVER_SECRET_KEY="a key of this test",
    )
    server = processes.start(command, cwd=folder, env=surroundings, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        tracking_server.wait(f"{address}/health")
        tracking_server.answer(address, "admin", "a-long-password")
        yield address, own
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.mark.slow
def test_a_server_that_refuses_a_person_says_whose_credentials(
    guarded: tuple[str, Path], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", guarded[0])
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    cure = "refuses these credentials (401); set MLFLOW_TRACKING_USERNAME"
    assert cure in refused(root)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "guessed")
    assert cure in refused(root)
    assert "guessed" not in refused(root)


@pytest.mark.slow
def test_a_server_that_hands_out_a_folder_of_its_own_is_refused_before_training(
    guarded: tuple[str, Path],
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    address, own = guarded
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a-long-password")
    message = refused(root)
    assert f"keeps its artifacts in {own.as_uri()}/" in message
    assert "start the server with --artifacts-destination" in message
    with runs.training_run(root, {}, {}) as run:
        run.finished("d" * 64)
    assert "goes on untracked" in capfd.readouterr().err
    assert not own.exists()
    # The command that sets the experiment aside; the next one is asked of the server anew.
    command = shlex.split(message.partition("set the experiment aside: ")[2])
    assert subprocess.run(command, env=os.environ | environment(), check=False).returncode == 0
    assert refused(root) != message


def test_a_name_that_the_server_does_not_take_is_said_with_the_option() -> None:
    from mlflow.exceptions import MlflowException

    message = "API request to endpoint /api failed with error code 403 != 200. Response body: "
    error = MlflowException(f"{message}'Invalid Host header - possible DNS rebinding attack'")
    assert "--allowed-hosts HOST:PORT" in refusal(error)
    assert refusal(ValueError("anything else")) == ""
