"""Which pictures stay: the rules over the evidence, one under the other; none undoes another.

Nothing is read or written here: the same evidence, params and reviews give the same decisions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np

from whoswho.artifacts.decisions import DROPPED, KEPT, Decision
from whoswho.artifacts.split import Overlap
from whoswho.cleaning import identity, people, shared_labels
from whoswho.cleaning.cases import Case, Related
from whoswho.cleaning.evidence import Evidence, PictureEvidence
from whoswho.cleaning.identity import NOT_THIS_PERSON, Judgement
from whoswho.cleaning.people import FaceEvidence
from whoswho.cleaning.reasons import (
    BRIGHTNESS,
    NO_LABEL,
    PLACEHOLDER,
    REASONS,
    REVIEW,
    failed,
    measured,
)
from whoswho.cleaning.relations import (
    CROPPED,
    DUPLICATE,
    NEAR_DUPLICATE,
    Relation,
    look_alike_groups,
)
from whoswho.cleaning.shared_labels import Shared
from whoswho.dataset.review import Review
from whoswho.params import Clean
from whoswho.pictures import embedding
from whoswho.pictures.faces import main_face

OFF = "off"

Reviews = Mapping[tuple[str, str], Review]


@dataclass(frozen=True)
class Decided:
    """What the evidence comes to.

    Attributes:
        overlaps: kept pictures of one photograph in two splits of a set that came split.
        identity: what the faces say of each other.
        identity_model: that told the faces apart; OFF: none did.
        notes: what the user should know about pictures under several labels, one line each.
    """

    decisions: list[Decision]
    overlaps: list[Overlap]
    identity: Judgement
    identity_model: str
    notes: Sequence[str]


def decide(evidence: Evidence, params: Clean, reviews: Reviews) -> Decided:
    """The decision about every picture.

    Args:
        reviews: what a person decided, by sha256 and the label the file lies under.

    Raises:
        UserError: one label shares too many pictures with another.
    """
    cases, related, shared = _before_faces(evidence, params, reviews)
    looked = _drop_by_faces(cases, evidence, params)
    judgement, model, sure = _drop_strangers(cases, looked, shared, evidence, params)
    settled = shared_labels.settle(cases, shared, sure)
    groups = _groups(cases, related, evidence.relations)
    decisions = [_decision(case, groups.get(index, "")) for index, case in enumerate(cases)]
    notes = [*shared.notes, *settled]
    return Decided(decisions, _overlaps(cases, related), judgement, model, notes)


def needs_faces(evidence: Evidence, params: Clean, reviews: Reviews) -> list[int]:
    """The pictures whose faces `decide` would ask for and which the evidence lacks.

    Ask again once they are known: where a group goes for its faces, a crop of it may stay. What
    only its brightness speaks against is looked at too: a lit face on black is no bad picture.

    Raises:
        UserError: as `decide`.
    """
    if params.faces != "one":
        return []
    cases, *_ = _before_faces(evidence, params, reviews)
    return [
        index
        for index, case in enumerate(cases)
        if index not in evidence.faces
        and (case.is_kept or (case.is_decoded and case.reasons <= BRIGHTNESS))
    ]


def _before_faces(
    evidence: Evidence, params: Clean, reviews: Reviews
) -> tuple[list[Case], Related, Shared]:
    """The rules up to those that need the faces of what is left."""
    cases = [_case(picture, reviews) for picture in evidence.pictures]
    related = Related(cases, evidence.relations)
    for index, case in enumerate(cases):
        _drop_alone(case, evidence.faces.get(index), params)
    _keep_one_of_equal(cases, related)
    shared = shared_labels.find(cases, related, evidence.relations, params)
    placeholders = shared.of(PLACEHOLDER)
    _drop_copies(cases, related, evidence, placeholders.keys(), params)
    for index, why in placeholders.items():
        cases[index].add(why.reason, why.score)
        cases[index].copies(cases[why.other], why.relation)
    return cases, related, shared


def _case(picture: PictureEvidence, reviews: Reviews) -> Case:
    """A picture under the label it counts under: another where a person moved it."""
    reviewed = reviews.get((picture.sha256, picture.file.label))
    label = reviewed.other_label if reviewed and reviewed.other_label else picture.file.label
    return Case(picture, label, reviewed)


def _drop_alone(case: Case, faces: FaceEvidence | None, params: Clean) -> None:
    """What a file says for itself, and what a person said of it.

    Brightness is the main face's where one was found: what is around it may be black or white.
    """
    if not case.evidence.file.label:
        case.add(NO_LABEL)
    if case.evidence.reason:
        case.add(case.evidence.reason)
    quality = case.evidence.quality
    if quality is not None:
        if faces is not None and faces.brightness is not None:
            quality = replace(quality, brightness=faces.brightness)
        case.scores |= measured(quality)
        case.reasons.update(failed(quality, params))
    if case.is_dropped_by_review:
        case.add(REVIEW)


def _keep_one_of_equal(cases: Sequence[Case], related: Related) -> None:
    """A row of review.csv keeps a picture, not each of its equal copies."""
    seen = set()
    for index in sorted(related.first, key=lambda index: cases[index].rank):
        case = cases[index]
        if case.is_kept_by_review:
            key = (related.first[index], case.label, case.split)
            if key in seen:
                case.review = None
            seen.add(key)


def _drop_copies(
    cases: Sequence[Case],
    related: Related,
    evidence: Evidence,
    placeholders: Set[int],
    params: Clean,
) -> None:
    """Of the pictures of one photograph under one label (and in one split) let the best stay.

    A crop stays beside a picture that goes for its faces: it may show one person of a group.
    """

    def goes_for_faces(index: int) -> bool:
        looked = evidence.faces.get(index)
        return (
            looked is not None
            and index not in placeholders
            and not cases[index].is_kept_by_review
            and bool(people.problem(looked, params))
        )

    stays: set[int] = set()
    for index in related.best_first(cases):
        case = cases[index]
        may_stay = not case.reasons and index not in placeholders
        better = [
            (relation.kind != DUPLICATE, cases[other].file, other, relation)
            for other, relation in related.same_photograph(index, among=stays)
            if (cases[other].label, cases[other].split) == (case.label, case.split)
            and not (may_stay and relation.overlap < CROPPED and goes_for_faces(other))
        ]
        if better and not case.is_kept_by_review:
            *_, other, relation = min(better, key=lambda copy: copy[:2])
            near = relation.kind == NEAR_DUPLICATE
            case.add(relation.kind, relation.correlation if near else None)
            case.copies(cases[other], relation)
        elif not case.reasons or case.is_kept_by_review:
            stays.add(index)


def _drop_by_faces(
    cases: Sequence[Case], evidence: Evidence, params: Clean
) -> dict[int, FaceEvidence]:
    """Drop what has no face or several; return what was found in the pictures that were left."""
    if params.faces != "one":
        return {}
    left = {
        index: evidence.faces[index]
        for index, case in enumerate(cases)
        if case.is_kept and index in evidence.faces
    }
    for index, faces in left.items():
        case = cases[index]
        case.face_evidence = faces
        case.faces = people.counted(faces, params)
        case.scores |= people.scores(faces)
        problem = people.problem(faces, params)
        if problem:
            case.add(problem)
    return left


def _drop_strangers(
    cases: Sequence[Case],
    looked: Mapping[int, FaceEvidence],
    shared: Shared,
    evidence: Evidence,
    params: Clean,
) -> tuple[Judgement, str, set[int]]:
    """Drop the faces that are not of their label's person.

    Returns:
        What the embeddings say, by which model (OFF: by none), and the pictures under two labels
        whose face fits the one they are under.
    """
    if params.faces != "one" or params.identity_false_alarm_rate == 0:
        return Judgement(), OFF, set()
    if not evidence.can_embed:
        note = (
            "not_this_person and swapped are OFF: dlib or its weights are not installed "
            "(pip install -c constraints.txt dlib-bin face-recognition-models)"
        )
        return Judgement(notes=[note]), OFF, set()
    known = [index for index, faces in looked.items() if faces.vector is not None]
    vectors = np.array([looked[index].vector for index in known], np.float64)
    judgement = identity.judge(
        vectors.reshape(len(known), embedding.SIZE),
        [cases[index].label for index in known],
        [cases[index].is_kept_by_review for index in known],
        params.identity_false_alarm_rate,
        [index in shared.photographs for index in known],
    )
    for row, distance in judgement.distances.items():
        cases[known[row]].scores[NOT_THIS_PERSON] = round(distance, 4)
    for row, verdict in judgement.verdicts.items():
        case = cases[known[row]]
        case.add(verdict.reason, verdict.nearer)
        case.other_label = verdict.other_label
    return judgement, embedding.MODEL, {known[row] for row in judgement.sure}


def _groups(
    cases: Sequence[Case], related: Related, relations: Sequence[Relation]
) -> dict[int, str]:
    """The name of each picture's group of look-alikes: the smallest hash in it."""
    prints = [case.evidence.fingerprint for case in cases]
    group_of = look_alike_groups(relations, [each.pixels if each else "" for each in prints])
    smallest: dict[int, str] = {}
    for index in related.first:
        group, sha256 = group_of[index], cases[index].evidence.sha256
        smallest[group] = min(sha256, smallest.get(group, sha256))
    return {index: smallest[group_of[index]] for index in related.first}


def _overlaps(cases: Sequence[Case], related: Related) -> list[Overlap]:
    kept = {index for index, case in enumerate(cases) if case.is_kept}
    rows = [
        Overlap(cases[index].file, cases[index].split, cases[other].file, cases[other].split)
        for index in kept
        for other, _ in related.same_photograph(index, among=kept)
        if index < other and cases[index].split != cases[other].split
    ]
    return sorted(rows, key=lambda row: (row.file_a, row.file_b))


def _decision(case: Case, group: str) -> Decision:
    evidence, size = case.evidence, case.evidence.quality
    reasons = tuple(reason for reason in REASONS if reason in case.reasons)
    return Decision(
        file=case.file,
        label=case.label,
        split=case.split,
        decision=KEPT if case.is_kept else DROPPED,
        reasons=() if case.is_kept else reasons,
        overruled=reasons if case.is_kept else (),
        scores={name: case.scores.get(name) for name, row in REASONS.items() if row.score},
        duplicate_of=case.duplicate_of,
        mirrored=case.is_mirrored,
        other_label=case.other_label,
        detail=evidence.detail or case.detail,
        sha256=evidence.sha256,
        width=size.width if size else None,
        height=size.height if size else None,
        format=evidence.format,
        group=group,
        faces=case.faces,
        main_face=main_face(case.face_evidence.faces) if case.face_evidence else None,
        other_faces=case.face_evidence.faces[1:] if case.face_evidence else (),
        reviewed=case.review.decision if case.review else "",
        review_why=case.review.why if case.review else "",
        picture=_picture_path(case) if case.is_kept else "",
    )


def _picture_path(case: Case) -> str:
    """Where a kept file lies below pictures/: as in data/, under the label it counts under."""
    inner = case.file.split("/", 2 if case.split else 1)[-1]
    if case.label != case.evidence.file.label:
        # Another file of that name may lie under the other label.
        path = PurePosixPath(inner)
        inner = str(path.with_name(f"{path.stem}_{case.evidence.sha256[:8]}{path.suffix}"))
    return "/".join(filter(None, (case.split, case.label, inner)))
