"""What the review page shows, in which order: dropped by reason, then suspects, then kept.

It is what the last `dvc repro` decided. A picture keeps its place whatever a person decides about
it, so that nothing jumps away under their hands.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from whoswho import paths
from whoswho.artifacts import decisions
from whoswho.artifacts.decisions import Decision
from whoswho.artifacts.split import SPLIT, find_split
from whoswho.artifacts.suspects import SUMMARY, TABLE, Suspect, read_suspects
from whoswho.cleaning.identity import SWAPPED
from whoswho.cleaning.people import SEVERAL_FACES
from whoswho.cleaning.reasons import CROSS_LABEL, REVIEW, explain, says
from whoswho.dataset import review
from whoswho.labels import from_folder
from whoswho.pictures import opening
from whoswho.reporting.pages import fonts

DROPPED, SUSPECTS, KEPT = "dropped", "suspects", "kept"

DECISIONS = paths.CLEAN / decisions.DECISIONS
SOURCES = (DECISIONS, paths.DATASET / SPLIT, TABLE, SUMMARY)

_NO_PIXELS = {opening.UNREADABLE, opening.TRUNCATED, opening.NOT_A_PICTURE, opening.ANIMATED}


@dataclass(frozen=True)
class GalleryPicture:
    """One file of data/.

    Attributes:
        decision: what cleaning decided about it.
        label: the one it lies under, empty for a loose file; with its sha256 it is what a row of
            review.csv speaks of.
        fixed: why no decision can change anything; empty where one can.
    """

    decision: Decision
    label: str
    split: str
    fixed: str
    suspect: Suspect | None = None

    @property
    def file(self) -> str:
        """Posix path below data/."""
        return self.decision.file

    @property
    def sha256(self) -> str:
        """Of its bytes; empty where they cannot be read."""
        return self.decision.sha256

    @property
    def key(self) -> tuple[str, str]:
        """What a row of review.csv speaks of."""
        return self.sha256, self.label

    @property
    def section(self) -> str:
        """The part of the page it is shown in."""
        if self.suspect is not None:
            return SUSPECTS
        return KEPT if self.decision.kept else DROPPED

    @property
    def reason(self) -> str:
        """The first of its reasons, under which it is shown; empty without any."""
        return next(iter(self.decision.reasons), "")

    @property
    def suggested(self) -> str:
        """The label it may belong under instead of its own; empty where nothing says so."""
        if self.suspect is not None:
            return self.suspect.suggested
        unsure = {SWAPPED, CROSS_LABEL} & set(self.decision.reasons)
        return self.decision.other_label if unsure else ""

    @property
    def measures(self) -> list[tuple[str, str]]:
        """(reason, what was measured), also of a picture that a person kept."""
        reasons = self.decision.reasons or self.decision.overruled
        return [(reason, explain(self.decision, reason)) for reason in reasons]

    @property
    def checked(self) -> str:
        """Keep or drop, as the checks alone would have it."""
        against = {*self.decision.reasons, *self.decision.overruled} - {REVIEW}
        return review.DROP if against else review.KEEP


@dataclass(frozen=True)
class Gallery:
    """All pictures in the order shown.

    Attributes:
        version: another text whenever one of the tables was written anew (see `version`).
        cleaned: hash of decisions.csv.
        reasons: those pictures are shown under, in order.
        labels: the folders of data/, sorted.
        no_suspects: why no suspect is shown; empty where some are.
    """

    version: str
    cleaned: str
    pictures: Sequence[GalleryPicture]
    reasons: Sequence[str]
    labels: list[str]
    no_suspects: str
    by_key: Mapping[tuple[str, str], GalleryPicture] = field(repr=False)
    by_sha256: Mapping[str, Sequence[GalleryPicture]] = field(repr=False)


def version(workspace: Path) -> str:
    """Another text whenever one of the tables the gallery is made from was written anew."""
    marks = []
    for name in SOURCES:
        try:
            state = (workspace / name).stat()
            marks.append(f"{state.st_mtime_ns}-{state.st_size}")
        except FileNotFoundError:
            marks.append("")
    return paths.digest(*marks)[:16]


def load(workspace: Path) -> Gallery:
    """The gallery of the tables that the last `dvc repro` left.

    Raises:
        UserError: decisions.csv is not there, or a table is not sound.
    """
    before = version(workspace)
    table = decisions.read_decisions(workspace / paths.CLEAN)
    split = {row.file: row.split for row in find_split(workspace / paths.DATASET) or ()}
    suspects, no_suspects = _suspects(workspace)
    leading = _leading(table)
    labels = {label for row in table if (label := folder_label(row))}
    pictures = []
    for row in table:
        label = folder_label(row)
        suspect = suspects.get((row.file, row.sha256))
        if suspect is not None and not (
            row.kept and suspect.label == row.label and suspect.suggested in labels
        ):
            suspect = None  # of an earlier run
        in_split = row.split or (suspect.split if suspect else split.get(row.file, ""))
        fixed = _fixed(row, leading.get((row.sha256, label), row.file))
        pictures.append(GalleryPicture(row, label, in_split, fixed, suspect))
    counts = Counter(picture.reason for picture in pictures if picture.section == DROPPED)
    reasons = sorted(counts, key=lambda reason: (-counts[reason], reason))
    pictures.sort(key=lambda picture: _order(picture, reasons))
    by_sha256: dict[str, list[GalleryPicture]] = defaultdict(list)
    for picture in pictures:
        by_sha256[picture.sha256].append(picture)
    by_sha256.pop("", None)
    return Gallery(
        before,
        paths.sha256(workspace / DECISIONS),
        pictures,
        reasons,
        sorted(labels),
        no_suspects,
        {p.key: p for p in pictures if p.file == leading.get(p.key)},
        dict(by_sha256),
    )


def as_json(gallery: Gallery) -> dict[str, Any]:
    """The gallery as the page reads it; every `shown` is what a page can write of a name."""
    positions = {picture.file: position for position, picture in enumerate(gallery.pictures)}
    kept: dict[str, list[GalleryPicture]] = defaultdict(list)
    for picture in gallery.pictures:
        if picture.section == KEPT:
            kept[picture.decision.label].append(picture)
    for pictures in kept.values():  # the face to compare with: large, and surely one
        pictures.sort(key=_face_rank)
    return {
        "cleaned": gallery.cleaned,
        "reasons": [{"name": reason, "says": says(reason)} for reason in gallery.reasons],
        "labels": [{"name": label, "shown": fonts.drawable(label)} for label in gallery.labels],
        "noSuspects": fonts.drawable(gallery.no_suspects),
        "pictures": [_as_json(picture, positions, kept) for picture in gallery.pictures],
    }


def _face_rank(picture: GalleryPicture) -> tuple[bool, int, str]:
    face = picture.decision.main_face
    return picture.decision.faces != 1, -(face.height if face else 0), picture.file


def _as_json(
    picture: GalleryPicture,
    positions: Mapping[str, int],
    kept: Mapping[str, Sequence[GalleryPicture]],
) -> dict[str, Any]:
    row, suspect = picture.decision, picture.suspect
    return {
        "sha256": row.sha256,
        "label": picture.label,
        "countsUnder": row.label,
        "folder": fonts.drawable(picture.label or "(no label)"),
        "name": fonts.drawable(row.file.rpartition("/")[2]),
        "file": row.file,
        "section": picture.section,
        "reason": picture.reason,
        "measures": [(reason, fonts.drawable(text)) for reason, text in picture.measures],
        "duplicateOf": positions.get(row.duplicate_of, -1),
        "split": picture.split,
        "size": [row.width or 0, row.height or 0],
        "hasPixels": row.width is not None or opening.ANIMATED in row.reasons,
        "faces": [
            (face.left, face.top, face.right, face.bottom)
            for face in (row.main_face, *row.other_faces)
            if face is not None
        ],
        "hasSecond": bool(row.scores.get(SEVERAL_FACES)),
        "isGroup": SEVERAL_FACES in {*row.reasons, *row.overruled},
        "decided": review.KEEP if row.kept else review.DROP,
        "checked": picture.checked,
        "fixed": fonts.drawable(picture.fixed),
        "suspect": suspect and [suspect.probability_label, suspect.probability_suggested],
        "suggested": picture.suggested,
        "examples": [
            positions[example.file]
            for label in (picture.label, picture.suggested)
            if picture.suggested
            for example in _example(picture, kept.get(label, ()))
        ],
    }


def _example(picture: GalleryPicture, kept: Sequence[GalleryPicture]) -> list[GalleryPicture]:
    """The first of a label's kept pictures that is another than `picture`; none without."""
    return [other for other in kept if other is not picture][:1]


def folder_label(row: Decision) -> str:
    """The label a file lies under in data/, empty for a loose one."""
    if not row.label:
        return ""
    return from_folder(row.file.split("/")[1 if row.split else 0])


def _fixed(row: Decision, leader: str) -> str:
    if not row.label:
        return "it lies in no label's folder; move it into one"
    if not row.sha256:
        return "its bytes cannot be read"
    if _NO_PIXELS & set(row.reasons):
        return "it cannot be opened as a picture"
    if leader != row.file:
        return f"the same file as {leader}, which stands for both; decide there"
    return ""


def _leading(table: Sequence[Decision]) -> dict[tuple[str, str], str]:
    """Of equal files under one label, which one row of review.csv means, the one that decides.

    The kept one, else the first.
    """
    leading: dict[tuple[str, str], str] = {}
    for row in sorted(table, key=lambda row: (not row.kept, row.file)):
        if row.sha256:
            leading.setdefault((row.sha256, folder_label(row)), row.file)
    return leading


def _suspects(workspace: Path) -> tuple[dict[tuple[str, str], Suspect], str]:
    """(file, sha256) -> suspect, and why there is none."""
    listed = read_suspects(workspace / paths.SUSPECTS)
    if listed is None:
        return {}, "Suspect labels come with the stage suspects; run `dvc repro`, then reload."
    if not listed.suspects:
        why = listed.why_none
        return {}, f"None listed: {why}." if why else "No label looks wrong."
    return {(suspect.file, suspect.sha256): suspect for suspect in listed.suspects}, ""


def _order(picture: GalleryPicture, reasons: Sequence[str]) -> tuple[int, int, str, str]:
    if picture.suspect is not None:
        return 1, picture.suspect.rank, "", ""
    if picture.section == DROPPED:
        return 0, reasons.index(picture.reason), picture.decision.label, picture.file
    return 2, 0, picture.decision.label, picture.file
