"""Small copies of what cleaning took out, and of its originals, for the contact sheet.

data/ holds the originals and no later stage reads it: so they are drawn here, a bounded number a
reason, and cached like every stage's output.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from whoswho.artifacts.decisions import Decision
from whoswho.pictures import opening, thumbnail, workers

FOLDER = "thumbnails"
MOST = 40  # a reason
SIDE = 200  # pixels, the longest
QUALITY = 75
# Below it other processes take longer to start than the pictures to draw.
FEW = 100


def chosen(decisions: Iterable[Decision]) -> dict[str, list[Decision]]:
    """reason -> the dropped pictures that are shown, by label and file; at most MOST each.

    Every label has its turn before one has its second, so that none fills the sheet alone.
    """
    dropped: dict[str, list[Decision]] = defaultdict(list)
    for one in sorted(decisions, key=_order):
        if not one.kept:
            for reason in one.reasons:
                dropped[reason].append(one)
    return {reason: sorted(_in_turn(rows)[:MOST], key=_order) for reason, rows in dropped.items()}


def write(
    decisions: Sequence[Decision], data: Path, out: Path, worker_count: int | None = None
) -> None:
    """Write `out`/thumbnails/<sha256>.jpg for every picture shown and for what it duplicates.

    A file that gives no picture gets none.
    """
    by_file = {one.file: one for one in decisions}
    shown = [one for rows in chosen(decisions).values() for one in rows]
    originals = [by_file[one.duplicate_of] for one in shown if one.duplicate_of in by_file]
    # Without a hash it was never opened: it cannot be read, or leads out of data/.
    source = {one.sha256: data / one.file for one in (*shown, *originals) if one.sha256}
    folder = out / FOLDER
    folder.mkdir()
    jobs = sorted(source.items())
    count = 1 if len(jobs) < FEW else worker_count
    for _ in workers.each(partial(_draw, folder=folder), jobs, "thumbnails", count):
        pass


def read(clean: Path, sha256: str) -> bytes | None:
    """The JPEG of a picture below artifacts/clean; None where the file gave no picture."""
    path = clean / FOLDER / f"{sha256}.jpg"
    return path.read_bytes() if sha256 and path.is_file() else None


def _order(one: Decision) -> tuple[str, str]:
    return one.label, one.file


def _in_turn(rows: Sequence[Decision]) -> list[Decision]:
    """The first of every label, then the second of every label, …"""
    seen: Counter[str] = Counter()
    turns = []
    for one in rows:
        turns.append((seen[one.label], one.label, one.file, one))
        seen[one.label] += 1
    return [one for *_, one in sorted(turns, key=lambda turn: turn[:3])]


def _draw(job: tuple[str, Path], folder: Path) -> None:
    sha256, source = job
    try:
        image = opening.open_picture(source)
    except opening.ImageOpenError:
        return
    (folder / f"{sha256}.jpg").write_bytes(thumbnail.jpeg(image, SIDE, QUALITY))
