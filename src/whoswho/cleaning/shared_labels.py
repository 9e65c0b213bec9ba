"""The rule about one photograph under several labels.

Under three labels or more it is a placeholder. Under two it stays where its face fits one of
them and not the other; where the faces cannot tell, it goes from both, for a person to decide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from whoswho.cleaning.cases import Case, Related
from whoswho.cleaning.identity import NOT_THIS_PERSON, SWAPPED
from whoswho.cleaning.reasons import CROSS_LABEL, PLACEHOLDER
from whoswho.cleaning.relations import (
    ALIKE,
    CROPPED,
    DUPLICATE,
    NEAR_DUPLICATE,
    Relation,
    families,
    photographs,
)
from whoswho.errors import UserError
from whoswho.params import Clean
from whoswho.wording import plural

# A picture under this many labels is no portrait but what a site shows for a missing one.
PLACEHOLDER_LABELS = 3
# One or two photographs under two labels are an accident, however small the labels are.
FEWEST_SHARED = 3
_NAMED = 3


# (label, other label) -> photograph -> a file of it under each
_Between = dict[tuple[str, str], dict[int, tuple[str, str]]]


@dataclass(frozen=True)
class SharedPhotograph:
    """A picture whose photograph lies under another label too.

    Attributes:
        reason: CROSS_LABEL or PLACEHOLDER.
        other, relation: the first picture of it under another label, by index.
        rivals: all of them; none of a placeholder, which may have thousands.
    """

    reason: str
    score: float
    other: int
    relation: Relation
    rivals: Sequence[int] = ()


@dataclass(frozen=True)
class Shared:
    """What lies under several labels, by index of the picture, and a line about each kind."""

    photographs: Mapping[int, SharedPhotograph]
    notes: Sequence[str]

    def of(self, reason: str) -> dict[int, SharedPhotograph]:
        """Those that are CROSS_LABEL, or PLACEHOLDER."""
        return {i: each for i, each in self.photographs.items() if each.reason == reason}


def find(
    cases: Sequence[Case], related: Related, relations: Sequence[Relation], params: Clean
) -> Shared:
    """What lies under several labels, but for pictures of which a person said what they are.

    Raises:
        UserError: that is more of a label than `cross_label_max_fraction`.
    """
    placeholders = _placeholders(cases, related, relations)
    shared: dict[int, SharedPhotograph] = {}
    known: dict[tuple[int, str], SharedPhotograph | None] = {}
    for index, first in related.first.items():
        if _counts(cases[index]) and not cases[index].is_kept_by_review:
            key = first, cases[index].label
            photograph = known.get(key)
            if key not in known:
                photograph = _photograph(index, cases, related, placeholders)
                # What is under another label is the same for all equal pictures under this one.
                if photograph is None or cases[photograph.other].label != cases[index].label:
                    known[key] = photograph
            if photograph is not None:
                shared[index] = photograph
    family = photographs(len(cases), relations)
    between = _between(cases, related, shared, placeholders.keys(), family)
    different: dict[str, set[int]] = defaultdict(set)
    for index in related.first:
        if cases[index].is_compared and index not in placeholders:
            different[cases[index].label].add(family[index])
    totals = {label: len(own) for label, own in different.items()}
    _check_fractions(between, totals, params)
    notes = _pairs(between, totals)
    files = [family[index] for index in shared if index in placeholders]
    if files:
        pictures = plural(len(set(files)), "placeholder picture")
        notes.append(f"{pictures} in {plural(len(files), 'file')}")
    return Shared(shared, notes)


def _between(
    cases: Sequence[Case],
    related: Related,
    shared: Mapping[int, SharedPhotograph],
    placeholders: Collection[int],
    family: Sequence[int],
) -> _Between:
    """The photographs under each two labels that share so many that it may be no accident.

    Those that a person said something of do not count.
    """
    between: _Between = defaultdict(dict)
    known = set()
    for index, photograph in shared.items():
        key = related.first[index], cases[index].label
        if key in known or any(cases[rival].is_kept_by_review for rival in photograph.rivals):
            continue
        known.add(key)  # equal pictures under one label have the same rivals
        for rival in photograph.rivals:
            if rival not in placeholders:
                between[cases[index].label, cases[rival].label].setdefault(
                    family[index], (cases[index].file, cases[rival].file)
                )
    return {pair: files for pair, files in between.items() if len(files) >= FEWEST_SHARED}


def _photograph(
    index: int, cases: Sequence[Case], related: Related, placeholders: Mapping[int, int]
) -> SharedPhotograph | None:
    copies = [
        (cases[other].label, cases[other].file, other, relation)
        for other, relation in related.same_photograph(index)
        if _counts(cases[other])
    ]
    others = [copy for copy in copies if copy[0] != cases[index].label]
    kept = [other for other in others if cases[other[2]].is_kept_by_review]
    if not copies:  # what it is a copy of went by a person's word
        return None
    if index in placeholders:
        *_, other, relation = min(kept or others or copies, key=lambda copy: copy[:2])
        return SharedPhotograph(PLACEHOLDER, placeholders[index], other, relation)
    if not others:
        return None
    *_, other, relation = min(kept or others, key=lambda copy: copy[:2])
    rivals = [rival for *_, rival, _ in others]
    return SharedPhotograph(CROSS_LABEL, relation.correlation, other, relation, rivals)


def settle(cases: Sequence[Case], shared: Shared, sure: Collection[int]) -> list[str]:
    """Let each photograph under two labels stay under the one its face fits, or go from both.

    Args:
        sure: the pictures whose face fits the label they are under.

    Returns:
        What was decided, one line each.
    """
    index_of = {case.file: index for index, case in enumerate(cases)}

    def best(index: int) -> int:
        """The copy that stands for it under its label."""
        if cases[index].reasons & {DUPLICATE, NEAR_DUPLICATE}:
            return index_of[cases[index].duplicate_of]
        return index

    crossing = shared.of(CROSS_LABEL)
    winners = {
        index
        for index, photograph in crossing.items()
        if index in sure
        and not cases[index].reasons
        and not any(_claims(cases[best(rival)], cases[index]) for rival in photograph.rivals)
    }
    lost = {
        index: min(won)
        for index, photograph in crossing.items()
        if index not in winners
        if (won := winners & {best(rival) for rival in photograph.rivals})
    }
    undecided = 0
    for index, photograph in crossing.items():
        case = cases[index]
        if index in winners:
            case.scores[CROSS_LABEL] = photograph.score
        elif index in lost:
            _give(case, cases[lost[index]], photograph)
        elif SWAPPED in case.reasons:  # the face tells whose it is, whatever else is wrong
            case.scores[CROSS_LABEL] = photograph.score
            case.copies(cases[photograph.other], photograph.relation)
        elif best(index) == index or not {best(index)} & (winners | lost.keys()):
            undecided += 1
            case.add(CROSS_LABEL, photograph.score)
            case.other_label = cases[photograph.other].label
            case.copies(cases[photograph.other], photograph.relation)
    return _notes(len(winners), undecided)


def _notes(winners: int, undecided: int) -> list[str]:
    notes = []
    if winners:
        stay = "stays" if winners == 1 else "stay"
        notes.append(
            f"{plural(winners, 'picture')} of two labels {stay} under the one the face fits"
        )
    if undecided:
        notes.append(
            f"{plural(undecided, 'file')} of pictures under two labels dropped from both, as "
            "no face tells whose they are: decide with `whoswho review` (cross_label)"
        )
    return notes


def _claims(rival: Case, case: Case) -> bool:
    """Whether it may be a photograph of the rival's person: not ruled out, or nearer to it."""
    own, theirs = case.scores[NOT_THIS_PERSON], rival.scores.get(NOT_THIS_PERSON)
    return rival.is_kept or (theirs is not None and theirs < own)


def _give(case: Case, winner: Case, photograph: SharedPhotograph) -> None:
    """Note that the photograph is the other label's, as `winner` shows."""
    case.scores[CROSS_LABEL] = photograph.score
    case.copies(winner, photograph.relation)
    if case.reasons & {NOT_THIS_PERSON, SWAPPED}:
        case.reasons -= {NOT_THIS_PERSON, SWAPPED}
        own, theirs = (each.scores[NOT_THIS_PERSON] for each in (case, winner))
        case.add(SWAPPED, round(own - theirs, 4))
        case.other_label = winner.label


def _placeholders(
    cases: Sequence[Case], related: Related, relations: Sequence[Relation]
) -> dict[int, int]:
    """The pictures that lie whole under PLACEHOLDER_LABELS or more, in any size, and how many.

    Crops are left out: of a photograph of three people each may have one.
    """
    pairs = [
        (relation.a, relation.b)
        for relation in relations
        if relation.kind != ALIKE and relation.overlap >= CROPPED
    ]
    whole = families(len(cases), [*pairs, *related.first.items()])
    labels: dict[int, set[str]] = defaultdict(set)
    for index in related.first:
        if _counts(cases[index]):
            labels[whole[index]].add(cases[index].label)
    under = {index: len(labels[whole[index]]) for index in related.first}
    return {index: count for index, count in under.items() if count >= PLACEHOLDER_LABELS}


def _counts(case: Case) -> bool:
    return case.is_compared and not case.is_dropped_by_review


def _pairs(between: _Between, totals: Mapping[str, int]) -> list[str]:
    """The labels that share the most photographs, a line each."""
    many = sorted(
        (-len(files), label, other)
        for (label, other), files in between.items()
        if (totals[label], label) <= (totals[other], other)
    )
    return [
        f"{-count} of {totals[label]} pictures of {label!r} lie under {other!r} too"
        for count, label, other in many[:_NAMED]
    ]


def _check_fractions(between: _Between, totals: Mapping[str, int], params: Clean) -> None:
    """Photographs are counted, not files: five sizes of one picture are one accident."""

    def fraction(pair: tuple[str, str]) -> float:
        return len(between[pair]) / totals[pair[0]]

    worst = max(sorted(between), key=fraction, default=None)
    if worst is None or fraction(worst) <= params.cross_label_max_fraction:
        return
    label, other = worst
    files = between[worst]
    file, other_file = min(files.values())
    raise UserError(
        f"data: {len(files)} of {totals[label]} pictures of {label!r} lie under "
        f"{other!r} too (such as {file} and {other_file}): one person under two names, or a "
        "crawl gone wrong; put the two in one folder, delete the wrong copies, or raise "
        "clean.cross_label_max_fraction"
    )
