"""What tests start from: real pictures."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.repository import REPOSITORY

# Tests run side by side; see src/stage.py.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder of real pictures beside a checkout; they are not ours to hand on."""
    folder = REPOSITORY.parent / "shared" / "cases"
    if not folder.is_dir():
        pytest.skip("needs the real pictures in ../shared/cases, which this checkout has not")
    return folder
