"""What the review page shows, in which order: dropped by reason, then suspects, then kept.

It is what the last `dvc repro` decided. A picture keeps its place whatever a person decides about
it, so that nothing jumps away under their hands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
class Picture:
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
    pictures: Sequence[Picture]
    reasons: Sequence[str]
    labels: Sequence[str]
    no_suspects: str
    by_key: Mapping[tuple[str, str], Picture] = field(repr=False)
    by_sha256: Mapping[str, Sequence[Picture]] = field(repr=False)


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
    pictures = [_picture(one, split, leading) for one in table]
    for place, one in enumerate(pictures):
        suspect = suspects.get((one.file, one.sha256))
        if suspect and one.section == KEPT and suspect.label == one.counts_under:
            pictures[place] = replace(
                one, section=SUSPECTS, split=one.split or suspect.split, suspect=suspect
            )
    counts = Counter(one.reason for one in pictures if one.section == DROPPED)
    reasons = sorted(counts, key=lambda reason: (-counts[reason], reason))
    pictures.sort(key=lambda one: _order(one, reasons))
    by_sha256: dict[str, list[Picture]] = {}
    for one in pictures:
        if one.sha256:
            by_sha256.setdefault(one.sha256, []).append(one)
    return Gallery(
        before,
        paths.sha256(workspace / DECISIONS),
        pictures,
        reasons,
        sorted({one.label for one in pictures if one.label}),
        why_none,
        {one.key: one for one in pictures if one.file == leading.get(one.key)},
        by_sha256,
    )


def as_json(gallery: Gallery) -> dict[str, Any]:
    """The gallery as the page reads it; every `shown` is what a page can write of a name."""
    places = {one.file: place for place, one in enumerate(gallery.pictures)}
    return {
        "cleaned": gallery.cleaned,
        "reasons": [{"name": reason, "says": words.says(reason)} for reason in gallery.reasons],
        "labels": [{"name": label, "shown": fonts.drawable(label)} for label in gallery.labels],
        "noSuspects": _shown(gallery.no_suspects),
        "pictures": [_as_json(one, places) for one in gallery.pictures],
    }


def _as_json(one: Picture, places: Mapping[str, int]) -> dict[str, Any]:
    suspect = one.suspect
    return {
        "sha256": one.sha256,
        "label": one.label,
        "countsUnder": one.counts_under,
        "folder": fonts.drawable(one.label or "(no label)"),
        "name": fonts.drawable(one.file.rpartition("/")[2]),
        "file": one.file,
        "section": one.section,
        "reason": one.reason,
        "measures": [
            (reason, fonts.drawable(text) if text else "") for reason, text in one.measures
        ],
        "duplicateOf": places.get(one.duplicate_of, -1),
        "split": one.split,
        "size": [one.width, one.height],
        "face": one.face,
        "decided": one.decided,
        "checked": one.checked,
        "fixed": _shown(one.fixed),
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
    one: Decision, split: Mapping[str, str], leading: Mapping[tuple[str, str], str]
) -> Picture:
    face = one.main_face
    label = folder_label(one)
    return Picture(
        file=one.file,
        label=label,
        sha256=one.sha256,
        counts_under=one.label,
        section=KEPT if one.kept else DROPPED,
        reason=one.reasons[0] if one.reasons else "",
        measures=[(reason, words.explain(one, reason)) for reason in one.reasons or one.overruled],
        duplicate_of=one.duplicate_of,
        split=one.split or split.get(one.file, ""),
        width=one.width or 0,
        height=one.height or 0,
        face=(face.left, face.top, face.right, face.bottom) if face else None,
        decided=review.KEEP if one.kept else review.DROP,
        checked=_checked(one),
        fixed=_fixed(one, leading.get((one.sha256, label), one.file)),
    )


def folder_label(one: Decision) -> str:
    """The label a file lies under in data/, empty for a loose one."""
    if not one.label:
        return ""
    return from_folder(one.file.split("/")[1 if one.split else 0])


def _checked(one: Decision) -> str:
    """Keep or drop without a person's word."""
    against = {*one.reasons, *one.overruled} - {words.REVIEW}
    return review.DROP if against else review.KEEP


def _fixed(one: Decision, leader: str) -> str:
    if not one.label:
        return "it lies in no label's folder; move it into one"
    if not one.sha256:
        return "its bytes cannot be read"
    if _NO_PIXELS & set(one.reasons):
        return "it cannot be opened as a picture"
    if leader != one.file:
        return f"the same file as {leader}, which stands for both; decide there"
    return ""


def _leading(table: Sequence[Decision]) -> dict[tuple[str, str], str]:
    """Of equal files under one label, which one row of review.csv means, the one that decides.

    The kept one, else the first.
    """
    leading: dict[tuple[str, str], str] = {}
    for one in sorted(table, key=lambda one: (not one.kept, one.file)):
        if one.sha256:
            leading.setdefault((one.sha256, folder_label(one)), one.file)
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


def _order(one: Picture, reasons: Sequence[str]) -> tuple[int, int, str, str]:
    if one.section == DROPPED:
        return 0, reasons.index(one.reason), one.counts_under, one.file
    if one.suspect is not None:
        return 1, one.suspect.rank, "", ""
    return 2, 0, one.counts_under, one.file
