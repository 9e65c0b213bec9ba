"""Draws small copies of what cleaning took out, and of its originals."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from whoswho.artifacts.decisions import Decision
from whoswho.artifacts.thumbnails import FOLDER, chosen_for_sheet, thumbnail_path
from whoswho.pictures import opening, thumbnail, workers

SIDE = 200  # pixels, the longest
QUALITY = 75
# Below it other processes take longer to start than the pictures to draw.
FEW = 100


def write(
    decisions: Sequence[Decision], data: Path, out: Path, worker_count: int | None = None
) -> None:
    """Write `out`/thumbnails/<sha256>.jpg for every picture shown and for what it duplicates.

    A file that gives no picture gets none.
    """
    by_file = {one.file: one for one in decisions}
    shown = [one for rows in chosen_for_sheet(decisions).values() for one in rows]
    originals = [by_file[one.duplicate_of] for one in shown if one.duplicate_of in by_file]
    # Without a hash it was never opened: it cannot be read, or leads out of data/.
    source = {one.sha256: data / one.file for one in (*shown, *originals) if one.sha256}
    (out / FOLDER).mkdir()
    jobs = sorted(source.items())
    count = 1 if len(jobs) < FEW else worker_count
    for _ in workers.each(partial(_draw, clean=out), jobs, "thumbnails", count):
        pass


def _draw(job: tuple[str, Path], clean: Path) -> None:
    sha256, source = job
    try:
        image = opening.open_picture(source)
    except opening.ImageOpenError:
        return
    thumbnail_path(clean, sha256).write_bytes(thumbnail.jpeg(image, SIDE, QUALITY))
