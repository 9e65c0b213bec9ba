"""A table of suspects as the stage suspects leaves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from whoswho import paths
from whoswho.artifacts.suspects import Suspect, SuspectList, write_suspects

SUSPECT: dict[str, Any] = {
    "file": "a/1.jpg", "sha256": "0" * 64, "label": "a", "split": "test", "suggested": "b",
    "probability_label": 0.1, "probability_suggested": 0.8, "score": 0.7,
}  # fmt: skip


def suspect_files(workspace: Path, *suspects: dict[str, Any], **summary: Any) -> None:
    """Write suspects, the surest first, with what differs from SUSPECT, and what they rest on."""
    folder = workspace / paths.SUSPECTS
    folder.mkdir(parents=True, exist_ok=True)
    rows = tuple(
        Suspect(**SUSPECT | cells, rank=rank) for rank, cells in enumerate(suspects, start=1)
    )
    write_suspects(folder, SuspectList(suspects=rows, **summary))
