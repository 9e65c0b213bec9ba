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
from whoswho.cleaning import reasons as words
from whoswho.dataset import review
from whoswho.labels import from_folder
from whoswho.pictures import opening
from whoswho.reporting import fonts

DROPPED, SUSPECTS, KEPT = "dropped", "suspects", "kept"

DECISIONS = paths.CLEAN / decisions.DECISIONS
SOURCES = (DECISIONS, paths.DATASET / SPLIT, TABLE, SUMMARY)

_NO_PIXELS = {opening.UNREADABLE, opening.TRUNCATED, opening.NOT_A_PICTURE, opening.ANIMATED}


@dataclass(frozen=True)
class GalleryPicture:
    """One file of data/.

    Attributes:
        label: the one it lies under; with sha256 it is what a row of review.csv speaks of.
        counts_under: the label cleaning counted it under: another where a person moved it.
        reason: the first of its reasons, under which it is shown.
        measures: (reason, what was measured), also of a picture that a person kept.
        duplicate_of: the file it is shown beside, empty without one.
        face: left, top, right, bottom of the main one, pixels of the upright picture.
        decided: keep or drop, by the last `dvc repro`.
        checked: keep or drop, as the checks alone would have it.
        fixed: why no decision can change anything; empty where one can.
    """

    file: str
    label: str
    sha256: str
    counts_under: str
    section: str
    reason: str
    measures: Sequence[tuple[str, str]]
    duplicate_of: str
    split: str
    width: int
    height: int
    face: Sequence[int] | None
    decided: str
    checked: str
    fixed: str
    suspect: Suspect | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What a row of review.csv speaks of."""
        return self.sha256, self.label


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
    suspects, why_none = _suspects(workspace)
    leading = _leading(table)
    pictures = [_picture(row, split, suspects, leading) for row in table]
    counts = Counter(picture.reason for picture in pictures if picture.section == DROPPED)
    reasons = sorted(counts, key=lambda reason: (-counts[reason], reason))
    pictures.sort(key=lambda picture: _order(picture, reasons))
    by_sha256: dict[str, list[GalleryPicture]] = defaultdict(list)
    for picture in pictures:
        by_sha256[picture.sha256].append(picture)
    by_sha256.pop("", None)
    by_key = {p.key: p for p in pictures if p.file == leading.get(p.key)}
    return Gallery(
        before,
        paths.sha256(workspace / DECISIONS),
        pictures,
        reasons,
        sorted({picture.label for picture in pictures if picture.label}),
        why_none,
        by_key,
        dict(by_sha256),
    )


def as_json(gallery: Gallery) -> dict[str, Any]:
    """The gallery as the page reads it; every `shown` is what a page can write of a name."""
    positions = {picture.file: position for position, picture in enumerate(gallery.pictures)}
    return {
        "cleaned": gallery.cleaned,
        "reasons": [{"name": reason, "says": words.says(reason)} for reason in gallery.reasons],
        "labels": [{"name": label, "shown": fonts.drawable(label)} for label in gallery.labels],
        "noSuspects": _shown(gallery.no_suspects),
        "pictures": [_as_json(picture, positions) for picture in gallery.pictures],
    }


def _as_json(picture: GalleryPicture, positions: Mapping[str, int]) -> dict[str, Any]:
    suspect = picture.suspect
    return {
        "sha256": picture.sha256,
        "label": picture.label,
        "countsUnder": picture.counts_under,
        "folder": fonts.drawable(picture.label or "(no label)"),
        "name": fonts.drawable(picture.file.rpartition("/")[2]),
        "file": picture.file,
        "section": picture.section,
        "reason": picture.reason,
        "measures": [
            (reason, fonts.drawable(text) if text else "") for reason, text in picture.measures
        ],
        "duplicateOf": positions.get(picture.duplicate_of, -1),
        "split": picture.split,
        "size": [picture.width, picture.height],
        "face": picture.face,
        "decided": picture.decided,
        "checked": picture.checked,
        "fixed": _shown(picture.fixed),
        "suspect": suspect
        and {
            "suggested": suspect.suggested,
            "shown": fonts.drawable(suspect.suggested),
            "own": suspect.probability_label,
            "other": suspect.probability_suggested,
        },
    }


def _shown(text: str) -> str:
    """A text as a page can write it; an empty one stays empty."""
    return fonts.drawable(text) if text else ""


def _picture(
    row: Decision,
    split: Mapping[str, str],
    suspects: Mapping[tuple[str, str], Suspect],
    leading: Mapping[tuple[str, str], str],
) -> GalleryPicture:
    face = row.main_face
    label = folder_label(row)
    suspect = suspects.get((row.file, row.sha256))
    if suspect is not None and not (row.kept and suspect.label == row.label):
        suspect = None  # of an earlier run
    return GalleryPicture(
        file=row.file,
        label=label,
        sha256=row.sha256,
        counts_under=row.label,
        section=SUSPECTS if suspect else KEPT if row.kept else DROPPED,
        reason=row.reasons[0] if row.reasons else "",
        measures=[(reason, words.explain(row, reason)) for reason in row.reasons or row.overruled],
        duplicate_of=row.duplicate_of,
        split=row.split or (suspect.split if suspect else split.get(row.file, "")),
        width=row.width or 0,
        height=row.height or 0,
        face=(face.left, face.top, face.right, face.bottom) if face else None,
        decided=review.KEEP if row.kept else review.DROP,
        checked=_checked(row),
        fixed=_fixed(row, leading.get((row.sha256, label), row.file)),
        suspect=suspect,
    )


def folder_label(row: Decision) -> str:
    """The label a file lies under in data/, empty for a loose one."""
    if not row.label:
        return ""
    return from_folder(row.file.split("/")[1 if row.split else 0])


def _checked(row: Decision) -> str:
    """Keep or drop, had no person decided."""
    against = {*row.reasons, *row.overruled} - {words.REVIEW}
    return review.DROP if against else review.KEEP


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
    if picture.section == DROPPED:
        return 0, reasons.index(picture.reason), picture.counts_under, picture.file
    if picture.suspect is not None:
        return 1, picture.suspect.rank, "", ""
    return 2, 0, picture.counts_under, picture.file
