"""May this model become the champion? A pure function of what is known of the two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from whoswho.artifacts.model.description import FORMAT, REGISTER_ANEW
from whoswho.evaluation.measures import mcnemar
from whoswho.params import Promote


@dataclass(frozen=True)
class ComparedModel:
    """What the gate knows of a model. Pictures are named by the sha256 of their file.

    Attributes:
        format: the number of its format; only today's can be judged.
        unreadable: why nothing else is known of it; empty where it is.
        train: the pictures that taught it.
        test: of each test picture, whether the answer was right.
        recall: of each label on test; None where test has none of its pictures.
    """

    name: str
    format: str | None
    unreadable: str = ""
    labels: tuple[str, ...] = ()
    untrained_backbone: bool = False
    train: frozenset[str] = frozenset()
    test: Mapping[str, bool] = field(default_factory=dict)
    recall: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """Whether the candidate may pass; every reason why not, and what was compared."""

    allowed: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...]


def decide(candidate: ComparedModel, champion: ComparedModel | None, policy: Promote) -> Decision:
    """Ask everything the policy asks, so that a refusal names all its reasons at once."""
    for model in (candidate, champion):
        if model and model.unreadable:
            reason = f"cannot compare: {model.unreadable}"
            if model is champion:
                reason += "; `whoswho promote --force --why` goes on without it"
            return Decision(False, (reason,), ())
        if model and model.format != str(FORMAT):
            cure = REGISTER_ANEW
            if model is champion:
                cure = "the two cannot be compared; `whoswho promote --force --why` overrules"
            reason = f"{model.name} is of format {model.format}, this code reads format {FORMAT}"
            return Decision(False, (f"{reason}; {cure}",), ())
    reasons = _alone(candidate, policy)
    notes: list[str] = []
    if champion is None:
        notes.append("there is no champion to compare with")
    elif set(candidate.labels) != set(champion.labels):
        reasons.append(_other_labels(candidate, champion))
    else:
        seen = set(candidate.test) & champion.train
        if seen:
            reasons.append(
                f"{len(seen)} of its {len(candidate.test)} test pictures taught {champion.name}, "
                "so the two cannot be compared"
            )
        worse, compared = _against(candidate, champion, policy)
        reasons += worse
        notes += compared
    return Decision(not reasons, tuple(reasons), tuple(notes))


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
    common = sorted(set(candidate.test) & set(champion.test))
    if not common:
        return [f"it shares no test picture with {champion.name}"], []
    ours = sum(candidate.test[picture] for picture in common)
    theirs = sum(champion.test[picture] for picture in common)
    better = sum(candidate.test[p] and not champion.test[p] for p in common)
    worse = sum(champion.test[p] and not candidate.test[p] for p in common)
    p = mcnemar(better, worse)
    compared = (
        f"{ours} against {theirs} right of {len(common)} common test pictures "
        f"(McNemar p = {p:.3f})"
    )
    reasons = []
    # Counted in pictures, so that no rounding decides.
    if theirs - ours > policy.margin * len(common) + 1e-9:
        reasons.append(f"worse than {champion.name} beyond {policy.margin:g}: {compared}")
    elif policy.significance is not None and not (ours > theirs and p < policy.significance):
        reasons.append(
            f"not better than {champion.name} at significance {policy.significance:g}: {compared}"
        )
    return reasons, [compared]


def _other_labels(candidate: ComparedModel, champion: ComparedModel) -> str:
    new = sorted(set(candidate.labels) - set(champion.labels))
    gone = sorted(set(champion.labels) - set(candidate.labels))
    changes = [f"new {_names(new)}"] if new else []
    changes += [f"gone {_names(gone)}"] if gone else []
    return f"other labels than {champion.name}: {', '.join(changes)}"


def _names(labels: list[str], shown: int = 5) -> str:
    more = f" and {len(labels) - shown} more" if len(labels) > shown else ""
    return ", ".join(labels[:shown]) + more
