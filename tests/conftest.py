"""What tests start from: real pictures, a folder for what they share, the order they run in."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pytest
from support import shared
from support.repository import REPOSITORY

import whoswho.lifecycle  # noqa: F401 - sets how MLflow logs, before a module imports that

# As src/stage.py does, which says why.
gc.set_threshold(20_000, 100, 100)
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Tests run side by side: two threads each take a third more of the processors for the same.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# As on a user's machine: without it every process compiles all it imports from a copy.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder of real pictures beside a checkout; they are not ours to hand on."""
    folder = REPOSITORY.parent / "shared" / "cases"
    if not folder.is_dir():
        pytest.skip("needs the real pictures in ../shared/cases, which this checkout has not")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> None:
    """One folder for what all processes of the tests share."""
    own = tmp_path_factory.getbasetemp()
    shared.keep_in(own if worker_id == "master" else own.parent)


@pytest.hookimpl(trylast=True)  # after a shuffle
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests first, then the longest: a process that ends early waits for the others."""

    def scope(item: pytest.Item) -> str:  # a class or module, which one process runs whole
        return item.nodeid.rpartition("::")[0]

    minutes: dict[str, float] = {}
    for item in items:
        slow = item.get_closest_marker("slow")
        own = float(slow.kwargs.get("minutes", 1)) if slow else 0
        minutes[scope(item)] = max(minutes.get(scope(item), 0), own)
    items.sort(key=lambda item: (minutes[scope(item)] > 0, -minutes[scope(item)]))
