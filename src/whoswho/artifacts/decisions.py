"""The table of cleaning: one row a file of data/, kept or with every reason why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from whoswho import tables
from whoswho.errors import UserError
from whoswho.pictures.faces import Face

KEPT = "kept"
DROPPED = "dropped"

# What each reason says of a picture.
SAYS = {
    "no_label": "lies in no label's folder",
    "unreadable": "the file cannot be opened",
    "truncated": "the file ends too early",
    "not_a_picture": "the file holds something else",
    "animated": "a film, not a picture",
    "too_small": "fewer pixels than the shortest side asked for",
    "extreme_shape": "much longer on one side than on the other",
    "too_dark": "almost black",
    "too_bright": "almost white",
    "blank": "shows next to nothing",
    "blurry": "no sharp edge",
    "duplicate": "the same pixels as another picture of the label",
    "near_duplicate": "the same photograph as another picture of the label",
    "cross_label": "the same photograph under two labels",
    "placeholder": "one picture served under many labels",
    "no_face": "no face was found",
    "several_faces": "more than one face counts",
    "not_this_person": "the face is unlike the label's other faces",
    "swapped": "the face fits another label better",
    "review": "dropped by hand, in review.csv",
}


@dataclass
class Decision:
    """What became of one file; every cell is text, empty where it does not apply.

    Attributes:
        file: posix path below data/.
        label: the label it counts under, in Unicode form NFC; another than its folder's where a
            person moved it.
        split: where data/ is split already, the split it lies in.
        reasons: joined by `;`.
        measure: the number behind each reason.
        twin: file of the other picture, for reasons about two.
        group: smallest sha256 among its look-alikes.
        faces: how many count; face_*: box of the main one, pixels of the upright picture.
        reviewed: keep or drop, as a person decided.
        picture: path below artifacts/clean/pictures of a kept one.
    """

    file: str
    label: str = ""
    split: str = ""
    decision: str = DROPPED
    reasons: str = ""
    measure: str = ""
    twin: str = ""
    sha256: str = ""
    width: str = ""
    height: str = ""
    format: str = ""
    group: str = ""
    faces: str = ""
    face_left: str = ""
    face_top: str = ""
    face_right: str = ""
    face_bottom: str = ""
    face_probability: str = ""
    reviewed: str = ""
    picture: str = ""

    @property
    def kept(self) -> bool:
        """Whether the picture stays."""
        return self.decision == KEPT

    @property
    def main_face(self) -> Face | None:
        """The main face's box, None where no face was found or looked for."""
        if not self.face_left:
            return None
        return Face(
            int(self.face_left),
            int(self.face_top),
            int(self.face_right),
            int(self.face_bottom),
            float(self.face_probability),
        )

    def measure_of(self, reason: str) -> str:
        """The number behind one of its reasons."""
        reasons = self.reasons.split(";")
        _, _, rest = f"; {self.measure}".partition(f"; {reason}: ")
        for later in reasons[reasons.index(reason) + 1 :]:
            rest = rest.partition(f"; {later}: ")[0]
        return rest

    def add_faces(self, count: int, main: Face | None) -> None:
        """Write how many faces count, and where the main one is."""
        self.faces = str(count)
        if main is not None:
            self.face_left, self.face_top = str(main.left), str(main.top)
            self.face_right, self.face_bottom = str(main.right), str(main.bottom)
            self.face_probability = f"{main.probability:.4f}"


COLUMNS = tuple(field.name for field in fields(Decision))
OVERLAP_COLUMNS = ("file_a", "split_a", "file_b", "split_b")


def write(path: Path, decisions: Iterable[Decision]) -> None:
    """Write decisions.csv."""
    tables.write(path, COLUMNS, map(vars, decisions))


def read(path: Path) -> list[Decision]:
    """The rows of decisions.csv.

    Raises:
        UserError: it is absent, or a cell is not what cleaning writes there.
    """
    read_rows = [
        Decision(**{name: row[name] for name in COLUMNS}) for row in tables.read(path, COLUMNS)
    ]
    for one in read_rows:
        try:
            int(one.width or 0), int(one.height or 0), one.main_face
        except ValueError as error:
            raise UserError(
                f"{path}: the row of {one.file} was changed by hand ({error}); delete the file, "
                "then run `dvc repro`"
            ) from None
    return read_rows


def sentence(decisions: Sequence[Decision]) -> str:
    """`231 pictures of 5 labels: 201 kept, 30 dropped (12 near_duplicate, …)`."""
    kept = sum(one.kept for one in decisions)
    labels = len({one.label for one in decisions if one.label})
    dropped = len(decisions) - kept
    text = f"{len(decisions)} files of {labels} labels: {kept} kept, {dropped} dropped"
    reasons = ", ".join(f"{count} {reason}" for reason, count in _reasons(decisions))
    return f"{text} ({reasons})" if reasons else text


def _reasons(decisions: Iterable[Decision]) -> list[tuple[str, int]]:
    """Reasons of the dropped and their counts, the most frequent first."""
    counts = Counter(
        reason for one in decisions if not one.kept for reason in one.reasons.split(";") if reason
    )
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
