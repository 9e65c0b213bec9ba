"""Where the backbone comes from: the first entry of `backbone.weights` that can be had.

What cannot be had (not reachable, damaged in the cache, not at its path) is passed over, aloud,
because the list says what to take instead. What is there but wrong (a misspelt name, a file of
another architecture, a pickled object) stops the run: no list excuses a mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whoswho import paths
from whoswho.backbone import network, weight_downloads, weight_files
from whoswho.backbone.network import State
from whoswho.errors import UserError

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

RANDOM = "random"
WEIGHTS = "weights.safetensors"
SOURCE = "source.json"


@dataclass(frozen=True)
class PassedOver:
    """An entry that could not be had."""

    entry: str
    why: str  # in words that are the same on every machine; stored
    detail: str  # in full, with what to do; said, not stored


@dataclass(frozen=True)
class Source:
    """Where a backbone came from."""

    arch: str
    entry: str  # the entry of backbone.weights that was taken
    sha256: str  # of the stored backbone, weights.safetensors
    origin: str  # address, path as written, or the seed
    passed_over: tuple[PassedOver, ...] = ()

    @property
    def random(self) -> bool:
        """Whether the backbone was never trained: a stand-in."""
        return self.entry == RANDOM

    def to_json(self) -> dict[str, Any]:
        """As source.json and model.json hold it."""
        return {
            "arch": self.arch,
            "entry": self.entry,
            "random": self.random,
            "sha256": self.sha256,
            "from": self.origin,
            "passed_over": [{"entry": p.entry, "why": p.why} for p in self.passed_over],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Source:
        """As source.json and model.json hold it."""
        passed = tuple(PassedOver(p["entry"], p["why"], "") for p in value["passed_over"])
        return cls(value["arch"], value["entry"], value["sha256"], value["from"], passed)

    def sentence(self) -> str:
        """One line: what was taken, and aloud what was not."""
        said = f"{self.arch}, {self.entry}"
        if self.random:
            said += f" ({self.origin}): untrained, a stand-in for real weights"
        for passed in self.passed_over:
            said += f"; {passed.entry} passed over: {passed.detail or passed.why}"
        return said


def fetch(
    choices: Sequence[str],
    arch: str,
    seed: int,
    folders: Sequence[Path],
    cache: Path | None = None,
) -> tuple[State, Source]:
    """The backbone's tensors (no classifier head) from the first of `choices` that can be had.

    Args:
        folders: where a path that is not absolute is looked up, in this order.
        cache: where torchvision's files lie; default: torch's own folder.

    Raises:
        UserError: nothing on the list can be had, or an entry is wrong.
    """
    expected, _ = network.backbone_outline(arch)
    published = {entry: _published(entry, arch) for entry in choices}
    patience = weight_downloads.Patience()
    passed: list[PassedOver] = []
    for entry in choices:
        weights = published[entry]
        if entry == RANDOM:
            state = network.random_backbone(arch, seed)
            return state, Source(arch, entry, _digest(state), f"seed {seed}", tuple(passed))
        if weights is None:
            path = _find(entry, folders)
            if path is None:
                where = " or ".join(str(folder / entry) for folder in folders)
                passed.append(PassedOver(entry, "not there", f"{where} is not there"))
                continue
            state = weight_files.open_state(path)
            origin = entry
        else:
            try:
                content = weight_downloads.get(weights, patience, cache)
            except weight_downloads.UnavailableError as reason:
                passed.append(PassedOver(entry, reason.kind, str(reason)))
                continue
            state = content
            origin = weights.url
        state = weight_files.fit_to(expected, state, arch, network.head_names(arch), entry)
        return state, Source(arch, entry, _digest(state), origin, tuple(passed))
    reasons = "; ".join(f"{p.entry}: {p.detail}" for p in passed)
    raise UserError(
        f"backbone.weights: nothing on the list can be had: {reasons}; mend that, or add "
        f"{RANDOM} to the list for an untrained stand-in"
    )


def save(folder: Path, state: State, source: Source) -> None:
    """Write the backbone and where it came from into `folder`."""
    from safetensors.torch import save_file

    save_file(state, folder / WEIGHTS)
    paths.write_json(folder / SOURCE, source.to_json())


def load(folder: Path) -> tuple[State, Source]:
    """The backbone stored in `folder`.

    Raises:
        UserError: nothing is there, or the file is not the one that was stored.
    """
    source = load_source(folder)
    path = folder / WEIGHTS
    if not path.is_file() or paths.sha256(path) != source.sha256:
        raise UserError(
            f"{path}: absent or not the file that {SOURCE} describes; run `dvc checkout`, or "
            "`dvc repro -f -s backbone`"
        )
    return weight_files.open_state(path), source


def load_source(folder: Path) -> Source:
    """Where the backbone stored in `folder` came from."""
    return Source.from_json(paths.read_json(folder / SOURCE))


def _published(entry: str, arch: str) -> WeightsEnum | None:
    """torchvision's weights of that name; None for a path and for `random`.

    A name that torchvision does not know is a mistake even where a later entry could be had.
    """
    if entry == RANDOM or "/" in entry or "\\" in entry or entry.endswith(weight_files.SUFFIXES):
        return None
    from torchvision.models import get_model_weights

    names = get_model_weights(arch)
    if entry not in names.__members__:
        raise UserError(
            f"backbone.weights: {entry!r} is not weights that torchvision has for {arch} "
            f"({', '.join(names.__members__)}), nor {RANDOM!r}, nor a path "
            f"(ending in {', '.join(weight_files.SUFFIXES)})"
        )
    weights: WeightsEnum = names[entry]
    return weights


def _find(entry: str, folders: Sequence[Path]) -> Path | None:
    places = [folder / Path(entry).expanduser() for folder in folders]
    return next((place for place in places if place.is_file()), None)


def _digest(state: State) -> str:
    """The SHA-256 that the file of `save` will have."""
    import hashlib

    from safetensors.torch import save

    return hashlib.sha256(save(state)).hexdigest()
