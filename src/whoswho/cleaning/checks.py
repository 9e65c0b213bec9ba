"""All checks over data/, and what stays. Bad pictures never stop them, a bad set does.

First everything is measured (`evidence`), then all is decided at once (`rules`); here the two are
brought together and the outcome is written.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from whoswho import paths
from whoswho.arches import LITE0
from whoswho.artifacts.decisions import (
    Decision,
    FaceSettings,
    sentence,
    write_decisions,
    write_face_settings,
)
from whoswho.artifacts.split import Overlap, write_face_vectors, write_overlaps
from whoswho.cleaning import people, rules
from whoswho.cleaning.evidence import Evidence, gather
from whoswho.cleaning.rules import Decided
from whoswho.cleaning.seconds import Seconds
from whoswho.dataset import review
from whoswho.dataset.listing import FEW_PICTURES, Listing, scan
from whoswho.dataset.review import Review
from whoswho.errors import UserError
from whoswho.params import Clean
from whoswho.pictures.embedding import Vector
from whoswho.pictures.face_cache import FaceCache
from whoswho.wording import ONE_GROUP


@dataclass(frozen=True)
class CleaningOutcome:
    """Every file's decision, look-alikes over the borders of a set already split, and notes.

    Attributes:
        spent: seconds of processor, by kind of work.
    """

    decisions: list[Decision]
    overlaps: list[Overlap]
    listing: Listing
    notes: Sequence[str] = ()
    spent: Seconds = field(default_factory=Seconds)


def run(
    data: Path,
    params: Clean,
    reviews: Sequence[Review],
    out: Path,
    review_path: Path = Path("review.csv"),
    faces: Path | None = None,
) -> CleaningOutcome:
    """Check every file of `data`, copy what stays to `out`/pictures, write the tables beside it.

    Args:
        reviews: what a person decided (`review.read`); `review_path` names the file in messages.
        out: an empty folder; gets pictures/, decisions.csv, overlaps.csv, faces.json and, where
            faces were told apart, face_vectors.npy.
        faces: the folder of what was found in earlier runs (`FaceCache`); None keeps nothing.

    Raises:
        UserError: about the set or the review, never about a single picture.
    """
    listing, spent = scan(data), Seconds()
    evidence = gather(listing.files, params, spent)
    pictures = evidence.pictures
    held = review.match(reviews, ((p.sha256, p.file.label) for p in pictures), review_path)
    with FaceCache(faces) as cache:
        while indices := rules.needs_faces(evidence, params, held):
            files = [(pictures[index].file.path, pictures[index].sha256) for index in indices]
            looked = people.find_faces(files, params, cache, spent)
            faces_by_index = dict(zip(indices, looked, strict=True))
            evidence = replace(evidence, faces={**evidence.faces, **faces_by_index})
    decided = rules.decide(evidence, params, held)
    _check_enough_left(decided.decisions, listing)
    _write(out, data, decided, params)
    write_face_vectors(out, _vectors(decided.decisions, evidence))
    notes = [*decided.notes, *decided.identity.notes, *filter(None, [cache.problem])]
    notes += _one_group(decided.decisions)
    return CleaningOutcome(decided.decisions, decided.overlaps, listing, notes, spent)


def survey(data: Path) -> str:
    """What lies in data/ in one phrase, nothing opened: `231 files of 5 labels in data/`.

    Raises:
        UserError: see `scan`.
    """
    listing = scan(data)
    counts = listing.counts
    phrase = f"{sum(counts.values())} files of {len(counts)} labels in {data.name}/"
    notes = list(listing.notes)
    few = [f"{label} ({count})" for label, count in counts.items() if count < FEW_PICTURES]
    if few:
        notes.append(f"few pictures of {', '.join(few)}: better {FEW_PICTURES} each")
    return "; ".join([phrase + (", split already" if listing.ready_split else ""), *notes])


def _one_group(decisions: Sequence[Decision]) -> list[str]:
    """A line about the labels whose kept pictures are one look-alike group, so no split can be."""
    groups: dict[str, list[str]] = defaultdict(list)
    for row in decisions:
        if row.kept and not row.split:
            groups[row.label].append(row.group)
    alike = [
        label
        for label, own in groups.items()
        if len(own) > len(paths.SPLITS) and len(set(own)) == 1
    ]
    if not alike:
        return []
    return [
        f"all kept pictures of {', '.join(map(repr, sorted(alike)))} are one look-alike group, "
        f"which no split can divide: {ONE_GROUP}"
    ]


def _check_enough_left(decisions: Sequence[Decision], listing: Listing) -> None:
    """Raise UserError for a label that cleaning leaves without a picture to learn from."""
    where = " in train" if listing.ready_split else ""
    for label in listing.labels:
        own = [row for row in decisions if row.label == label and row.split in ("", "train")]
        if any(row.kept for row in own):
            continue
        _, _, why = sentence(own).partition("dropped ")
        cure = "loosen params.yaml's clean section, or take the label out"
        if 2 * sum(people.NO_FACE in row.reasons for row in decisions) > len(decisions):
            cure += (
                "; if the set is not of people, set clean.faces: any (and, in place of a face "
                f"backbone, backbone.arch: {LITE0})"
            )
        raise UserError(
            f"data: label {label!r} has no picture left{where} of {len(own)} {why}; add pictures, "
            f"keep some in review.csv, {cure}"
        )
    if listing.ready_split and not any(row.kept for row in decisions if row.split == "validation"):
        raise UserError("data: no picture left in validation; add pictures to data/validation/")


def _vectors(decisions: Sequence[Decision], evidence: Evidence) -> list[Vector | None]:
    """The embedding of the one face of each kept picture, in the order of decisions.csv."""
    faces = evidence.faces
    return [
        faces[index].vector if row.kept and index in faces else None
        for index, row in enumerate(decisions)
    ]


def _write(out: Path, data: Path, decided: Decided, params: Clean) -> None:
    """Copy the kept pictures and write the tables."""
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    for decision in decided.decisions:
        if decision.kept:
            target = out / "pictures" / decision.picture
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(data / decision.file, target)
    write_decisions(out, decided.decisions)
    write_overlaps(out, decided.overlaps)
    settings = FaceSettings(
        faces=params.faces,
        probability=params.face_probability,
        min_size=params.min_face_size,
        identity=decided.identity_model,
        identity_limits=decided.identity.limits,
        identity_notes=decided.identity.notes,
    )
    write_face_settings(out, settings)
