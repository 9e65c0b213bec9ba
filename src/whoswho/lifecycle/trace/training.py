"""`whoswho trace` of a version or a run: what made it, who moved it, how to rebuild it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mlflow.entities import Run, ViewType

from whoswho import git, params, paths
from whoswho.artifacts.split import SplitRow
from whoswho.dataset import manifest
from whoswho.errors import UserError
from whoswho.lifecycle.registry import alias_log, version_files, versions
from whoswho.lifecycle.registry.completion import RESTORED
from whoswho.lifecycle.registry.record import Record
from whoswho.lifecycle.registry.versions import Version
from whoswho.lifecycle.tracking import lineage
from whoswho.lifecycle.tracking.store import Store, or_none
from whoswho.wording import aligned

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Traced:
    """A version or a run, as far as the store still knows it.

    Attributes:
        version: None of a run that was not registered.
        run: None where the store lost it.
        record: what it was trained and judged on; None where nobody has it any more.
        tags: what train said of commit, data and params.
        params: whole, `section.key` -> value.
        patch: what the commit lacks, as `git apply` takes it.
    """

    version: Version | None
    run: Run | None
    record: Record | None
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    patch: str = ""

    @property
    def commit(self) -> str:
        """The commit that train ran on; empty where there was none."""
        commit = self.tags.get("commit", "none")
        return "" if commit == "none" else commit


def find(store: Store, reference: str) -> Traced:
    """The version of a number or alias, or the run of a name or id.

    Raises:
        UserError: there is none.
    """
    everyone = versions.all_versions(store)
    try:
        number = versions.resolve(store, reference)
        version = next((each for each in everyone if each.number == number), None)
        run = or_none(partial(store.run, version.run_id)) if version else None
    except UserError as error:
        run = _run(store, reference)
        if run is None:
            raise UserError(
                f"{reference}: no version, alias, run, file or sha256 of a picture ({error})"
            ) from None
        version = next((each for each in everyone if each.run_id == run.info.run_id), None)
    record = None
    if version is not None:
        with suppress(UserError):
            record = version_files.fetch_record(store, version.number)
    files = version_files.lineage_of(store, version, run)
    content = json.loads(files.get(lineage.DESCRIPTION, "{}"))
    return Traced(
        version,
        run,
        record,
        content.get("tags") or (run.data.tags if run else version.tags if version else {}),
        content.get("params") or (run.data.params if run else {}),
        files.get(lineage.PATCH, ""),
    )


def lines(store: Store, workspace: Path, traced: Traced, rebuild: Sequence[str]) -> list[str]:
    """What is known of it, a fact a line; `rebuild` are the commands that make it again."""
    facts = [*_names(store, traced), ("commit", _commit(workspace, traced))]
    facts.append(("data", f"data.dvc with sha256 {traced.tags.get('data.dvc', UNKNOWN)}"))
    facts.append(("params", _params(workspace, traced)))
    if traced.record:
        backbone = traced.record.model.backbone
        facts.append(("backbone", f"{backbone.sentence()}; from {backbone.origin}"))
        facts.append(("weights", f"backbone sha256 {backbone.sha256}"))
    output = [f"{name:<10} {text}" for name, text in facts]
    if traced.record:
        output += ["", *_pictures(traced.record.split, workspace / paths.DATA)]
    number = traced.version.number if traced.version else None
    moves = [str(m) for m in alias_log.moves(store) if number in (m.before, m.after)]
    if number is not None and moves:
        output += ["", *moves]
    return [*output, "", "to rebuild it:", *(f"  {command}" for command in rebuild)]


def _names(store: Store, traced: Traced) -> list[tuple[str, str]]:
    version, run = traced.version, traced.run
    facts = [("version", f"{version} of {store.project}" if version else "none: not registered")]
    if version:
        facts.append(("registered", f"{version.created:%Y-%m-%d %H:%M %Z}"))
        facts.append(("model", version.tags.get("model.sha256", UNKNOWN)))
    run_text = "gone from the store"
    if run:
        who = run.data.tags.get("mlflow.user") or run.info.user_id or UNKNOWN
        run_text = f"{run.info.run_name} ({run.info.run_id}), by {who}, {run.info.status.lower()}"
        if run.info.lifecycle_stage == "deleted":
            run_text += ", deleted"
    return [*facts, ("run", run_text)]


def _commit(workspace: Path, traced: Traced) -> str:
    """The commit, and whether it holds all that made the model."""
    if not traced.commit:
        return "none: it was trained outside Git, and nobody can rebuild it"
    dirty = traced.tags.get("dirty", UNKNOWN)
    states = {"false": "holds what made it", "true": "with changes that were not committed"}
    text = f"{traced.commit}, {states.get(dirty, 'and nobody knows what was not committed')}"
    if dirty == "true":
        changed = lineage.changed_files(traced.patch)
        text += f": {', '.join(changed)} (kept)" if changed else ", which nobody kept"
    if traced.tags.get(RESTORED):
        text += "; as of registering, since the store lost the training's own run"
    if git.answer(workspace, "cat-file", "-t", traced.commit) != "commit":
        text += "; not in this clone: git fetch"
    return text


def _params(workspace: Path, traced: Traced) -> str:
    """How many, and those that are others in params.yaml now."""
    if not traced.params:
        return "nobody knows them any more"
    now = Store.texts(params.flatten(params.load_params(workspace)))
    other = [
        f"{name} {value} (now {now.get(name, 'null')})"
        for name, value in Store.texts(traced.params).items()
        if now.get(name, "null") != value
    ]
    return f"{len(traced.params)}, in params.yaml now " + (
        f"other: {', '.join(other)}" if other else "the same"
    )


def _pictures(rows: Sequence[SplitRow], data: Path) -> list[str]:
    """A row a label: how many in each split, from which sites, under which licences."""
    known = {row.sha256: row for row in manifest.read(data) if row.sha256}
    table: list[Sequence[str]] = [("label", *paths.SPLITS, "from", "licences")]
    for label in sorted({row.label for row in rows}):
        own = [row for row in rows if row.label == label]
        counts = Counter(row.split for row in own)
        sources = [known.get(row.sha256) for row in own]
        sites = Counter(row.site if row else "no table says" for row in sources)
        licences = Counter((row.licence if row else "") or UNKNOWN for row in sources)
        numbers = (str(counts[split]) for split in paths.SPLITS)
        table.append((label, *numbers, _counted(sites), _counted(licences)))
    return aligned(table)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def _run(store: Store, reference: str) -> Run | None:
    """The newest run of that name, or the one with that id."""
    runs = store.runs(view=ViewType.ALL)
    return next((r for r in runs if reference in (r.info.run_id, r.info.run_name)), None)
