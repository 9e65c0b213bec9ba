"""All checks over data/, and what stays. Bad pictures never stop them, a bad set does."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from whoswho.artifacts import decisions as artifact
from whoswho.artifacts.decisions import DROPPED, KEPT, Decision, FaceSettings, sentence
from whoswho.artifacts.overlaps import Overlap, write_overlaps
from whoswho.cleaning import duplicates, people, quality
from whoswho.cleaning.duplicates import ALIKE, DUPLICATE, NEAR_DUPLICATE, Families, Relation
from whoswho.cleaning.identity import NOT_THIS_PERSON, SWAPPED, Judgement
from whoswho.cleaning.people import NO_FACE, SEVERAL_FACES
from whoswho.cleaning.quality import Quality
from whoswho.cleaning.reasons import CROSS_LABEL, NO_LABEL, PLACEHOLDER, REASONS, REVIEW
from whoswho.dataset import review
from whoswho.dataset.listing import ListedFile, Listing, scan
from whoswho.dataset.review import Review
from whoswho.errors import UserError
from whoswho.params import Clean
from whoswho.pictures import opening, workers
from whoswho.pictures.face_cache import FaceCache
from whoswho.pictures.faces import Face, count, main_face

__all__ = ["KEPT", "Decision", "Outcome", "run", "scan", "sentence", "survey"]

# A picture under this many labels is no portrait but what a site shows for a missing one.
PLACEHOLDER_LABELS = 3
# One or two photographs under two labels are an accident, however small the labels are.
FEWEST_SHARED = 3
# A picture that shows less than this of another is a crop of it: somebody may have been cut away.
CROPPED = 0.97


@dataclass(frozen=True)
class Facts:
    """What one file says for itself; `reason` is why there are no pixels."""

    sha256: str = ""
    reason: str = ""
    detail: str = ""
    format: str = ""
    width: int = 0
    height: int = 0
    quality: Quality | None = None
    fingerprint: duplicates.Fingerprint | None = None


@dataclass
class _Picture:
    """A file on its way through the checks."""

    source: ListedFile
    facts: Facts
    label: str
    review: Review | None
    reasons: set[str] = field(default_factory=set)
    scores: dict[str, float] = field(default_factory=dict)
    duplicate_of: str = ""
    is_mirrored: bool = False
    other_label: str = ""
    group: str = ""
    faces: Sequence[Face] | None = None
    faces_counted: int = 0

    @property
    def decoded(self) -> bool:
        return self.facts.quality is not None and bool(self.label)

    @property
    def is_kept_by_review(self) -> bool:
        return self.decoded and self.review is not None and self.review.decision == review.KEEP

    @property
    def is_dropped_by_review(self) -> bool:
        return self.review is not None and self.review.decision == review.DROP

    @property
    def compares(self) -> bool:
        """Whether what it shows can be compared: decoded and not blank."""
        return self.decoded and quality.BLANK not in self.reasons

    @property
    def kept(self) -> bool:
        return self.decoded and (self.is_kept_by_review or not self.reasons)


@dataclass(frozen=True)
class Outcome:
    """Every file's decision, look-alikes over the borders of a set already split, and notes."""

    decisions: list[Decision]
    overlaps: list[Overlap]
    listing: Listing
    notes: Sequence[str] = ()


def run(
    data: Path,
    limits: Clean,
    reviews: Sequence[Review],
    out: Path,
    worker_count: int | None = None,
    review_path: Path = Path("review.csv"),
    faces: Path | None = None,
) -> Outcome:
    """Check every file of `data`, copy what stays to `out`/pictures, write the tables beside it.

    Args:
        reviews: what a person decided (`review.read`); `review_path` names the file in messages.
        out: an empty folder; gets pictures/, decisions.csv, overlaps.csv and faces.json.
        worker_count: processes; None takes one per core.
        faces: the folder of what was found in earlier runs (`FaceCache`); None keeps nothing.

    Raises:
        UserError: about the set or the review, never about a single picture.
    """
    listing = scan(data)
    with tempfile.TemporaryFile() as store:
        pictures = _look(listing.files, store, worker_count)
        _review(pictures, reviews, review_path)
        for picture in pictures:
            _judge_alone(picture, limits)
        related = _relate(pictures, store, limits)
    _judge_twins(pictures, related, related.node)
    _judge_labels(pictures, related, limits)
    with FaceCache(faces) as cache:
        judgement, model = _judge_faces(pictures, related, limits, cache, worker_count)
    notes = [*judgement.notes, *filter(None, [cache.problem])]
    _group(pictures, related)
    _check_enough_left(pictures, listing)

    decisions = [_decision(picture) for picture in pictures]
    overlaps = _overlaps(pictures, related) if listing.ready_split else []
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    for picture, decision in zip(pictures, decisions, strict=True):
        if decision.kept:
            target = out / "pictures" / decision.picture
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture.source.path, target)
    artifact.write_decisions(out, decisions)
    write_overlaps(out, overlaps)
    artifact.write_face_settings(
        out,
        FaceSettings(
            faces=limits.faces,
            probability=limits.face_probability,
            min_size=limits.min_face_size,
            identity=model,
            identity_limits=judgement.limits,
            identity_notes=judgement.notes,
        ),
    )
    return Outcome(decisions, overlaps, listing, notes)


def survey(data: Path) -> str:
    """What lies in data/ in one phrase, nothing opened: `231 files of 5 labels in data/`.

    Raises:
        UserError: see `scan`.
    """
    listing = scan(data)
    counts = listing.counts
    phrase = f"{sum(counts.values())} files of {len(counts)} labels in {data.name}/"
    return "; ".join([phrase + (", split already" if listing.ready_split else ""), *listing.notes])


# --- One picture at a time -----------------------------------------------------------------------


def examine(source: ListedFile) -> Facts:
    """Open one file completely and measure it; runs in any process."""
    if source.problem:
        return Facts(reason=opening.UNREADABLE, detail=source.problem)
    try:
        data = opening.read_bytes(source.path)
    except opening.ImageOpenError as unfit:
        return Facts(_hash_of(source.path), unfit.reason, unfit.detail)
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        opened = opening.open_with_format(data)
    except opening.ImageOpenError as unfit:
        return Facts(sha256, unfit.reason, unfit.detail)
    return Facts(
        sha256,
        format=opened.format,
        width=opened.width,
        height=opened.height,
        quality=quality.measure(opened.image),
        fingerprint=duplicates.fingerprint(opened.image),
    )


def _hash_of(path: Path) -> str:
    """The hash of a file too large to be read at once; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _look(
    sources: Sequence[ListedFile], store: IO[bytes], worker_count: int | None
) -> list[_Picture]:
    """Examine all files; their grey copies go to `store`, so that memory holds rows only."""
    pictures = []
    nothing = bytes(duplicates.RECORD.itemsize)
    for source, facts in zip(
        sources, workers.each(examine, sources, "clean", worker_count), strict=True
    ):
        store.write(facts.fingerprint.copies if facts.fingerprint else nothing)
        if facts.fingerprint:
            facts = replace(facts, fingerprint=facts.fingerprint.without_copies())
        pictures.append(_Picture(source, facts, source.label, None))
    return pictures


def _review(pictures: Sequence[_Picture], reviews: Sequence[Review], path: Path) -> None:
    """Note on each picture what a person decided, and move it where that says so."""
    held = review.match(reviews, ((p.facts.sha256, p.label) for p in pictures), path)
    for picture in pictures:
        picture.review = held.get((picture.facts.sha256, picture.source.label))
        if picture.review is not None and picture.review.other_label:
            picture.label = picture.review.other_label


def _judge_alone(picture: _Picture, limits: Clean) -> None:
    facts = picture.facts
    if not picture.source.label:
        picture.reasons.add(NO_LABEL)
    if facts.reason:
        picture.reasons.add(facts.reason)
    if facts.quality is not None:
        size = facts.width, facts.height
        picture.scores |= quality.scores(*size, facts.quality)
        picture.reasons.update(quality.problems(*size, facts.quality, limits))
    if picture.is_dropped_by_review:
        picture.reasons.add(REVIEW)


# --- Pictures beside each other ------------------------------------------------------------------


class _Related:
    """The relations between pictures: what shows the same photograph, what merely looks alike."""

    def __init__(self, pictures: Sequence[_Picture], found: Sequence[Relation]) -> None:
        self.found = found
        first: dict[str, int] = {}
        self.members: dict[int, list[int]] = defaultdict(list)
        self.node: dict[int, int] = {}
        for place, picture in enumerate(pictures):
            if picture.facts.fingerprint is not None and picture.decoded:
                node = first.setdefault(picture.facts.fingerprint.pixels, place)
                self.node[place] = node
                self.members[node].append(place)
        self.near: dict[int, list[Relation]] = defaultdict(list)
        for one in found:
            if one.kind == NEAR_DUPLICATE:
                self.near[one.a].append(one)
                self.near[one.b].append(one)

    def same_photograph(self, place: int) -> Iterator[tuple[int, Relation]]:
        """Every other picture of the same photograph, and how it is related."""
        node = self.node.get(place)
        if node is None:
            return
        for other in self.members[node]:
            if other != place:
                yield other, Relation(place, other, DUPLICATE)
        for one in self.near[node]:
            for other in self.members[one.b if one.a == node else one.a]:
                yield other, one


def _relate(pictures: Sequence[_Picture], store: IO[bytes], limits: Clean) -> _Related:
    found = duplicates.relations(
        [picture.facts.fingerprint if picture.compares else None for picture in pictures],
        store,
        limits.near_duplicate_max_bits,
        limits.near_duplicate_min_correlation,
    )
    return _Related(pictures, found)


def _judge_twins(pictures: Sequence[_Picture], related: _Related, places: Iterable[int]) -> None:
    """Of the pictures of one photograph under one label (and in one split) let the best stay.

    The best is what a person kept, else the largest, else the first by name. What is bad for a
    reason of its own takes nobody's place.
    """

    def rank(place: int) -> tuple[bool, bool, int, str]:
        picture = pictures[place]
        return (
            not picture.is_kept_by_review,
            bool(picture.reasons),
            -picture.facts.width * picture.facts.height,
            picture.source.file,
        )

    stays: set[int] = set()
    for place in sorted(places, key=rank):
        picture = pictures[place]
        own = (picture.label, picture.source.split)
        twins = [
            (relation.kind != DUPLICATE, pictures[other].source.file, relation)
            for other, relation in related.same_photograph(place)
            if other in stays and (pictures[other].label, pictures[other].source.split) == own
        ]
        # A row of review.csv keeps a picture, not each of its equal copies.
        equal = any(relation.kind == DUPLICATE for _, _, relation in twins)
        if twins and (equal or not picture.is_kept_by_review):
            _, file, relation = min(twins, key=lambda twin: twin[:2])
            picture.reasons.add(relation.kind)
            if relation.kind == NEAR_DUPLICATE:
                picture.scores[NEAR_DUPLICATE] = relation.correlation
            picture.duplicate_of, picture.is_mirrored = file, relation.is_mirrored
            if picture.is_kept_by_review:
                picture.review = None
        elif not picture.reasons or picture.is_kept_by_review:
            stays.add(place)


def _judge_labels(pictures: Sequence[_Picture], related: _Related, limits: Clean) -> None:
    """Drop what lies under two labels, except where a person said which one is right.

    Raises:
        UserError: that would take more of a label than `cross_label_max_fraction`.
    """
    photographs = Families(len(pictures))
    for one in related.found:
        if one.kind != ALIKE:
            photographs.join(one.a, one.b)
    shared: dict[tuple[str, str], dict[int, tuple[str, str]]] = defaultdict(dict)
    marks: dict[int, tuple[str, float, str, str, bool]] = {}
    for place in related.node:
        picture = pictures[place]
        if not picture.compares or picture.is_dropped_by_review or picture.is_kept_by_review:
            continue
        others = [
            (pictures[other].label, pictures[other].source.file, relation, other)
            for other, relation in related.same_photograph(place)
            if pictures[other].label != picture.label
            and pictures[other].compares
            and not pictures[other].is_dropped_by_review
        ]
        if not others:
            continue
        kept = [one for one in others if pictures[one[3]].is_kept_by_review]
        other_label, file, relation, _ = min(kept or others, key=lambda other: other[:2])
        names = {picture.label, *(one[0] for one in others)}
        many = len(names) >= PLACEHOLDER_LABELS
        marks[place] = (
            PLACEHOLDER if many else CROSS_LABEL,
            len(names) if many else relation.correlation,
            "" if many else other_label,
            file,
            relation.is_mirrored,
        )
        if not kept:
            for other_label, other_file, _, _ in others:
                shared[picture.label, other_label].setdefault(
                    photographs.of(place), (picture.source.file, other_file)
                )
    for place, (reason, score, other_label, file, is_mirrored) in marks.items():
        picture = pictures[place]
        picture.reasons.add(reason)
        picture.scores[reason] = score
        picture.other_label = other_label
        if not picture.duplicate_of:
            picture.duplicate_of, picture.is_mirrored = file, is_mirrored
    _check_shared(pictures, photographs, related, shared, limits)


def _check_shared(
    pictures: Sequence[_Picture],
    photographs: Families,
    related: _Related,
    shared: Mapping[tuple[str, str], Mapping[int, tuple[str, str]]],
    limits: Clean,
) -> None:
    """Photographs are counted, not files: five sizes of one picture are one accident."""
    totals: dict[str, set[int]] = defaultdict(set)
    for place in related.node:
        if pictures[place].compares:
            totals[pictures[place].label].add(photographs.of(place))
    worst: tuple[float, str, str] | None = None
    for (label, other), found in sorted(shared.items()):
        share = len(found) / len(totals[label])
        too_many = len(found) >= FEWEST_SHARED and share > limits.cross_label_max_fraction
        if too_many and (worst is None or share > worst[0]):
            worst = (share, label, other)
    if worst is not None:
        _, label, other = worst
        found = shared[label, other]
        mine, theirs = min(found.values())
        raise UserError(
            f"data: {len(found)} of {len(totals[label])} pictures of {label!r} lie under "
            f"{other!r} too (such as {mine} and {theirs}): one person under two names, or a "
            "crawl gone wrong; put the two in one folder, delete the wrong copies, or raise "
            "clean.cross_label_max_fraction"
        )


def _judge_faces(
    pictures: Sequence[_Picture],
    related: _Related,
    limits: Clean,
    cache: FaceCache,
    worker_count: int | None,
) -> tuple[Judgement, str]:
    """Look for faces in what has passed so far, and in what a person kept: its crop needs them.

    Gives what the faces say of each other, and the model that says it.
    """
    if limits.faces != "one":
        return Judgement({}, {}, [], {}), people.OFF
    asked: list[_Picture] = []
    looked: list[people.Looked] = []
    new = [picture for picture in pictures if picture.kept]
    while new:
        found = people.look(
            [(picture.source.path, picture.facts.sha256) for picture in new],
            limits, cache, worker_count,
        )  # fmt: skip
        for picture, one in zip(new, found, strict=True):
            picture.faces = one.faces
            picture.faces_counted = count(one.faces, limits.second_face_min_ratio)
            picture.scores |= people.scores(one)
            problem = people.problem(one.faces, limits)
            if problem:
                picture.reasons.add(problem)
        asked += new
        looked += found
        new = _free_crops(pictures, related)
    judgement, model = people.judge(
        looked,
        [picture.label for picture in asked],
        [picture.is_kept_by_review for picture in asked],
        limits,
    )
    for place, distance in judgement.distances.items():
        asked[place].scores[NOT_THIS_PERSON] = round(distance, 4)
    for place, verdict in judgement.verdicts.items():
        asked[place].reasons.add(verdict.reason)
        if verdict.nearer is not None:
            asked[place].scores[SWAPPED] = verdict.nearer
            asked[place].other_label = verdict.other_label
    return judgement, model


def _free_crops(pictures: Sequence[_Picture], related: _Related) -> list[_Picture]:
    """Take back what dropped the crops of pictures that went for their faces: a crop of a group
    may show one person alone. Of several crops of one picture the best stays.
    """
    freed = []
    for place, node in related.node.items():
        picture = pictures[place]
        if list(picture.reasons) == [NEAR_DUPLICATE] and any(
            pictures[other].source.file == picture.duplicate_of
            and not pictures[other].kept
            and not {NO_FACE, SEVERAL_FACES}.isdisjoint(pictures[other].reasons)
            for one in related.near[node]
            if one.overlap < CROPPED
            for other in related.members[one.b if one.a == node else one.a]
        ):
            freed.append(picture)
    for picture in freed:
        picture.reasons.clear()
        picture.scores.pop(NEAR_DUPLICATE)
        picture.duplicate_of, picture.is_mirrored = "", False
    _judge_twins(pictures, related, [place for place in related.node if pictures[place].kept])
    return [picture for picture in freed if picture.kept]


def _group(pictures: Sequence[_Picture], related: _Related) -> None:
    """Name each family of look-alikes by its smallest hash."""
    families = Families(len(pictures))
    for one in related.found:
        families.join(one.a, one.b)
    smallest: dict[int, str] = {}
    for place in related.node:
        family = families.of(place)
        own = pictures[place].facts.sha256
        smallest[family] = min(own, smallest.get(family, own))
    for place in related.node:
        pictures[place].group = smallest[families.of(place)]


def _overlaps(pictures: Sequence[_Picture], related: _Related) -> list[Overlap]:
    """Kept pictures of one photograph in two splits of a set already split."""
    rows = []
    for place, picture in enumerate(pictures):
        for other, _ in related.same_photograph(place):
            twin = pictures[other]
            if (
                place < other
                and picture.kept
                and twin.kept
                and picture.source.split != twin.source.split
            ):
                a, b = picture.source, twin.source
                rows.append(Overlap(a.file, a.split, b.file, b.split))
    return sorted(rows, key=lambda row: (row.file_a, row.file_b))


# --- The decision --------------------------------------------------------------------------------


def _check_enough_left(pictures: Sequence[_Picture], listing: Listing) -> None:
    """Raise UserError for a label that cleaning leaves without a picture to learn from."""
    where = " in train" if listing.ready_split else ""
    for label in listing.labels:
        own = [
            picture
            for picture in pictures
            if picture.label == label and picture.source.split in ("", "train")
        ]
        if any(picture.kept for picture in own):
            continue
        reasons = sentence([_decision(picture) for picture in own])
        _, _, why = reasons.partition("dropped ")
        raise UserError(
            f"data: label {label!r} has no picture left{where} of {len(own)} {why}; add pictures, "
            "keep some in review.csv, loosen params.yaml's clean section, or take the label out"
        )
    if listing.ready_split and not any(
        picture.kept for picture in pictures if picture.source.split == "validation"
    ):
        raise UserError("data: no picture left in validation; add pictures to data/validation/")


def _decision(picture: _Picture) -> Decision:
    facts, source = picture.facts, picture.source
    looked = picture.faces is not None
    reasons = tuple(reason for reason in REASONS if reason in picture.reasons)
    return Decision(
        file=source.file,
        label=picture.label,
        split=source.split,
        decision=KEPT if picture.kept else DROPPED,
        reasons=() if picture.kept else reasons,
        overruled=reasons if picture.kept else (),
        scores={name: picture.scores.get(name) for name, row in REASONS.items() if row.score},
        duplicate_of=picture.duplicate_of,
        mirrored=picture.is_mirrored,
        other_label=picture.other_label,
        detail=facts.detail,
        sha256=facts.sha256,
        width=facts.width or None,
        height=facts.height or None,
        format=facts.format,
        group=picture.group,
        faces=picture.faces_counted if looked else None,
        main_face=main_face(picture.faces) if picture.faces else None,
        reviewed=picture.review.decision if picture.review is not None else "",
        review_why=picture.review.why if picture.review is not None else "",
        picture=_place(picture) if picture.kept else "",
    )


def _place(picture: _Picture) -> str:
    """Where a kept file lies below pictures/: as in data/, under the label it counts under."""
    source = picture.source
    inner = source.file.split("/", 2 if source.split else 1)[-1]
    if picture.label != source.label:
        # Another file of that name may lie under the other label.
        path = Path(inner)
        inner = path.with_name(f"{path.stem}_{picture.facts.sha256[:8]}{path.suffix}").as_posix()
    return "/".join(filter(None, (source.split, picture.label, inner)))
