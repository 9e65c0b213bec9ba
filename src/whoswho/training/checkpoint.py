"""The last finished epoch on disk, so that an interrupted training goes on from there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from whoswho import paths

_FORMAT = 3


@dataclass(frozen=True)
class Checkpoint:
    """A file that belongs to one training.

    Attributes:
        path: lies outside the stage's outputs, which DVC clears before a run.
        key: digest of everything the training depends on; another key is another training.
    """

    path: Path
    key: str

    @classmethod
    def of(cls, root: Path, key: str) -> Checkpoint:
        """The checkpoint of a training in the repository `root`."""
        return cls(root / paths.CHECKPOINTS / f"{key}.pt", key)

    def read(self) -> dict[str, Any] | None:
        """What `write` stored, or None where there is nothing of use; then says why."""
        if not self.path.is_file():
            return None
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            same = content["format"] == _FORMAT and content["key"] == self.key
            state: dict[str, Any] = content["state"]
        except Exception as error:  # noqa: BLE001 - whatever is in the file, the training can be done anew
            print(f"{self.path}: damaged ({type(error).__name__}), so training starts anew")
            return None
        if not same:
            print(f"{self.path}: of another configuration, so training starts anew")
            return None
        return state

    def write(self, state: dict[str, Any]) -> None:
        """Replace the file by `state` (tensors, numbers, texts and plain containers of them)."""
        # Given a path instead of a file, torch does not say what the disk said.
        with paths.fresh_file(self.path) as partial, partial.open("wb") as file:
            torch.save({"format": _FORMAT, "key": self.key, "state": state}, file)

    def remove(self) -> None:
        """Forget the training: its model is stored."""
        self.path.unlink(missing_ok=True)
