"""review.csv: what a person decided about single pictures. It beats every check.

A row speaks of a picture by the hash of its file and by the label it lies under in data/, so
that equal files under two labels can be told apart. Of two rows for one picture the later holds.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from whoswho import tables
from whoswho.errors import UserError
from whoswho.labels import from_folder

COLUMNS = ("sha256", "label", "decision", "other_label", "why", "when")
KEEP = "keep"
DROP = "drop"


@dataclass(frozen=True)
class Review:
    """One row: keep or drop a picture, or keep it under another label."""

    sha256: str
    label: str
    decision: str
    other_label: str
    why: str
    when: str
    line: int


def read(path: Path) -> list[Review]:
    """The rows of review.csv; none where the file is absent.

    Raises:
        UserError: names the line, what is wrong with it and what is allowed.
    """
    if not path.exists():
        return []
    rows = tables.read(path, COLUMNS)
    reviews = []
    # Row and line are the same, except where a cell spans lines: then the row is counted.
    for line, row in enumerate(rows, start=2):
        unknown = [name for name in row if name not in COLUMNS]
        if unknown:
            raise UserError(
                f"{path}: unknown column {unknown[0]!r}; its header is {','.join(COLUMNS)}"
            )
        where = f"{path}, line {line}"
        sha256 = row["sha256"].strip().lower()
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise UserError(
                f"{where}: sha256 {row['sha256']!r} is not 64 hexadecimal digits; "
                "copy it from artifacts/clean/decisions.csv"
            )
        decision = row["decision"].strip()
        if decision not in (KEEP, DROP):
            raise UserError(f"{where}: decision {row['decision']!r} is not {KEEP} or {DROP}")
        label, other = from_folder(row["label"]), from_folder(row["other_label"])
        if not label:
            raise UserError(f"{where}: label is empty; write the label the picture lies under")
        if other and decision == DROP:
            raise UserError(
                f"{where}: {DROP} and other_label {other!r} contradict each other; "
                f"write {KEEP} to move the picture to {other!r}, or empty other_label"
            )
        reviews.append(Review(sha256, label, decision, other, row["why"], row["when"], line))
    return reviews


def match(
    reviews: Iterable[Review], pictures: Iterable[tuple[str, str]], path: Path
) -> Mapping[tuple[str, str], Review]:
    """The row that holds for each (sha256, label), checked against what is in the set.

    Args:
        pictures: sha256 and label of every file in data/.
        path: the file the rows come from, for messages.

    Raises:
        UserError: a row speaks of a picture or a label that the set does not have.
    """
    labels_of: dict[str, set[str]] = defaultdict(set)
    labels: set[str] = set()
    for sha256, label in pictures:
        if sha256:
            labels_of[sha256].add(label)
        labels.add(label)
    labels.discard("")
    held: dict[tuple[str, str], Review] = {}
    for review in reviews:
        where = f"{path}, line {review.line}"
        if review.sha256 not in labels_of:
            raise UserError(
                f"{where}: no picture in data/ has the sha256 {review.sha256[:12]}…; "
                "delete the line, or bring the picture back"
            )
        if review.label not in labels_of[review.sha256]:
            lies = ", ".join(map(repr, sorted(labels_of[review.sha256])))
            raise UserError(
                f"{where}: the picture {review.sha256[:12]}… does not lie under "
                f"{review.label!r} but under {lies}; correct the label"
            )
        if review.other_label and review.other_label not in labels:
            close = difflib.get_close_matches(review.other_label, sorted(labels), 1)
            hint = f"did you mean {close[0]!r}?" if close else "make its folder in data/ first"
            raise UserError(f"{where}: no label {review.other_label!r} in data/; {hint}")
        held[review.sha256, review.label] = review
    return held
