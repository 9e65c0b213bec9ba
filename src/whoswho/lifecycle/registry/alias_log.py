"""The moves of the aliases, and the log of who made them and why.

MLflow keeps no record of such moves, so each one is a tag of the registered model, written by the
same hand that moves the alias: `move 2026-11-28 10:40:12.345678 champion` is
`1 > 3 | mina | allowed | brighter room`. One tag a move, because two people may write at once.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from whoswho.lifecycle.registry import versions
from whoswho.lifecycle.tracking import lineage
from whoswho.lifecycle.tracking.store import Store

_KEY = re.compile(r"move (\S+ \S+) (\S+)")
_NONE, _FORCED, _ALLOWED = "none", "forced", "allowed"


@dataclass(frozen=True)
class Move:
    """One entry of the log: an alias that went from one version to another.

    Attributes:
        when: in UTC, as `2026-11-28 10:40:12.345678`.
        forced: whether the gate was overruled.
    """

    when: str
    who: str
    alias: str
    before: int | None
    after: int
    why: str
    forced: bool

    def __str__(self) -> str:
        before = _NONE if self.before is None else self.before
        forced = " (forced)" if self.forced else ""
        why = f": {self.why}" if self.why else ""
        moved = f"{self.alias} {before} -> {self.after}"
        return f"{self.when[:16]} UTC  {self.who}: {moved}{forced}{why}"


def move(store: Store, alias: str, number: int, why: str, *, forced: bool = False) -> None:
    """Point an alias at a version and write that into the log, unless it points there already."""
    before = versions.aliases(store).get(alias)
    if before == number:
        return
    store.client.set_registered_model_alias(store.project, alias, str(number))
    key = f"move {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S.%f} {alias}"
    cells = (
        f"{_NONE if before is None else before} > {number}",
        lineage.user(store.root).replace("|", "/"),
        _FORCED if forced else _ALLOWED,
        " ".join(why.split())[:1000],
    )
    store.client.set_registered_model_tag(store.project, key, " | ".join(cells))


def moves(store: Store) -> list[Move]:
    """Every move of an alias, oldest first."""
    model = versions.registered_model(store)
    result = []
    for key, value in sorted(model.tags.items()) if model else ():
        if named := _KEY.fullmatch(key):
            versions_, who, allowed, why = value.split(" | ", 3)
            before, after = versions_.split(" > ")
            start = None if before == _NONE else int(before)
            move = Move(named[1], who, named[2], start, int(after), why, allowed == _FORCED)
            result.append(move)
    return result
