"""review.csv: what a person decided about single pictures. It beats every check.

A row speaks of a picture by the hash of its file and by the label it lies under in data/, so
that equal files under two labels can be told apart. Rows of two people that disagree about one
picture are refused; of rows that agree the last holds.

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
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from whoswho import paths, tables
from whoswho.errors import UserError
from whoswho.labels import from_folder
from whoswho.wording import plural

KEEP = "keep"
DROP = "drop"

LOCK = Path(".whoswho/review.lock")  # beside review.csv
# Writing takes milliseconds: whoever holds the lock for longer hangs.
LOCK_SECONDS = 10


@dataclass(frozen=True)
class ReviewDecision:
    """What a person decided about a picture: keep or drop it, or keep it under another label.

    `when` is a UTC time in ISO 8601 where `record` wrote it, any text by hand; None before that.
    """

    decision: str
    other_label: str = ""
    why: str = ""
    when: str | None = None


COLUMNS = ("sha256", "label", *(field.name for field in fields(ReviewDecision)))


@dataclass(frozen=True)
class Review(ReviewDecision):
    """A row of review.csv: a decision and whose picture it is about."""

    sha256: str = field(kw_only=True)
    label: str = field(kw_only=True)
    line: int = field(kw_only=True)

    @property
    def bare(self) -> ReviewDecision:
        """The decision alone."""
        return ReviewDecision(self.decision, self.other_label, self.why, self.when)

    @property
    def picture(self) -> tuple[str, str]:
        """What names the picture: the hash of its bytes, and the label it lies under."""
        return self.sha256, self.label


def read(path: Path) -> list[Review]:
    """The rows of review.csv; none where the file is absent.

    Raises:
        UserError: names the line, what is wrong with it and what is allowed, or the lines that
            disagree about a picture.
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
        row_decision = ReviewDecision(decision, other, row["why"], row["when"])
        reviews.append(Review(**vars(row_decision), sha256=sha256, label=label, line=line))
    _check_agreement(reviews, path)
    return reviews


def _check_agreement(reviews: Iterable[Review], path: Path) -> None:
    """See that no two rows decide otherwise about one picture: a merge keeps both sides' rows."""
    decided: dict[tuple[str, str], dict[tuple[str, str], Review]] = defaultdict(dict)
    for row in reviews:
        other = "" if row.other_label == row.label else row.other_label
        decided[row.picture].setdefault((row.decision, other), row)
    disputed = [list(rows.values()) for rows in decided.values() if len(rows) > 1]
    if disputed:
        rows = disputed[0]
        lines = " and ".join(str(row.line) for row in rows)
        sides = ", ".join(" as ".join(filter(None, (r.decision, r.other_label))) for r in rows)
        more = f", and so do rows of {plural(len(disputed) - 1, 'other picture')}"
        raise UserError(
            f"{path}, lines {lines}: disagree about the picture {rows[0].sha256[:12]}… of "
            f"{rows[0].label!r} ({sides}){more if len(disputed) > 1 else ''}; keep the line that "
            "is right and delete the other"
        )


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
    present = set(pictures)
    labels = sorted({label for _, label in present} - {""})
    labels_of: dict[str, list[str]] = defaultdict(list)
    for sha256, label in sorted(present):
        labels_of[sha256].append(label)
    reviews = list(reviews)
    if unmatched := [review for review in reviews if review.picture not in present]:
        raise UserError(_unmatched(unmatched, labels_of, path))
    holds: dict[tuple[str, str], Review] = {}
    for review in reviews:
        if review.other_label and review.other_label not in labels:
            close = difflib.get_close_matches(review.other_label, labels, 1)
            hint = f"did you mean {close[0]!r}?" if close else "make its folder in data/ first"
            raise UserError(
                f"{path}, line {review.line}: no label {review.other_label!r} in data/; {hint}"
            )
        holds[review.picture] = review
    return holds


def _unmatched(rows: Sequence[Review], labels_of: Mapping[str, Sequence[str]], path: Path) -> str:
    """What is said of rows that match no file; never to delete them, they are decisions."""
    count = "1 row matches" if len(rows) == 1 else f"{len(rows)} rows match"
    moved = [row for row in rows if row.sha256 in labels_of]
    first = moved[0] if moved else rows[0]
    where = f"{path}, line {first.line}"
    if not moved:
        return (
            f"{where}: no picture in data/ has the sha256 {first.sha256[:12]}…, and in all "
            f"{count} no file here; the data may not be pulled (`dvc pull`), the pictures may be "
            f"gone, or they were saved anew; bring them back, the rows are decisions"
        )
    lies = ", ".join(map(repr, labels_of[first.sha256]))
    gone = first.label not in {label for labels in labels_of.values() for label in labels}
    what = "its folder was renamed" if gone else "it was moved"
    alike = plural(sum(row.label == first.label for row in moved), "row")
    return (
        f"{where}: the picture {first.sha256[:12]}… does not lie under {first.label!r} but under "
        f"{lies}, and in all {count} no file here; {what}: correct the label in {alike} of "
        f"{first.label!r}, or take the renaming back"
    )


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


@dataclass(frozen=True)
class Change:
    """A decision about one picture, and what held when the person made it.

    Where the decision's `when` is None it gets the present time. None takes the rows out.
    """

    decision: ReviewDecision | None
    seen: ReviewDecision | None


@dataclass(frozen=True)
class Outcome:
    """What holds of a picture now.

    Attributes:
        changed: somebody else decided, and nothing was written.
        error: why nothing could be, else empty.
    """

    decision: ReviewDecision | None
    changed: bool = False
    error: str = ""


def record(
    path: Path, changes: Mapping[tuple[str, str], Change]
) -> dict[tuple[str, str], Outcome]:
    """Write what a person decided about pictures; the outcome of each.

    Every other line of the file, its order, line ends and quotes stay as they are.

    Args:
        changes: by sha256 and the label the picture lies under in data/.

    Raises:
        UserError: the file is not sound, or cannot be written.
    """
    outcomes: dict[tuple[str, str], Outcome] = {}
    decisions: dict[tuple[str, str], ReviewDecision | None] = {}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    with locked(path):
        holds = {row.picture: row.bare for row in read(path)}
        for picture, change in changes.items():
            current, decision = holds.get(picture), change.decision
            if current != change.seen:
                outcomes[picture] = Outcome(current, changed=True)
                continue
            if decision is not None and decision.when is None:
                same = current is not None and replace(current, when=None) == decision
                decision = current if same else replace(decision, when=now)
            if decision != current:
                decisions[picture] = decision
            outcomes[picture] = Outcome(decision)
        if decisions:
            _write(path, decisions)
    return outcomes


def _write(path: Path, decisions: Mapping[tuple[str, str], ReviewDecision | None]) -> None:
    """Put each decision in the place of its picture's rows, or at the end; None removes."""
    content = path.read_bytes() if path.exists() else (",".join(COLUMNS) + "\n").encode()
    mark = codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b""
    text = content.removeprefix(mark).decode("utf-8", "surrogateescape")
    (head, header), *rows = _records(text)
    end = "\r\n" if head.endswith("\r\n") else "\n"
    lines = [line for line, _ in rows]
    own: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, (_, cells) in enumerate(rows):
        if cells:
            own[_picture(dict(zip(header, cells, strict=True)))].append(index)
    for picture, decision in decisions.items():
        if decision is None:
            for index in own[picture]:
                lines[index] = ""
            continue
        for index in own[picture][:-1]:  # they would disagree with this one
            lines[index] = ""
        written = io.StringIO()
        row = {"sha256": picture[0], "label": picture[1], **asdict(decision)}
        csv.DictWriter(written, header, lineterminator=end).writerow(row)
        if own[picture]:
            lines[own[picture][-1]] = written.getvalue()
        else:
            lines.append(written.getvalue())
    left = (head, *filter(None, lines))
    whole = [line if line.endswith(("\n", "\r")) else line + end for line in left]
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
