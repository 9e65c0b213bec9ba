"""Split the cleaned pictures and bring them to the network's input.

Consumes artifacts/clean/.
Produces artifacts/dataset/: {train,validation,test}/<label>/*.webp, split.csv (which picture is
where, and how it was cropped), overlaps.csv, face_vectors.npy (where cleaning told faces apart),
dataset.json (labels in order, picture settings).
Command: python src/stage.py preprocess
"""

from __future__ import annotations

from collections import Counter

from whoswho import paths
from whoswho.artifacts import decisions
from whoswho.artifacts.model.settings import PictureSettings
from whoswho.artifacts.split import (
    SplitRow,
    across_splits,
    box_cell,
    read_face_vectors,
    read_overlaps,
    write_dataset,
    write_face_vectors,
)
from whoswho.params import load_params
from whoswho.pictures import prepared_files, splitting


def main() -> None:
    """Write the dataset. A set that is split already keeps its split."""
    params = load_params()
    clean = paths.workspace() / paths.CLEAN
    decided = decisions.read_decisions(clean)
    kept = [row for row in decided if row.kept]
    detector = decisions.read_face_settings(clean)
    settings = PictureSettings(
        # Where cleaning looked for no faces there is nobody to crop.
        crop=params.picture.crop if detector.faces == "one" else "whole",
        margin=params.picture.margin,
        size=params.picture.size,
        face_probability=detector.probability,
        min_face_size=detector.min_size,
    )
    ready_split = any(row.split for row in kept)
    if not ready_split:
        pictures = [(row.sha256, row.label, row.group) for row in kept]
        assigned = splitting.assign(pictures, params.split.model_dump(), params.split.seed)
    splits = [row.split if ready_split else assigned[row.sha256] for row in kept]
    jobs = [
        prepared_files.Job(
            clean / "pictures" / row.picture, row.sha256, row.label, split, row.main_face
        )
        for row, split in zip(kept, splits, strict=True)
    ]
    with paths.fresh_folder(paths.workspace() / paths.DATASET) as out:
        written = prepared_files.write_pictures(jobs, settings, out)
        rows = [
            SplitRow(
                row.file,
                row.sha256,
                row.label,
                split,
                row.group,
                done.crop,
                done.path,
                box_cell(done.box),
            )
            for row, split, done in zip(kept, splits, written, strict=True)
        ]
        overlaps = read_overlaps(clean)
        write_dataset(out, rows, settings, ready_split=ready_split, overlaps=overlaps)
        if (vectors := read_face_vectors(clean, len(decided))) is not None:
            write_face_vectors(out, [vectors[n] for n, row in enumerate(decided) if row.kept])
    counts = Counter(splits)
    sizes = ", ".join(f"{counts[name]} {name}" for name in paths.SPLITS if counts[name])
    whole = sum(done.crop == "whole" for done in written)
    notes = [f"{len(kept)} pictures: {sizes}", *([f"{whole} whole"] if whole else [])]
    if across := across_splits(overlaps, {row.file: row.sha256 for row in kept}):
        notes.append(
            f"{across}, which flatters the scores: drop one of each in review.csv (pairs in "
            "artifacts/clean/overlaps.csv), or put the labels right under data/ to be split anew"
        )
    print(f"preprocess: {'; '.join(notes)}")
