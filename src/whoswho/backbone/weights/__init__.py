"""Where the backbone comes from: the first entry of `backbone.weights` that can be had.

Names of torchvision's weights are for its own architectures; another one takes its own published
weights in their place, so that changing backbone.arch alone is enough.

What cannot be had (not reachable, damaged in the cache, not at its path) is passed over, aloud,
because the list says what to take instead. What is there but wrong (a misspelt name, a file of
another architecture, a pickled object) stops the run: no list excuses a mistake.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from whoswho.artifacts.model.backbone import RANDOM, BackboneSource, PassedOver
from whoswho.backbone import network
from whoswho.backbone.network import State, architectures
from whoswho.backbone.network.architectures import OTHERS, head_names, renamed
from whoswho.backbone.network.inception import URLS
from whoswho.backbone.weights import packages
from whoswho.backbone.weights.downloads import Timeout, UnavailableError, download
from whoswho.backbone.weights.files import SUFFIXES, fit_to, open_state
from whoswho.errors import UserError

_TORCHVISION = ("IMAGENET1K_", "DEFAULT")  # how the names of torchvision's weights begin


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
    expected = architectures.on_meta(arch)[0].state_dict()
    if arch in OTHERS:
        choices = _own_choices(choices, arch)
    urls = {entry: _url(entry, arch) for entry in choices}
    timeout = Timeout()
    passed: list[PassedOver] = []
    for entry, url in urls.items():
        try:
            if entry == RANDOM:
                state, origin = _random(arch, seed), f"seed {seed}"
            elif url:
                state, origin = open_state(download(url, timeout, cache)), url
            elif _is_path(entry):
                state, origin = open_state(_find(entry, folders)), entry
            else:
                state, origin = packages.state_in(entry), f"package {entry}"
        except UnavailableError as error:
            passed.append(PassedOver(entry=entry, why=error.kind, detail=str(error)))
            continue
        state = fit_to(expected, renamed(arch, state), arch, head_names(arch), entry)
        source = BackboneSource(
            arch=arch,
            entry=entry,
            sha256=_digest(state),
            origin=origin,
            passed_over=tuple(passed),
        )
        return state, source
    reasons = "; ".join(f"{p.entry}: {p.detail}" for p in passed)
    raise UserError(
        f"backbone.weights: nothing on the list can be had: {reasons}; mend that, or add "
        f"{RANDOM} to the list for an untrained backbone"
    )


def _own_choices(choices: Sequence[str], arch: str) -> list[str]:
    """The list for an architecture that is not torchvision's: its own names, paths, `random`.

    Where it names none of these but `random`, the architecture's default comes first.

    Raises:
        UserError: an entry is no weights' name at all.
    """
    names = OTHERS[arch].weights
    own = [entry for entry in choices if entry in names or _is_path(entry)]
    for entry in choices:
        if entry not in (*own, RANDOM) and not entry.startswith(_TORCHVISION):
            raise UserError(
                f"backbone.weights: {entry!r} is not weights of {arch} ({', '.join(names)}), nor "
                f"{RANDOM!r}, nor a path (ending in {', '.join(SUFFIXES)})"
            )
    kept = [entry for entry in choices if entry in own or entry == RANDOM]
    return kept if own else [names[0], *kept]


def _is_path(entry: str) -> bool:
    return "/" in entry or "\\" in entry or entry.endswith(SUFFIXES)


def _url(entry: str, arch: str) -> str | None:
    """Where published weights of that name are; None for what is not published.

    A name that torchvision does not know is a mistake even where a later entry could be had.
    """
    if entry == RANDOM or arch in OTHERS or _is_path(entry):
        return URLS.get(entry)
    from torchvision.models import get_model_weights

    names = get_model_weights(arch)
    if entry not in names.__members__:
        raise UserError(
            f"backbone.weights: {entry!r} is not weights that torchvision has for {arch} "
            f"({', '.join(names.__members__)}), nor {RANDOM!r}, nor a path "
            f"(ending in {', '.join(SUFFIXES)})"
        )
    return str(names[entry].url)


def _random(arch: str, seed: int) -> State:
    if not network.learns(architectures.on_meta(arch)[0]):
        raise UnavailableError("no such", f"{arch} is never untrained: it cannot learn here")
    return network.random_backbone(arch, seed)


def _find(entry: str, folders: Sequence[Path]) -> Path:
    for folder in folders:
        path = folder / Path(entry).expanduser()
        if path.is_file():
            return path
    paths = " or ".join(str(folder / entry) for folder in folders)
    raise UnavailableError("not there", f"{paths} is not there")


def _digest(state: State) -> str:
    """The SHA-256 that the file of `save_backbone` will have."""
    from safetensors.torch import save

    return hashlib.sha256(save(state)).hexdigest()
