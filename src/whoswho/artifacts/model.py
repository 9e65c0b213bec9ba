"""A trained model as files, read without what answers: its name, and how it describes itself."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from whoswho import paths
from whoswho.errors import UserError

FORMAT = 2
WEIGHTS = "weights.safetensors"
DESCRIPTION = "model.json"
HISTORY = "history.csv"

AGAIN = "run `dvc checkout`, or `dvc repro -f -s train`"


def describe(folder: Path) -> dict[str, Any]:
    """All of model.json, its format known.

    Raises:
        UserError: it is absent, no JSON, or of another format.
    """
    path = folder / DESCRIPTION
    description = paths.read_json(path)
    found = description.get("format") if isinstance(description, dict) else None
    if found != FORMAT:
        raise UserError(
            f"{path}: its format is {found}, this version reads format {FORMAT}; use the version "
            "of Who's Who that wrote it, or train it again"
        )
    checked: dict[str, Any] = description
    return checked


def model_digest(folder: Path) -> str:
    """What names a model for good: the SHA-256 over its weights and its description."""
    whole = hashlib.sha256()
    for name in (WEIGHTS, DESCRIPTION):
        path = folder / name
        if not path.is_file():
            raise UserError(f"{path}: not there; {AGAIN}")
        whole.update(bytes.fromhex(paths.sha256(path)))
    return whole.hexdigest()
