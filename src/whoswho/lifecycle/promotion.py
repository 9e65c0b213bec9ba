"""Promotion: which version is the champion, by what right, and who said so."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from whoswho import params, paths
from whoswho.artifacts.backbone import BackboneSource
from whoswho.errors import UserError
from whoswho.lifecycle import gate, registry, store, tracking
from whoswho.lifecycle.gate import Facts
from whoswho.lifecycle.outputs import Outputs
from whoswho.lifecycle.registry import CHALLENGER, CHAMPION, PREVIOUS
from whoswho.lifecycle.tracking import DIGEST, Store, answering

SHOWN = ("test/accuracy", "test/macro_f1", "validation/accuracy")


@dataclass(frozen=True)
class Standing:
    """Where the model at hand stands: what `whoswho summary` says of runs and versions."""

    run: str | None
    version: int | None
    aliases: tuple[str, ...]
    champion: int | None
    promote: str | None  # the command that promotes this model, as it works for it


def promote(
    reference: str, policy: params.Promote, *, why: str = "", force: bool = False,
    opened: Store | None = None,
) -> list[str]:  # fmt: skip
    """Make a version (number or alias) the champion if the gate lets it through; returns lines.

    `force` overrules the gate and needs `why`. The champion so far becomes `previous`.
    """
    if force and not why.strip():
        raise UserError("promote: --force needs --why TEXT; it goes into the promotion log")
    opened = opened or tracking.open_store()
    with answering(opened), store.locked(opened.root):
        number = registry.resolve(reference, opened)
        champion = registry.aliases(opened).get(CHAMPION)
        if champion == number:
            return [f"version {number} is the champion already"]
        decision = judge(number, policy, opened)
        if not decision.allowed and not force:
            raise UserError(
                f"version {number} is not promoted: {'; '.join(decision.reasons)} -- to do it all "
                f'the same: whoswho promote {reference} --force --why "..."'
            )
        overruled = not decision.allowed
        if champion is not None:
            registry.move(opened, PREVIOUS, champion, why, forced=overruled)
        registry.move(opened, CHAMPION, number, why, forced=overruled)
    lines = [f"version {number} is the champion"]
    lines += [f"overruled: {reason}" for reason in decision.reasons]
    return lines + [f"note: {note}" for note in decision.notes]


def rollback(*, why: str = "", opened: Store | None = None) -> list[str]:
    """Give the champion's place back to `previous`; the two change places, so it can be undone."""
    opened = opened or tracking.open_store()
    with answering(opened), store.locked(opened.root):
        aliases = registry.aliases(opened)
        previous, champion = aliases.get(PREVIOUS), aliases.get(CHAMPION)
        if previous is None or champion is None or previous == champion:
            raise UserError(
                "rollback: there is no champion before this one; `whoswho models` lists the "
                "versions, `whoswho promote N` makes one of them champion"
            )
        registry.move(opened, CHAMPION, previous, why or "rollback")
        registry.move(opened, PREVIOUS, champion, why or "rollback")
    return [f"version {previous} is the champion again; {champion} is `previous`"]


def judge(
    number: int, policy: params.Promote, opened: Store | None = None
) -> gate.Decision:  # fmt: skip
    """What the gate says to a version, against the champion if there is one."""
    opened = opened or tracking.open_store()
    champion = registry.aliases(opened).get(CHAMPION)
    with tempfile.TemporaryDirectory() as scratch:
        candidate = _facts(opened, number, Path(scratch))
        other = None
        if champion is not None and champion != number:
            other = _facts(opened, champion, Path(scratch))
    return gate.decide(candidate, other, policy)


def standing(workspace: Path, opened: Store | None = None) -> Standing:
    """The run and version of the workspace's model, and the command that would promote it."""
    opened = opened or tracking.open_store()
    digest = paths.read_json(workspace / paths.REGISTERED)[DIGEST]
    run = tracking.finished_run(opened, digest)
    name = run.info.run_name if run else None
    aliases = registry.aliases(opened)
    with answering(opened):
        number = registry.version_of(opened, digest)
    if number is None:
        return Standing(name, None, (), aliases.get(CHAMPION), None)
    own = tuple(sorted(alias for alias, at in aliases.items() if at == number))
    command = None
    if CHAMPION not in own:
        allowed = judge(number, params.load_params(workspace).promote, opened).allowed
        which = "" if CHALLENGER in own else f" {number}"
        command = f"whoswho promote{which}" + ("" if allowed else ' --force --why "a first try"')
    return Standing(name, number, own, aliases.get(CHAMPION), command)


def table(opened: Store | None = None) -> list[str]:
    """The versions as lines of text, and the last moves of their aliases."""
    opened = opened or tracking.open_store()
    found = registry.versions(opened)
    if not found:
        return ["no version is registered yet; `dvc repro` registers one"]
    head = ("version", "aliases", *SHOWN, "backbone", "registered")
    rows: list[tuple[str, ...]] = [head]
    for version in found:
        values = [version.metric(name) for name in SHOWN]
        rows.append((
            str(version.number), ", ".join(version.aliases) or "-",
            *("-" if value is None else f"{value:.3f}" for value in values),
            version.tags.get("backbone", "-"), version.created.strftime("%Y-%m-%d %H:%M"),
        ))  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    moves = [move for move in registry.log(opened) if move.alias == CHAMPION][-5:]
    for move in moves:
        forced = " (forced)" if move.forced else ""
        why = f": {move.why}" if move.why else ""
        lines.append(
            f"{move.when}  {move.who}: champion {_number(move.before)} -> "
            f"{_number(move.after)}{forced}{why}"
        )
    return lines


def facts(outputs: Outputs, name: str) -> Facts:
    """What the gate needs to know about a model, from its outputs."""
    sha256 = {row.file: row.sha256 for row in outputs.split}
    return Facts(
        name=name,
        format=int(outputs.model.get("format", 0)),
        labels=tuple(outputs.labels),
        random_backbone=BackboneSource.model_validate(outputs.model["backbone"]).untrained,
        train=frozenset(row.sha256 for row in outputs.split if row.split == "train"),
        test={
            sha256[row["file"]]: row["actual"] == row["predicted"]
            for row in outputs.predictions
            if row["split"] == "test" and row["file"] in sha256
        },
        recall=outputs.recall("test"),
    )


def _facts(opened: Store, number: int, scratch: Path) -> Facts:
    """The same of a registered version, from the artifacts of its run."""
    folder = scratch / str(number)
    folder.mkdir()
    return facts(registry.outputs_of(opened, number, folder), f"version {number}")


def _number(number: int | None) -> str:
    return "none" if number is None else str(number)
