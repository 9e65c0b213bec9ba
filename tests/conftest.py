"""What tests start from: real pictures, and what a machine may lack but CI may not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Tests run side by side; see src/stage.py.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder of real pictures beside a checkout; they are not ours to hand on."""
    folder = REPOSITORY.parent / "shared" / "cases"
    if not folder.is_dir():
        pytest.skip("needs the real pictures in ../shared/cases, which this checkout has not")
    return folder


def skip_or_fail(why: str) -> None:
    """Skip where a person's machine lacks something; CI must have it, so there it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{why} (CI must have it)")
    pytest.skip(why)
