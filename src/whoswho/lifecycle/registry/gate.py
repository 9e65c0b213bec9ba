"""May this model become the champion? A pure function of what is known of the two.

Where their lists of people differ they are compared on the people both know; a newcomer stands on
its own feet: its recall, and how alike its pictures are.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from whoswho.artifacts.model.description import FORMAT, other_format
from whoswho.artifacts.predictions import WAYS, PredictionRow
from whoswho.evaluation.significance import mcnemar
from whoswho.params import Promote


@dataclass(frozen=True)
class ComparedModel:
    """What the gate knows of a model. Pictures are named by the sha256 of their file.

    Attributes:
        format: the number of its format; only today's can be judged.
        unreadable: why nothing else is known of it; empty where it is.
        train: the pictures that taught it.
        test: its answers to the test pictures.
        recall: of each label on test; None where test has none of its pictures.
        strangers_caught: fraction of the pictures of people left out in turn that it calls
            unknown; None where that was not measured.
        likeness: how alike the pictures of a label are, see `ModelDescription`.
        shortcuts: way -> labels that are told so without their faces, above chance.
    """

    name: str
    format: str | None
    unreadable: str = ""
    labels: tuple[str, ...] = ()
    untrained_backbone: bool = False
    train: frozenset[str] = frozenset()
    test: Mapping[str, PredictionRow] = field(default_factory=dict)
    recall: Mapping[str, float | None] = field(default_factory=dict)
    strangers_caught: float | None = None
    likeness: Mapping[str, float] = field(default_factory=dict)
    shortcuts: Mapping[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class GateDecision:
    """Whether the candidate may pass; every reason why not, and what was compared."""

    allowed: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...]


def decide(
    candidate: ComparedModel, champion: ComparedModel | None, policy: Promote
) -> GateDecision:
    """Ask everything the policy asks, so that a refusal names all its reasons at once."""
    for model in (candidate, champion):
        if model and model.unreadable:
            reason = f"cannot compare: {model.unreadable}"
            if model is champion:
                reason += "; `whoswho promote --force --why` goes on without it"
            return GateDecision(False, (reason,), ())
        if model and model.format != str(FORMAT):
            cure = other_format(model.format)
            if model is champion:
                cure = "the two cannot be compared; `whoswho promote --force --why` overrules"
            reason = f"{model.name} is of format {model.format}, this code reads format {FORMAT}"
            return GateDecision(False, (f"{reason}; {cure}",), ())
    reasons = _alone(candidate, policy)
    notes = [
        f"told without the face above chance, by {WAYS[way]}: {_names(labels)}"
        for way, labels in candidate.shortcuts.items()
    ]
    if champion is None:
        notes.append("there is no champion to compare with")
    else:
        worse, compared = _against(candidate, champion, policy)
        reasons += worse
        notes += compared
    return GateDecision(not reasons, tuple(reasons), tuple(notes))


def changes(candidate: ComparedModel, champion: ComparedModel) -> list[str]:
    """What users will see change: people who come and go, and answers to common test pictures."""
    lines = _people(candidate, champion)
    common = _common(candidate, champion)
    pairs = {p: (champion.test[p].told, candidate.test[p].told) for p in common}
    other = {p: pair for p, pair in pairs.items() if pair[0] != pair[1]}
    if common:
        counted = Counter((candidate.test[p].actual, *pair) for p, pair in other.items())
        shown = [
            f"{actual}: {before} -> {after}" + (f" ({n})" if n > 1 else "")
            for (actual, before, after), n in sorted(counted.items(), key=lambda i: (-i[1], i[0]))
        ]
        text = f"{len(other)} of {len(common)} answers to common test pictures change"
        lines.append(f"{text}: {_names(shown)}" if shown else text)
    return lines


def _alone(candidate: ComparedModel, policy: Promote) -> list[str]:
    reasons = []
    if candidate.untrained_backbone:
        reasons.append("its backbone is untrained (random weights): it never saw a picture")
    if not candidate.test:
        return [*reasons, "it has no test pictures: nothing judges it"]
    taught = set(candidate.test) & candidate.train
    if taught:
        reasons.append(f"{len(taught)} of its {len(candidate.test)} test pictures also taught it")
    untested = [label for label in candidate.labels if candidate.recall.get(label) is None]
    if untested:
        reasons.append(f"no test picture of {_names(untested)}")
    low = [
        f"{label} ({recall:.2f})"
        for label in candidate.labels
        if (recall := candidate.recall.get(label)) is not None and recall < policy.recall_floor
    ]
    if low:
        reasons.append(f"recall below {policy.recall_floor:g} of {_names(low)}")
    return reasons


def _against(
    candidate: ComparedModel, champion: ComparedModel, policy: Promote
) -> tuple[list[str], list[str]]:
    known = set(candidate.labels) & set(champion.labels)
    if not known:
        return [f"it knows none of the people of {champion.name}"], changes(candidate, champion)
    reasons, notes = _on_common(candidate, champion, policy)
    newcomers = [label for label in candidate.labels if label not in known]
    alike, unmeasured = _newcomers(candidate, newcomers, known, policy)
    strangers, told = _strangers(candidate, champion, policy)
    reasons += [*alike, *strangers]
    return reasons, [*notes, *unmeasured, *told, *changes(candidate, champion)]


def _common(candidate: ComparedModel, champion: ComparedModel) -> list[str]:
    """The test pictures of both, of people both know."""
    known = set(candidate.labels) & set(champion.labels)
    both = set(candidate.test) & set(champion.test)
    return sorted(picture for picture in both if candidate.test[picture].actual in known)


def _on_common(
    candidate: ComparedModel, champion: ComparedModel, policy: Promote
) -> tuple[list[str], list[str]]:
    """The answers to the test pictures of both, judged by the labels of today."""
    known = set(candidate.labels) & set(champion.labels)
    tested = {picture for picture, judged in candidate.test.items() if judged.actual in known}
    reasons = []
    if seen := tested & champion.train:
        reasons.append(
            f"{len(seen)} of its {len(candidate.test)} test pictures taught {champion.name}, "
            "so the two cannot be compared"
        )
    common = _common(candidate, champion)
    if not common:
        return [*reasons, f"it shares no test picture with {champion.name}"], []
    actual = {picture: candidate.test[picture].actual for picture in common}
    right = {p for p in common if candidate.test[p].predicted == actual[p]}
    right_before = {p for p in common if champion.test[p].predicted == actual[p]}
    p = mcnemar(len(right - right_before), len(right_before - right))
    ours, theirs = len(right), len(right_before)
    whose = "" if set(candidate.labels) == set(champion.labels) else " of the people both know"
    compared = (
        f"{ours} against {theirs} right of {len(common)} common test pictures{whose} "
        f"(McNemar p = {p:.3f})"
    )
    # Counted in pictures, so that no rounding decides.
    if theirs - ours > policy.margin * len(common) + 1e-9:
        reasons.append(f"worse than {champion.name} beyond {policy.margin:g}: {compared}")
    elif policy.significance is not None and not (ours > theirs and p < policy.significance):
        reasons.append(
            f"not better than {champion.name} at significance {policy.significance:g}: {compared}"
        )
    return reasons, [compared]


def _newcomers(
    candidate: ComparedModel, newcomers: Sequence[str], known: Set[str], policy: Promote
) -> tuple[list[str], list[str]]:
    """Whether the pictures of each newcomer seem to be of one person."""
    measured = candidate.likeness
    others = [measured[label] for label in sorted(known) if label in measured]
    unknown = [label for label in newcomers if label not in measured]
    notes = []
    if unknown or (newcomers and not others):
        notes.append(
            f"whether the pictures of {_names(unknown or newcomers)} are of one person was not "
            "measured: that needs stored features (backbone.unfreeze: 0)"
        )
    usual = statistics.median(others) if others else 0.0
    mixed = [
        f"{label} ({measured[label]:.2f} against {usual:.2f})"
        for label in newcomers
        if usual > 0 and measured.get(label, usual) < policy.newcomer_likeness * usual
    ]
    if not mixed:
        return [], notes
    reason = (
        f"pictures of other people seem to lie among those of {_names(mixed)}: a fifth of them "
        "are less like the rest than those of the people known before; look at them with "
        "`whoswho review`"
    )
    return [reason], notes


def _strangers(
    candidate: ComparedModel, champion: ComparedModel, policy: Promote
) -> tuple[list[str], list[str]]:
    """Whether it names more strangers: each label left out in turn, as train measures it."""
    ours, theirs = candidate.strangers_caught, champion.strangers_caught
    if ours is None or theirs is None:
        if theirs is None:
            return [], []
        return [], [f"how many strangers it names was not measured ({champion.name}: it was)"]
    if ours < theirs - policy.strangers_margin:
        return [
            f"it names more strangers than {champion.name}: of people left out in turn "
            f"{ours:.0%} are unknown to it, {theirs:.0%} to {champion.name} "
            f"(strangers_margin {policy.strangers_margin:g})"
        ], []
    return [], []


def _people(candidate: ComparedModel, champion: ComparedModel) -> list[str]:
    new = sorted(set(candidate.labels) - set(champion.labels))
    gone = sorted(set(champion.labels) - set(candidate.labels))
    named = [f"new {_names(new)}"] if new else []
    named += [f"gone {_names(gone)}"] if gone else []
    return [f"other people than {champion.name}: {', '.join(named)}"] if named else []


def _names(labels: Sequence[str], shown: int = 5) -> str:
    more = f" and {len(labels) - shown} more" if len(labels) > shown else ""
    return ", ".join(labels[:shown]) + more
