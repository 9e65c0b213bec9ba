"""Prepared pictures on disk: every job on all cores, each result a lossless WebP."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from whoswho.artifacts.model.settings import Box, Crop, Face, PictureSettings
from whoswho.pictures import opening
from whoswho.pictures.prepare import prepare
from whoswho.workers import mapping

# Of the file's own name so many letters stay: enough to recognise it, and four bytes each fit.
STEM_LENGTH = 40
# Reading is what is repeated, and a PNG takes nearly twice as long; writing with the least effort
# makes files a twentieth larger than with the most.
WEBP = {"lossless": True, "method": 0, "quality": 0}


@dataclass(frozen=True)
class Job:
    """A cleaned picture, where it goes, and the face cleaning found in it."""

    source: Path
    sha256: str
    label: str
    split: str
    face: Face | None


@dataclass(frozen=True)
class Written:
    """Path below the dataset's folder (posix), what it shows of the original, its face's box."""

    path: str
    crop: Crop
    box: Box | None


def write_pictures(jobs: Sequence[Job], settings: PictureSettings, out: Path) -> list[Written]:
    """Write `out`/<split>/<label>/<name>_<hash>.webp for every job, in order."""
    paths = _names(jobs)
    for folder in sorted({(out / path).parent for path in paths}):
        folder.mkdir(parents=True, exist_ok=True)
    write = partial(_write, settings=settings, out=out)
    pairs = list(zip(jobs, paths, strict=True))
    return list(mapping.each(write, pairs, "preprocess"))


def _write(job_and_path: tuple[Job, str], settings: PictureSettings, out: Path) -> Written:
    job, path = job_and_path
    prepared = prepare(opening.open_picture(job.source), settings, job.face)
    prepared.image.save(out / path, "WEBP", **WEBP)
    return Written(path, prepared.crop, prepared.box)


def _names(jobs: Sequence[Job]) -> list[str]:
    """A path for each job, no two equal even where case does not count."""
    taken: set[str] = set()
    names = []
    for job in jobs:
        stem = f"{job.split}/{job.label}/{job.source.stem[:STEM_LENGTH].strip()}_{job.sha256[:8]}"
        name, number = f"{stem}.webp", 2
        while name.casefold() in taken:
            name, number = f"{stem}_{number}.webp", number + 1
        taken.add(name.casefold())
        names.append(name)
    return names
