"""Draws small copies of what cleaning took out, and of its originals."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from whoswho.artifacts.decisions import Decision
from whoswho.artifacts.thumbnails import FOLDER, chosen_for_sheet, write_thumbnail
from whoswho.pictures import opening, thumbnail
from whoswho.workers import mapping

SIDE = 200  # pixels, the longest
QUALITY = 75
# Below it other processes take longer to start than the pictures to draw.
FEW = 100


def write(decisions: Sequence[Decision], data: Path, out: Path) -> None:
    """Write `out`/thumbnails/<sha256>.jpg for every picture shown and for what it duplicates.

    A file that gives no picture gets none.
    """
    by_file = {row.file: row for row in decisions}
    shown = [row for rows in chosen_for_sheet(decisions).values() for row in rows]
    originals = [by_file[row.duplicate_of] for row in shown if row.duplicate_of in by_file]
    # Without a hash it was never opened: it cannot be read, or leads out of data/.
    source = {row.sha256: data / row.file for row in (*shown, *originals) if row.sha256}
    (out / FOLDER).mkdir()
    jobs = sorted(source.items())
    for _ in mapping.each(partial(_draw, clean=out), jobs, "thumbnails", FEW):
        pass


def _draw(job: tuple[str, Path], clean: Path) -> None:
    sha256, source = job
    try:
        image = opening.open_picture(source)
    except opening.ImageOpenError:
        return
    write_thumbnail(clean, sha256, thumbnail.jpeg(image, SIDE, QUALITY))
