"""The fetched backbone as files: its tensors, and where they came from.

artifacts/backbone holds weights.safetensors (no classifier head) and source.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from whoswho import paths
from whoswho.arches import trained_offline
from whoswho.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

RANDOM = "random"  # the entry of backbone.weights that asks for no trained weights
WEIGHTS = "weights.safetensors"
SOURCE = "source.json"

_AGAIN = "run `dvc checkout`, or `dvc repro -f -s backbone`"


class PassedOver(BaseModel, frozen=True, extra="forbid"):
    """An entry of backbone.weights that could not be had."""

    entry: str
    why: str  # in words that are the same on every machine
    detail: str = Field(default="", exclude=True)  # with paths and what to do; said, not stored


class BackboneSource(BaseModel, frozen=True, extra="forbid"):
    """Where a backbone came from, as source.json and model.json hold it."""

    arch: str
    entry: str  # the entry of backbone.weights that was taken
    sha256: str  # of weights.safetensors
    origin: str  # address, path as written, or the seed
    passed_over: tuple[PassedOver, ...] = ()

    @property
    def untrained(self) -> bool:
        """Whether the weights are random: the network never saw a picture."""
        return self.entry == RANDOM

    def untrained_note(self, crop: str) -> str:
        """That the weights are random, and the command that helps; empty where they are not.

        Args:
            crop: what of a picture the network sees.
        """
        if not self.untrained:
            return ""
        return (
            "untrained (random weights): its answers mean nothing; a trained backbone that needs "
            f"no network: {trained_offline(crop)}"
        )

    def sentence(self) -> str:
        """One line: what was taken, and what was not with its reason."""
        sentence = f"{self.arch}, {self.entry}"
        if self.untrained:
            sentence += f" ({self.origin}): untrained (random weights)"
        for passed in self.passed_over:
            sentence += f"; {passed.entry} passed over: {passed.detail or passed.why}"
        return sentence


def save_backbone(folder: Path, state: dict[str, Tensor], source: BackboneSource) -> None:
    """Write the backbone's tensors and where they came from into `folder`."""
    from safetensors.torch import save_file

    save_file(state, folder / WEIGHTS)
    paths.write_json(folder / SOURCE, source.model_dump())


def load_backbone(folder: Path) -> tuple[dict[str, Tensor], BackboneSource]:
    """The backbone's tensors and where they came from.

    Raises:
        UserError: nothing is there, or the file is not the one that was stored.
    """
    from safetensors.torch import load_file

    source = load_source(folder)
    path = folder / WEIGHTS
    if not path.is_file() or paths.sha256(path) != source.sha256:
        raise UserError(f"{path}: absent or not the file that {SOURCE} describes; {_AGAIN}")
    return load_file(path), source


def load_source(folder: Path) -> BackboneSource:
    """Where the backbone in `folder` came from.

    Raises:
        UserError: source.json is absent, or not as this version writes it.
    """
    path = folder / SOURCE
    return paths.validated(BackboneSource, paths.read_json(path), path, _AGAIN)


def source_digest(folder: Path) -> str:
    """The SHA-256 of source.json, which names the tensors' own."""
    return paths.sha256(folder / SOURCE)
