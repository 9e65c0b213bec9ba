"""What a run did otherwise than the one before it: its name in the run table, and in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

FIRST, AGAIN = "first", "again"
_SHOWN = 4  # params in a name
_LONGEST = 24  # letters of a value in a name
# Tags that say what else made a model, and what a name calls a change of theirs.
_OTHER = {"data.dvc": "other data", "backbone": "other weights", "commit": "other code"}


def differing(
    params: Mapping[str, str], before: Mapping[str, str]
) -> dict[str, tuple[str | None, str | None]]:
    """Of each param that differs, the value before and the one now; None where there is none."""
    return {
        key: (before.get(key), params.get(key))
        for key in sorted({*params, *before})
        if params.get(key) != before.get(key)
    }


def name(
    params: Mapping[str, str],
    tags: Mapping[str, str],
    before: tuple[Mapping[str, str], Mapping[str, str]] | None,
) -> str:
    """`lr=0.01 epochs=30`: what differs from the run before, params first; `first` without one.

    Args:
        before: params and tags of the run before.
    """
    if before is None:
        return FIRST
    keys = Counter(key.rpartition(".")[2] for key in params)
    parts = []
    for key, (_, value) in differing(params, before[0]).items():
        short = key.rpartition(".")[2]
        text = "none" if value is None else value
        text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
        parts.append(f"{short if keys[short] < 2 else key}={text}")
    if not parts:
        parts = [what for tag, what in _OTHER.items() if tags.get(tag) != before[1].get(tag)]
    more = f" +{len(parts) - _SHOWN}" if len(parts) > _SHOWN else ""
    return (" ".join(parts[:_SHOWN]) + more) or AGAIN


def sentence(params: Mapping[str, str], before: Mapping[str, str]) -> str:
    """`train.lr 0.01 (was 0.001), …`; empty where no param differs."""
    changes = differing(params, before).items()
    return ", ".join(f"{key} {now or 'none'} (was {was or 'none'})" for key, (was, now) in changes)
