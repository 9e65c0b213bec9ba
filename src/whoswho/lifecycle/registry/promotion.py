"""Promotion: which version is the champion, by what right, and who said so."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from whoswho import params, paths
from whoswho.artifacts.model.description import FORMAT
from whoswho.errors import UserError
from whoswho.lifecycle.registry import alias_log, gate, lost, probes, version_files, versions
from whoswho.lifecycle.registry.gate import ComparedModel
from whoswho.lifecycle.registry.registration import FORMAT_TAG, SPLIT_TAG
from whoswho.lifecycle.registry.versions import CHALLENGER, CHAMPION, PREVIOUS
from whoswho.lifecycle.tracking import embedded_store, runs
from whoswho.lifecycle.tracking.runs import DIGEST
from whoswho.lifecycle.tracking.store import Store
from whoswho.wording import aligned


@dataclass(frozen=True)
class Standing:
    """Where the model at hand stands: what `whoswho summary` says of runs and versions."""

    project: str
    run: str | None
    version: int | None
    aliases: tuple[str, ...]
    champion: int | None
    promote: str | None  # the command that promotes this model, as it works for it
    missing: str = ""  # what the store lacks of this model and the cure; empty of one it has


def promote(
    store: Store, reference: str, policy: params.Promote, *, why: str = "", force: bool = False
) -> list[str]:
    """Make a version (number or alias) the champion if the gate lets it through; returns lines.

    `force` overrules the gate and needs `why`. The champion so far becomes `previous`, unless its
    files are gone.

    Raises:
        UserError: the gate refuses, with every reason it has; or the version's files are gone, or
            it does not answer as when it was registered, which nothing overrules.
    """
    if force and not why.strip():
        raise UserError("promote: --force needs --why TEXT; it goes into the promotion log")
    seen = versions.aliases(store).get(CHAMPION)
    with embedded_store.locked(store.root):
        number = versions.resolve(store, reference)
        champion = versions.aliases(store).get(CHAMPION)
        if champion == number:
            return [f"version {number} is the champion already"]
        if champion != seen:
            raise UserError(_overtaken(store, number, champion))
        version_files.check(store, number)
        decision = judge(store, number, policy)
        if not decision.allowed and not force:
            raise UserError(
                f"version {number} is not promoted: {'; '.join(decision.reasons)} -- to do it all "
                f'the same: whoswho promote {reference} --force --why "..."'
            )
        probes.check(store, number)
        forced = not decision.allowed
        notes = list(decision.notes)
        if champion is not None and version_files.missing(store, champion):
            notes.append(f"`{PREVIOUS}` stays: version {champion} has no files to go back to")
        elif champion is not None:
            alias_log.move(store, PREVIOUS, champion, why, forced=forced)
        alias_log.move(store, CHAMPION, number, why, forced=forced)
        # Another machine holds no lock of this one, and MLflow moves an alias without a condition.
        now = versions.aliases(store).get(CHAMPION)
        if now != number:
            raise UserError(_overtaken(store, number, now))
    lines = [f"version {number} is the champion"]
    lines += [f"overruled: {reason}" for reason in decision.reasons]
    return lines + [f"note: {note}" for note in notes]


def _overtaken(store: Store, number: int, champion: int | None) -> str:
    """What to say to whoever promotes a version while somebody else promotes another."""
    who = [move.who for move in alias_log.moves(store) if move.after == champion][-1:]
    return (
        f"version {number} is not the champion: {' '.join(who) or 'somebody'} made version "
        f"{champion} champion at the same time; look at `whoswho models`, and promote again if it "
        "is still to be"
    )


def rollback(store: Store, *, why: str = "") -> list[str]:
    """Give the champion's place back to `previous`; the two change places, so it can be undone."""
    with embedded_store.locked(store.root):
        aliases = versions.aliases(store)
        previous, champion = aliases.get(PREVIOUS), aliases.get(CHAMPION)
        if previous is None or champion is None or previous == champion:
            raise UserError(
                "rollback: there is no champion before this one; `whoswho models` lists the "
                "versions, `whoswho promote N` makes one of them champion"
            )
        probes.check(store, previous)
        notes = _changes(store, previous, champion)
        alias_log.move(store, CHAMPION, previous, why or "rollback")
        alias_log.move(store, PREVIOUS, champion, why or "rollback")
    line = f"version {previous} is the champion again; {champion} is `previous`"
    return [line, *(f"note: {note}" for note in notes)]


def rehearse(
    store: Store, reference: str, policy: params.Promote, *, asks_version: bool = True
) -> tuple[bool, list[str]]:
    """Whether `promote` would go through, and all that it would say; nothing moves.

    Args:
        asks_version: whether the version itself is asked if it still answers.
    """
    number = versions.resolve(store, reference)
    if versions.aliases(store).get(CHAMPION) == number:
        return True, [f"version {number} is the champion already"]
    decision = judge(store, number, policy)
    reasons = list(decision.reasons)
    if asks_version:
        try:
            probes.check(store, number)
        except UserError as error:
            reasons.insert(0, str(error))
    verdict = "would be refused" if reasons else "would become the champion"
    lines = [f"version {number} {verdict}; nothing was moved"]
    lines += [f"refused: {reason}" for reason in reasons]
    return not reasons, lines + [f"note: {note}" for note in decision.notes]


def judge(store: Store, number: int, policy: params.Promote) -> gate.GateDecision:
    """What the gate says to a version, against the champion if there is one."""
    champion = versions.aliases(store).get(CHAMPION, number)
    other = None if champion == number else _compared(store, champion)
    return gate.decide(_compared(store, number), other, policy)


def standing(store: Store, workspace: Path) -> Standing:
    """The run and version of the workspace's model, and the command that would promote it."""
    digest = paths.read_json(workspace / paths.REGISTERED)[DIGEST]
    run = runs.finished_run(store, digest)
    name = run.info.run_name if run else None
    aliases = versions.aliases(store)
    champion = aliases.get(CHAMPION)
    number = versions.version_of(store, digest)
    own = tuple(sorted(alias for alias, at in aliases.items() if at == number))
    command, missing = None, ""
    if number is None:
        missing = lost.missing_here(store, workspace)
    elif version_files.missing(store, number):
        missing = f"its files are gone; to register it again: {lost.CURE}"
    elif champion != number:
        allowed = judge(store, number, params.load_params(workspace).promote).allowed
        which = "" if CHALLENGER in own else f" {number}"
        command = f"whoswho promote{which}" + ("" if allowed else ' --force --why "a first try"')
    return Standing(store.project, name, number, own, champion, command, missing)


def table(store: Store, workspace: Path) -> list[str]:
    """The versions as lines of text, and the last moves of the champion."""
    registered = versions.all_versions(store)
    missing = lost.missing_here(store, workspace)
    if not registered:
        none = f"no version of {store.project} is registered yet; `dvc repro` registers one"
        return [missing or none]
    measure = next((v for v in registered if CHAMPION in v.aliases), registered[0])
    elsewhere = [v for v in registered if v.tags.get(SPLIT_TAG) != measure.tags.get(SPLIT_TAG)]
    notes = lost.notes(store, registered)
    head = ("version", "aliases", *versions.SHOWN, "backbone", "registered (UTC)", "")
    rows: list[Sequence[str]] = [head]
    for version in registered:
        mark = "*" if version in elsewhere else ""
        values = [version.metric(name) for name in versions.SHOWN]
        shown = ("-" if value is None else f"{value:.3f}{mark}" for value in values)
        aliases = ", ".join(version.aliases) or "-"
        backbone = version.tags.get("backbone", "-")
        created = version.created.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M")
        note = notes[version.number]
        rows.append((str(version.number), aliases, *shown, backbone, created, note))
    lines = aligned(rows) + [missing] * bool(missing)
    if elsewhere:
        lines.append(
            f"* another split than {measure}'s: judged on other pictures, so not comparable "
            f"(whoswho compare {measure.number} N)"
        )
    champions = [move for move in alias_log.moves(store) if move.alias == CHAMPION]
    return lines + [str(move) for move in champions[-5:]]


def _changes(store: Store, number: int, champion: int) -> list[str]:
    """What users will see change where one version takes the place of another."""
    after, before = _compared(store, number), _compared(store, champion)
    if after.labels and before.labels:
        return gate.changes(after, before)
    return [f"what changes is not known: {after.unreadable or before.unreadable or 'the formats'}"]


def _compared(store: Store, number: int) -> ComparedModel:
    """What the gate needs to know of a version; of one in another format that is its format."""
    name = f"version {number}"
    format_ = store.client.get_model_version(store.project, str(number)).tags.get(FORMAT_TAG)
    if format_ != str(FORMAT):
        return ComparedModel(name, format_)
    try:
        record = version_files.fetch_record(store, number)
    except UserError as error:
        return ComparedModel(name, format_, unreadable=str(error))
    evaluation = record.evaluation
    return ComparedModel(
        name,
        format_,
        labels=record.model.labels,
        untrained_backbone=record.model.backbone.untrained,
        train=record.taught,
        test=record.tested,
        recall=evaluation.recall("test"),
        strangers_caught=evaluation.metrics.get("unknown/strangers_caught"),
        likeness=record.model.likeness,
        shortcuts={
            way: [row.label for row in rows] for way, rows in evaluation.shortcut_labels.items()
        },
    )
