"""artifacts/clean: what cleaning decided about each file of data/, and the settings it used.

decisions.csv has one row a file, faces.json the face detector's settings (overlaps.csv beside them
is `artifacts.split`). Nothing else opens these files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field, fields
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel

from whoswho import paths, tables
from whoswho.artifacts.model.settings import Face
from whoswho.errors import UserError

DECISIONS = "decisions.csv"
FACES = "faces.json"

KEPT = "kept"
DROPPED = "dropped"

_AGAIN = "delete the file, then run `dvc repro`"


@dataclass(frozen=True)
class Decision:
    """What became of one file; None and empty texts where something does not apply.

    Attributes:
        file: posix path below data/.
        label: the label it counts under, in Unicode form NFC; another than its folder's where a
            person moved it.
        split: where data/ is split already, the split it lies in.
        decision: KEPT or DROPPED.
        reasons: why it is dropped, in the order of the checks; none of a kept one.
        overruled: what would have dropped it, had a person not said to keep it.
        scores: reason -> the number the check looked at, in a column `score/<reason>`, whether
            or not it spoke against the picture. `cleaning.reasons` says what each number is.
        duplicate_of: file of the other picture, for reasons about two.
        mirrored: whether that one shows the mirror image.
        other_label: the other label of a cross_label or swapped picture.
        detail: why a file gives no picture; of a copy, that its file is identical.
        sha256: of the file, empty where its bytes cannot be read.
        width, height: pixels of the upright picture.
        format: of the file, as Pillow names it.
        group: smallest sha256 among its look-alikes.
        faces: how many count; None where none was looked for.
        main_face: the tallest of them, in pixels of the upright picture.
        other_faces: the others that were found, sharp ones first, then the tallest, also those
            that do not count.
        reviewed, review_why: keep or drop as a person decided, and the reason given.
        picture: path below artifacts/clean/pictures of a kept one.
    """

    file: str
    label: str = ""
    split: str = ""
    decision: str = DROPPED
    reasons: Sequence[str] = ()
    overruled: Sequence[str] = ()
    scores: Mapping[str, float | None] = field(default_factory=dict)
    duplicate_of: str = ""
    mirrored: bool = False
    other_label: str = ""
    detail: str = ""
    sha256: str = ""
    width: int | None = None
    height: int | None = None
    format: str = ""
    group: str = ""
    faces: int | None = None
    main_face: Face | None = None
    other_faces: Sequence[Face] = ()
    reviewed: str = ""
    review_why: str = ""
    picture: str = ""

    @property
    def kept(self) -> bool:
        """Whether the picture stays."""
        return self.decision == KEPT


@dataclass(frozen=True)
class CleaningCounts:
    """Pictures by label, then by `kept`, `dropped`, and the reasons for dropping.

    A picture dropped for two reasons counts under both, so reasons may add up to more than the
    dropped.
    """

    counts: dict[str, Counter[str]]  # labels sorted

    @cached_property
    def totals(self) -> Counter[str]:
        """The counts of all labels together."""
        return sum(self.counts.values(), Counter())

    @cached_property
    def reasons(self) -> list[str]:
        """Every reason there is, the most frequent first."""
        names = self.totals.keys() - {KEPT, DROPPED}
        return sorted(names, key=lambda reason: (-self.totals[reason], reason))

    def reasons_of(self, label: str) -> list[str]:
        """The reasons of one label, by name."""
        return sorted(reason for reason in self.reasons if self.counts[label][reason])

    @property
    def counted_twice(self) -> bool:
        """Whether a picture was dropped for more than one reason."""
        totals = self.totals
        return sum(totals[reason] for reason in self.reasons) > totals[DROPPED]

    def rows(self) -> list[dict[str, object]]:
        """One row a count for cleaning.csv: for every label kept, dropped, then its reasons."""
        return [
            {"label": label, "reason": reason, "count": counts[reason]}
            for label, counts in self.counts.items()
            for reason in (KEPT, DROPPED, *self.reasons_of(label))
        ]


class FaceSettings(BaseModel, frozen=True, extra="forbid"):
    """How cleaning looked at faces.

    Attributes:
        faces: one: exactly one person a picture; any: they were not looked for.
        probability: from which a detection counts as a face, 0 to 1.
        min_size: smallest face looked for, as a fraction of the picture's short side.
        identity: the model that told faces apart; off: none did.
        identity_limits: label -> the distance beyond which a face is not this person's.
        identity_notes: what the user should know about that, one line each.
    """

    faces: str
    probability: float
    min_size: float
    identity: str
    identity_limits: Mapping[str, float]
    identity_notes: Sequence[str]


_FACE_COLUMNS = tuple(f"face_{side.name}" for side in fields(Face))
_SCORE = "score/"
_NAMES = [each.name for each in fields(Decision)]
# Every column but the scores', which stand after `overruled`.
_BEFORE_SCORES = tuple(_NAMES[: _NAMES.index("scores")])
_AFTER_SCORES = tuple(
    column
    for name in _NAMES[_NAMES.index("scores") + 1 :]
    for column in (_FACE_COLUMNS if name == "main_face" else (name,))
)


def write_decisions(folder: Path, decisions: Sequence[Decision]) -> None:
    """Write decisions.csv, with a column for every score that any of the decisions names."""
    scored = dict.fromkeys(reason for decision in decisions for reason in decision.scores)
    columns = (*_BEFORE_SCORES, *(_SCORE + reason for reason in scored), *_AFTER_SCORES)
    tables.write(folder / DECISIONS, columns, map(_to_row, decisions))


def read_decisions(folder: Path) -> list[Decision]:
    """The rows of decisions.csv.

    Raises:
        UserError: it is absent, or a cell is not what cleaning writes there.
    """
    path = folder / DECISIONS
    decisions = []
    for row in tables.read(path, (*_BEFORE_SCORES, *_AFTER_SCORES)):
        try:
            decisions.append(_from_row(row))
        except ValueError as error:
            raise UserError(
                f"{path}: the row of {row['file']} was changed by hand ({error}); {_AGAIN}"
            ) from None
    return decisions


def write_face_settings(folder: Path, settings: FaceSettings) -> None:
    """Write faces.json."""
    paths.write_json(folder / FACES, settings.model_dump())


def read_face_settings(folder: Path) -> FaceSettings:
    """The content of faces.json.

    Raises:
        UserError: it is absent, or not what cleaning writes.
    """
    path = folder / FACES
    return paths.validated(FaceSettings, paths.read_json(path), path, _AGAIN)


def sentence(decisions: Sequence[Decision]) -> str:
    """`231 files of 5 labels: 201 kept, 30 dropped (12 near_duplicate, …)`."""
    counts = count_decisions(decisions)
    labels, totals = sum(map(bool, counts.counts)), counts.totals
    text = f"{len(decisions)} files of {labels} labels: {totals[KEPT]} kept, "
    text += f"{totals[DROPPED]} dropped"
    reasons = ", ".join(f"{totals[reason]} {reason}" for reason in counts.reasons)
    return f"{text} ({reasons})" if reasons else text


def count_decisions(decisions: Iterable[Decision]) -> CleaningCounts:
    """The counts of a table of decisions."""
    counts: dict[str, Counter[str]] = {}
    for decision in sorted(decisions, key=lambda decision: decision.label):
        of_label = counts.setdefault(decision.label, Counter())
        of_label[decision.decision] += 1
        of_label.update(decision.reasons)
    return CleaningCounts(counts)


def _to_row(decision: Decision) -> dict[str, object]:
    row = {name: getattr(decision, name) for name in _NAMES if name not in ("scores", "main_face")}
    row["reasons"], row["overruled"] = ";".join(decision.reasons), ";".join(decision.overruled)
    row["mirrored"] = "1" if decision.mirrored else ""
    row["other_faces"] = ";".join(
        " ".join(map(str, astuple(face))) for face in decision.other_faces
    )
    row |= {_SCORE + reason: score for reason, score in decision.scores.items()}
    if decision.main_face is not None:
        sides = asdict(decision.main_face)
        row |= {column: sides[column.removeprefix("face_")] for column in _FACE_COLUMNS}
    return row


def _from_row(row: tables.Row) -> Decision:
    """Raise ValueError for a cell that is no number where one belongs."""
    cells = tables.from_cells(Decision, row)
    for name in ("reasons", "overruled"):
        cells[name] = tuple(filter(None, row[name].split(";")))
    sides = [row[column] for column in _FACE_COLUMNS]
    cells["main_face"] = _face(sides) if any(sides) else None
    cells["other_faces"] = tuple(
        _face(face.split(" ")) for face in filter(None, row["other_faces"].split(";"))
    )
    cells["scores"] = {
        column.removeprefix(_SCORE): paths.finite(cell) if cell else None
        for column, cell in row.items()
        if column.startswith(_SCORE)
    }
    if row["decision"] not in (KEPT, DROPPED):
        raise ValueError(f"decision {row['decision']!r}")
    if row["picture"]:
        paths.check_inside("pictures", row["picture"])
    return Decision(**cells)


def _face(sides: Sequence[str]) -> Face:
    left, top, right, bottom, probability = sides
    return Face(int(left), int(top), int(right), int(bottom), paths.finite(probability))
