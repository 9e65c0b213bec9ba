"""Pictures on their way through the rules, and which of them show the same photograph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field

from whoswho.cleaning.evidence import PictureEvidence
from whoswho.cleaning.people import FaceEvidence
from whoswho.cleaning.reasons import BLANK, IDENTICAL
from whoswho.cleaning.relations import DUPLICATE, NEAR_DUPLICATE, Relation
from whoswho.dataset import review
from whoswho.dataset.review import Review


@dataclass(slots=True)
class Case:
    """A picture and what speaks against it so far."""

    evidence: PictureEvidence
    label: str
    review: Review | None
    reasons: set[str] = field(default_factory=set)
    scores: dict[str, float] = field(default_factory=dict)
    duplicate_of: str = ""
    detail: str = ""
    is_mirrored: bool = False
    other_label: str = ""
    face_evidence: FaceEvidence | None = None
    faces: int | None = None

    @property
    def file(self) -> str:
        """Posix path below data/."""
        return self.evidence.file.file

    @property
    def split(self) -> str:
        """Of a set that came split."""
        return self.evidence.file.split

    @property
    def is_decoded(self) -> bool:
        """Whether there is a picture, in a label's folder."""
        return self.evidence.quality is not None and bool(self.label)

    @property
    def is_compared(self) -> bool:
        """Whether what it shows can be compared: decoded and not blank."""
        return self.is_decoded and BLANK not in self.reasons

    @property
    def is_kept_by_review(self) -> bool:
        """Whether a person said to keep it."""
        return self.is_decoded and self.review is not None and self.review.decision == review.KEEP

    @property
    def is_dropped_by_review(self) -> bool:
        """Whether a person said to drop it."""
        return self.review is not None and self.review.decision == review.DROP

    @property
    def is_kept(self) -> bool:
        """Whether it stays, as far as the rules have come."""
        return self.is_decoded and (self.is_kept_by_review or not self.reasons)

    @property
    def rank(self) -> tuple[bool, bool, int, str]:
        """Orders the copies of a photograph, the best first.

        It is what a person kept, else the largest, else the first by name. What is bad for a
        reason of its own stands for nobody.
        """
        size = self.evidence.quality
        area = size.width * size.height if size else 0
        return not self.is_kept_by_review, bool(self.reasons), -area, self.file

    def add(self, reason: str, score: float | None = None) -> None:
        """Let a reason speak against it."""
        self.reasons.add(reason)
        if score is not None:
            self.scores[reason] = score

    def copies(self, other: Case, relation: Relation) -> None:
        """Note the picture that it shows again, unless one is noted already."""
        if not self.duplicate_of:
            self.duplicate_of, self.is_mirrored = other.file, relation.is_mirrored
            if self.evidence.sha256 == other.evidence.sha256:
                self.detail = IDENTICAL


class Related:
    """Which pictures show the same photograph."""

    def __init__(self, cases: Sequence[Case], relations: Sequence[Relation]) -> None:
        first: dict[str, int] = {}
        self.first: dict[int, int] = {}  # of each decoded picture, the first with its pixels
        self._members: dict[int, list[int]] = defaultdict(list)
        for index, case in enumerate(cases):
            if case.evidence.fingerprint is not None and case.is_decoded:
                self.first[index] = first.setdefault(case.evidence.fingerprint.pixels, index)
                self._members[self.first[index]].append(index)
        self._pixels = {index: pixels for pixels, index in first.items()}
        self._near: dict[int, list[tuple[int, Relation]]] = defaultdict(list)
        for relation in relations:
            if relation.kind == NEAR_DUPLICATE:
                self._near[relation.a].append((relation.b, relation))
                self._near[relation.b].append((relation.a, relation))

    def best_first(self, cases: Sequence[Case]) -> list[int]:
        """All decoded pictures, the best copies first (`Case.rank`).

        Of equally large ones with different neighbours the one with fewest comes first, then by
        content: how many stay of a chain of near copies does not depend on their names.
        """
        near = {
            index: frozenset([index, *(other for other, _ in self._near[index])])
            for index in self._members
        }
        areas = {index: cases[index].rank[2] for index in near}
        # How many neighbours, and the same text for pictures that are near exactly the same ones.
        order: dict[int, tuple[int, str]] = {}
        for index, own in near.items():
            same = [i for i in own if areas[i] == areas[index] and near[i] == own]
            order[index] = len(own), min(self._pixels[i] for i in same)
        return sorted(
            self.first,
            key=lambda i: (*cases[i].rank[:3], order[self.first[i]], cases[i].rank[3]),
        )

    def same_photograph(
        self, index: int, among: Container[int] | None = None
    ) -> Iterator[tuple[int, Relation]]:
        """Every other picture of the same photograph, and how the first of its pixels is related.

        Args:
            among: the pictures asked for; None: all. There may be thousands of equal ones.
        """
        if index not in self.first:
            return
        first = self.first[index]
        for near, relation in ((first, Relation(first, first, DUPLICATE)), *self._near[first]):
            for other in self._members[near]:
                if other != index and (among is None or other in among):
                    yield other, relation
