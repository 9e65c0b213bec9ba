"""The rule about one photograph under several labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from whoswho.cleaning.cases import Case, Related
from whoswho.cleaning.reasons import CROSS_LABEL, PLACEHOLDER
from whoswho.cleaning.relations import ALIKE, Families, Relation
from whoswho.errors import UserError
from whoswho.params import Clean

# A picture under this many labels is no portrait but what a site shows for a missing one.
PLACEHOLDER_LABELS = 3
# One or two photographs under two labels are an accident, however small the labels are.
FEWEST_SHARED = 3


@dataclass(frozen=True)
class SharedLabel:
    """Why a picture under several labels goes, and the picture under another label, by index."""

    reason: str
    score: float
    other: int
    other_label: str
    relation: Relation


def find(
    cases: Sequence[Case], related: Related, relations: Sequence[Relation], params: Clean
) -> dict[int, SharedLabel]:
    """What lies under several labels, but for pictures of which a person said what they are.

    Raises:
        UserError: that would take more of a label than `cross_label_max_fraction`.
    """
    photographs = Families(len(cases))
    for relation in relations:
        if relation.kind != ALIKE:
            photographs.join(relation.a, relation.b)
    shared: dict[int, SharedLabel] = {}
    # (label, other label) -> photograph -> files of it under each
    between: dict[tuple[str, str], dict[int, tuple[str, str]]] = defaultdict(dict)
    for index in related.first:
        case = cases[index]
        if not case.is_compared or case.is_dropped_by_review or case.is_kept_by_review:
            continue
        others = [
            (cases[other].label, cases[other].file, other, relation)
            for other, relation in related.same_photograph(index)
            if cases[other].label != case.label
            and cases[other].is_compared
            and not cases[other].is_dropped_by_review
        ]
        if not others:
            continue
        kept = [other for other in others if cases[other[2]].is_kept_by_review]
        shared[index] = _shared(case.label, others, min(kept or others, key=lambda o: o[:2]))
        if not kept:
            for other_label, file, *_ in others:
                files = (case.file, file)
                between[case.label, other_label].setdefault(photographs.of(index), files)
    totals: dict[str, set[int]] = defaultdict(set)
    for index in related.first:
        if cases[index].is_compared:
            totals[cases[index].label].add(photographs.of(index))
    _check_fractions(between, {label: len(group) for label, group in totals.items()}, params)
    return shared


def _shared(
    label: str,
    others: Sequence[tuple[str, str, int, Relation]],
    first: tuple[str, str, int, Relation],
) -> SharedLabel:
    other_label, _, other, relation = first
    labels = len({label, *(other[0] for other in others)})
    if labels >= PLACEHOLDER_LABELS:
        return SharedLabel(PLACEHOLDER, labels, other, "", relation)
    return SharedLabel(CROSS_LABEL, relation.correlation, other, other_label, relation)


def _check_fractions(
    between: Mapping[tuple[str, str], Mapping[int, tuple[str, str]]],
    totals: Mapping[str, int],
    params: Clean,
) -> None:
    """Photographs are counted, not files: five sizes of one picture are one accident."""
    fractions = {
        pair: len(files) / totals[pair[0]]
        for pair, files in sorted(between.items())
        if len(files) >= FEWEST_SHARED
    }
    worst = max(fractions, key=lambda pair: fractions[pair], default=None)
    if worst is None or fractions[worst] <= params.cross_label_max_fraction:
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
