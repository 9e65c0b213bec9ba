"""The moves of the aliases, and the log of who made them and why.

MLflow keeps no record of such moves, so each one is a tag of the registered model, written by the
same hand that moves the alias.
"""

from __future__ import annotations

import datetime
import getpass
import json
from dataclasses import asdict, dataclass

from whoswho.lifecycle.registry import versions
from whoswho.lifecycle.registry.versions import NAME
from whoswho.lifecycle.tracking.store import Store

PREFIX = "move."  # a tag of the registered model for every move of an alias


@dataclass(frozen=True)
class Move:
    """One entry of the log: an alias that went from one version to another."""

    when: str
    who: str
    alias: str
    before: int | None
    after: int
    why: str
    forced: bool


def move(store: Store, alias: str, number: int, why: str, *, forced: bool = False) -> None:
    """Point an alias at a version and write that into the log, unless it points there already."""
    before = versions.aliases(store).get(alias)
    if before == number:
        return
    store.client.set_registered_model_alias(NAME, alias, str(number))
    now = datetime.datetime.now(datetime.UTC)
    reason = " ".join(why.split())[:1000]
    entry = Move(now.isoformat(timespec="seconds"), _user(), alias, before, number, reason, forced)
    key = f"{PREFIX}{now:%Y%m%dT%H%M%S.%f}.{alias}"
    value = json.dumps(asdict(entry), ensure_ascii=False)
    store.client.set_registered_model_tag(NAME, key, value)


def moves(store: Store) -> list[Move]:
    """Every move of an alias, oldest first."""
    model = versions.registered_model(store)
    tags = model.tags if model else {}
    return [Move(**json.loads(tags[key])) for key in sorted(tags) if key.startswith(PREFIX)]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "unknown"
