"""The registered model of a project: its versions and their aliases, as the registry has them.

Aliases: `challenger` is the version that was registered last (a known model registered again keeps
its number), `champion` the promoted one, `previous` the champion before.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass

from mlflow.entities.model_registry import ModelVersion, RegisteredModel

from whoswho import paths
from whoswho.errors import UserError
from whoswho.lifecycle.tracking.runs import DIGEST
from whoswho.lifecycle.tracking.store import Store, or_none

SHOWN = ("test/accuracy", "cv/accuracy", "validation/accuracy")  # metrics that tags keep
CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous"


@dataclass(frozen=True)
class Version:
    """One registered version of the model of a project."""

    project: str
    number: int
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    run_id: str
    created: datetime.datetime

    def __str__(self) -> str:
        aliases = f" ({', '.join(self.aliases)})" if self.aliases else ""
        return f"version {self.number}{aliases}"

    def metric(self, name: str) -> float | None:
        """A metric it was registered with, such as `test/accuracy`; None where it has none."""
        try:
            return float(self.tags[name])
        except (KeyError, ValueError):  # a version that somebody made by hand
            return None


def all_versions(store: Store) -> list[Version]:
    """All versions, newest first; none where nothing was ever registered."""
    numbers = aliases(store)

    def version(entry: ModelVersion) -> Version:
        number = int(entry.version)
        named = tuple(sorted(alias for alias, at in numbers.items() if at == number))
        created = datetime.datetime.fromtimestamp(entry.creation_timestamp / 1000).astimezone()
        return Version(store.project, number, named, dict(entry.tags), str(entry.run_id), created)

    return [version(entry) for entry in store.versions(f"name = '{store.project}'")]


def version_of(store: Store, digest: str) -> int | None:
    """The newest version of the model with this digest."""
    entries = store.versions(f"name = '{store.project}' AND tags.`{DIGEST}` = '{digest}'")
    return int(entries[0].version) if entries else None


def model_id(store: Store, number: int) -> str:
    """MLflow's id of a version's logged model."""
    source = store.client.get_model_version(store.project, str(number)).source or ""
    return str(source.removeprefix("models:/"))


def registered_model(store: Store) -> RegisteredModel | None:
    """The registered model, or None where nothing was ever registered."""
    return or_none(lambda: store.client.get_registered_model(store.project))


def aliases(store: Store) -> dict[str, int]:
    """Alias -> version, read from the registered model itself."""
    model = registered_model(store)
    return {alias: int(number) for alias, number in model.aliases.items()} if model else {}


def resolve(store: Store, reference: str) -> int:
    """The number behind `3`, `champion`, `models:/PROJECT/3` or `models:/PROJECT@champion`.

    Raises:
        UserError: no such version or alias; the line says which there are.
    """
    project = store.project
    named = re.fullmatch(rf"models:/{re.escape(project)}[/@](.+)", reference)
    name = named[1] if named else reference
    if name.startswith("models:"):
        raise UserError(
            f"{reference}: this repository registers models:/{project} only (project.name in "
            f"{paths.PARAMS})"
        )
    if name.isdecimal():
        if or_none(lambda: store.client.get_model_version(project, name)) is None:
            raise UserError(f"version {name}: not registered; see `whoswho models`")
        return int(name)
    numbers = aliases(store)
    if name in numbers:
        return numbers[name]
    if name == CHAMPION:
        raise UserError(
            f"models:/{project}@{CHAMPION}: no version is the champion yet; `whoswho promote` "
            "makes the newest one champion, or use the model at hand with "
            f"`--model {paths.MODEL.as_posix()}`"
        )
    there = ", ".join(sorted(numbers)) or "none"
    raise UserError(f"{reference}: no such alias (there are: {there}); see `whoswho models`")
