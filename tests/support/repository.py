"""The checkout under test, and what a machine may lack but CI may not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def skip_or_fail(why: str) -> None:
    """Skip where a person's machine lacks something; CI must have it, so there it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{why} (CI must have it)")
    pytest.skip(why)
