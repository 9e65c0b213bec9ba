"""Where the backbone comes from: the first entry of `backbone.weights` that can be had.

What cannot be had (not reachable, damaged in the cache, not at its path) is passed over, aloud,
because the list says what to take instead. What is there but wrong (a misspelt name, a file of
another architecture, a pickled object) stops the run: no list excuses a mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whoswho.artifacts.backbone import RANDOM, BackboneSource, PassedOver
from whoswho.backbone import network, weight_downloads, weight_files
from whoswho.backbone.network import State
from whoswho.errors import UserError

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum


def fetch(
    choices: Sequence[str],
    arch: str,
    seed: int,
    folders: Sequence[Path],
    cache: Path | None = None,
) -> tuple[State, BackboneSource]:
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
            return state, _source(arch, entry, _digest(state), f"seed {seed}", tuple(passed))
        if weights is None:
            path = _find(entry, folders)
            if path is None:
                where = " or ".join(str(folder / entry) for folder in folders)
                passed.append(_passed(entry, "not there", f"{where} is not there"))
                continue
            state = weight_files.open_state(path)
            origin = entry
        else:
            try:
                content = weight_downloads.get(weights, patience, cache)
            except weight_downloads.UnavailableError as reason:
                passed.append(_passed(entry, reason.kind, str(reason)))
                continue
            state = content
            origin = weights.url
        state = weight_files.fit_to(expected, state, arch, network.head_names(arch), entry)
        return state, _source(arch, entry, _digest(state), origin, tuple(passed))
    reasons = "; ".join(f"{p.entry}: {p.detail}" for p in passed)
    raise UserError(
        f"backbone.weights: nothing on the list can be had: {reasons}; mend that, or add "
        f"{RANDOM} to the list for an untrained backbone"
    )


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


def _passed(entry: str, why: str, detail: str) -> PassedOver:
    return PassedOver(entry=entry, why=why, detail=detail)


def _source(
    arch: str, entry: str, sha256: str, origin: str, passed: tuple[PassedOver, ...]
) -> BackboneSource:
    return BackboneSource(arch=arch, entry=entry, sha256=sha256, origin=origin, passed_over=passed)


def _digest(state: State) -> str:
    """The SHA-256 that the file of `save_backbone` will have."""
    import hashlib

    from safetensors.torch import save

    return hashlib.sha256(save(state)).hexdigest()
