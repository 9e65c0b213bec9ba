"""review.csv: what a person decided about single pictures. It beats every check.

A row speaks of a picture by the hash of its file and by the label it lies under in data/, so
that equal files under two labels can be told apart. Of two rows for one picture the later holds.

A person edits the file by hand or on the review page, perhaps both at once: so a decision is
written by reading the file again under a lock and changing the lines of its picture alone.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from whoswho import paths, tables
from whoswho.errors import UserError
from whoswho.labels import from_folder

COLUMNS = ("sha256", "label", "decision", "other_label", "why", "when")
KEEP = "keep"
DROP = "drop"

LOCK = Path(".whoswho/review.lock")  # beside review.csv
# Writing takes milliseconds: whoever holds the lock for longer hangs.
LOCK_SECONDS = 10


@dataclass(frozen=True)
class Word:
    """What a person says of a picture: keep or drop it, or keep it under another label.

    `when` is a UTC time in ISO 8601 where `record` wrote it, any text by hand; None before that.
    """

    decision: str
    other_label: str = ""
    why: str = ""
    when: str | None = None


@dataclass(frozen=True)
class Review:
    """One row: whose picture it is about, and what a person says of it."""

    sha256: str
    label: str
    decision: str
    other_label: str
    why: str
    when: str
    line: int

    @property
    def word(self) -> Word:
        """What the row says."""
        return Word(self.decision, self.other_label, self.why, self.when)


class Changed(Exception):  # noqa: N818 - an answer for whoever decides, not a defect
    """Somebody else decided about the picture meanwhile; `word` is what holds now."""

    def __init__(self, word: Word | None) -> None:
        super().__init__("the decision was changed elsewhere")
        self.word = word


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


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let nobody else of this program write review.csv meanwhile.

    Raises:
        UserError: another process does not let go of it.
    """
    lock = path.parent / LOCK
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=LOCK_SECONDS):
            yield
    except Timeout:
        raise UserError(
            f"{path}: another process has been writing it for {LOCK_SECONDS} seconds; "
            "end that one, then decide again"
        ) from None


def record(
    path: Path, picture: tuple[str, str], word: Word | None, *, seen: Word | None
) -> Word | None:
    """Write what a person says of a picture; return what holds now.

    Every other line of the file, its order, line ends and quotes stay as they are.

    Args:
        picture: sha256 and the label it lies under in data/.
        word: where its `when` is None it gets the present time. None takes the rows out.
        seen: what held when the person decided.

    Raises:
        Changed: something else than `seen` holds by now; nothing is written.
        UserError: the file is not sound, or cannot be written.
    """
    with locked(path):
        now = held(read(path), picture)
        if now != seen:
            raise Changed(now)
        if word is not None and word.when is None:
            if now is not None and replace(now, when=None) == word:
                return now
            word = replace(word, when=datetime.now(UTC).isoformat(timespec="seconds"))
        if word != now:
            _write(path, picture, word)
        return word


def held(reviews: Iterable[Review], picture: tuple[str, str]) -> Word | None:
    """What the rows say of a picture, None where they say nothing."""
    word = None
    for one in reviews:
        if (one.sha256, one.label) == picture:
            word = one.word
    return word


def _write(path: Path, picture: tuple[str, str], word: Word | None) -> None:
    """Put `word` in the place of the picture's last row, or at the end; None removes its rows."""
    content = path.read_bytes() if path.exists() else (",".join(COLUMNS) + "\n").encode()
    mark = codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b""
    text = content.removeprefix(mark).decode("utf-8", "surrogateescape")
    (head, header), *rows = _records(text)
    end = "\r\n" if head.endswith("\r\n") else "\n"
    places = [
        place
        for place, (_, cells) in enumerate(rows)
        if cells and _picture(dict(zip(header, cells, strict=True))) == picture
    ]
    lines = [line for line, _ in rows]
    if word is None:
        lines = [line for place, line in enumerate(lines) if place not in places]
    else:
        row = {"sha256": picture[0], "label": picture[1], **asdict(word)}
        written = io.StringIO()
        csv.DictWriter(written, header, lineterminator=end).writerow(row)
        lines[slice(places[-1], places[-1] + 1) if places else slice(len(lines), None)] = [
            written.getvalue()
        ]
    whole = [line if line.endswith(("\n", "\r")) else line + end for line in (head, *lines)]
    with paths.fresh_file(path) as partial:
        partial.write_bytes(mark + "".join(whole).encode("utf-8", "surrogateescape"))


def _records(text: str) -> Iterator[tuple[str, Sequence[str]]]:
    """Every record of a CSV text as it is written, which may be several lines, and its cells."""
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(lines)
    start = 0
    for cells in reader:
        yield "".join(lines[start : reader.line_num]), cells
        start = reader.line_num


def _picture(row: Mapping[str, str]) -> tuple[str, str]:
    return row["sha256"].strip().lower(), from_folder(row["label"])
