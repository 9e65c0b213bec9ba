"""Decide which pictures stay.

Consumes data/ and review.csv.
Produces artifacts/clean/: pictures/<label>/… (the kept files, their
bytes untouched), decisions.csv (every file: kept, or every reason why not), overlaps.csv
(look-alikes over the borders of a set already split), faces.json (the detector's settings, by
which model faces were told apart and from which distance on) and thumbnails/ (of what did not
stay, for the contact sheet).
Command: python src/stage.py clean
"""

from __future__ import annotations

from whoswho import paths
from whoswho.artifacts.decisions import sentence
from whoswho.artifacts.split import across_splits
from whoswho.cleaning import checks, dropped_pictures, seconds
from whoswho.dataset import pulled, review
from whoswho.params import load_params


def main() -> None:
    """Run all checks over data/."""
    params = load_params()
    folder = paths.workspace()
    pulled.check(folder)
    reviews = review.read(folder / paths.REVIEW)
    with paths.fresh_folder(folder / paths.CLEAN) as out:
        outcome = checks.run(
            folder / paths.DATA,
            params.clean,
            reviews,
            out,
            review_path=folder / paths.REVIEW,
            faces=paths.root() / paths.FACES,
        )
        dropped_pictures.write(outcome.decisions, folder / paths.DATA, out)
    notes = [sentence(outcome.decisions), *outcome.listing.notes, *outcome.notes]
    if outcome.listing.litter:
        entries = "entry" if outcome.listing.litter == 1 else "entries"
        notes.append(f"{outcome.listing.litter} {entries} of a system or crawler passed over")
    hashes = {row.file: row.sha256 for row in outcome.decisions}
    if across := across_splits(outcome.overlaps, hashes):
        notes.append(f"{across} (overlaps.csv)")
    notes.append(f"seconds of processor: {seconds.phrase(outcome.spent)}")
    print(f"clean: {'; '.join(notes)}")
