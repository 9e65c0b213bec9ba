"""Who is in the pictures: how many faces count, and whose they are."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from whoswho.artifacts.model.settings import Face
from whoswho.cleaning import seconds
from whoswho.cleaning.quality import measure_face
from whoswho.cleaning.seconds import Seconds
from whoswho.params import Clean
from whoswho.pictures import embedding, opening
from whoswho.pictures.embedding import Vector
from whoswho.pictures.face_cache import FaceCache
from whoswho.pictures.faces import (
    FaceFinder,
    best_probability,
    count,
    finder_version,
    from_bytes,
    to_bytes,
)
from whoswho.workers import mapping

NO_FACE = "no_face"
SEVERAL_FACES = "several_faces"


@dataclass(frozen=True)
class FaceEvidence:
    """What was found in a picture.

    Attributes:
        faces: those sure enough, the main one first, blurred ones last, else the tallest first.
        vector: the embedding of the face, where exactly one counts.
        best_probability: the highest the detector gave anything, 0 where it found nothing.
        brightness: mean of the main face, 0 to 255; None where there is none.
        blurred: how many of the faces, the last, are too blurred to count.
    """

    faces: Sequence[Face]
    vector: Vector | None = None
    best_probability: float = 0.0
    brightness: float | None = None
    blurred: int = 0

    @property
    def sharp(self) -> Sequence[Face]:
        """The faces that are not blurred, the main one first."""
        return self.faces[: len(self.faces) - self.blurred]


@dataclass(frozen=True)
class _Measured:
    """A detection, however unsure, with what `measure_face` says of it."""

    face: Face
    brightness: float
    sharpness: float


@dataclass(frozen=True)
class _Job:
    """A picture of which something is not known yet: its detections (None), or the embedding."""

    path: Path
    measured: Sequence[_Measured] | None
    params: Clean


def find_faces(
    pictures: Sequence[tuple[Path, str]],
    params: Clean,
    cache: FaceCache,
    spent: Seconds | None = None,
) -> list[FaceEvidence]:
    """The faces in each picture (path, sha256); only what `cache` lacks is looked for.

    Args:
        spent: the seconds of processor are added to it.
    """
    version = finder_version(params.min_face_size)
    results: dict[int, FaceEvidence] = {}
    jobs: dict[int, _Job] = {}
    for index, (path, sha256) in enumerate(pictures):
        detected, known = _cached(sha256, version, params, cache)
        if known is None:
            jobs[index] = _Job(path, detected, params)
        else:
            results[index] = known
    detections = mapping.each(_detect_and_embed, list(jobs.values()), "faces")
    for index, (measured, vector, own) in zip(jobs, detections, strict=True):
        if spent is not None:
            spent.update(own)
        _, sha256 = pictures[index]
        cache.put(sha256, version, to_bytes(measurement.face for measurement in measured))
        numbers = [number for face in measured for number in (face.brightness, face.sharpness)]
        cache.put(sha256, _pixels_version(version), struct.pack(f"<{len(numbers)}d", *numbers))
        results[index] = evidence = replace(_evidence(measured, params), vector=vector)
        if vector is not None:
            version_of_face = embedding.embedder_version(evidence.faces[0])
            cache.put(sha256, version_of_face, vector.tobytes())
    cache.flush()
    return [results[index] for index in range(len(pictures))]


def counted(evidence: FaceEvidence, params: Clean) -> int:
    """How many faces count: the main one and the others that are tall and sharp enough."""
    return count(evidence.sharp, params.second_face_min_ratio)


def problem(evidence: FaceEvidence, params: Clean) -> str:
    """The reason where there is not exactly one face that counts, else an empty text."""
    number = counted(evidence, params)
    if number == 1:
        return ""
    return SEVERAL_FACES if number else NO_FACE


def scores(evidence: FaceEvidence) -> dict[str, float]:
    """The numbers behind `problem`: the best probability, and the height of the second face that
    is sharp over that of the main one.
    """
    heights = [face.height for face in evidence.sharp]
    second = heights[1] / heights[0] if len(heights) > 1 else 0.0
    return {NO_FACE: evidence.best_probability, SEVERAL_FACES: round(second, 4)}


def judges_identity(params: Clean) -> bool:
    """Whether faces are told apart: it is wanted, and what can is installed."""
    return params.identity_false_alarm_rate > 0 and embedding.available()


def _evidence(measured: Sequence[_Measured], params: Clean) -> FaceEvidence:
    """All but the embedding."""
    best = best_probability(each.face for each in measured)
    sure = [each for each in measured if each.face.probability >= params.face_probability]
    if not sure:
        return FaceEvidence([], best_probability=best)
    main = sure[0]
    least = params.second_face_min_sharpness * main.sharpness
    sharp = [each.face for each in sure if each.sharpness >= least]
    blurred = [each.face for each in sure if each.sharpness < least]
    return FaceEvidence([*sharp, *blurred], None, best, main.brightness, len(blurred))


def _is_embedded(evidence: FaceEvidence, params: Clean) -> bool:
    return judges_identity(params) and counted(evidence, params) == 1


def _cached(
    sha256: str, version: str, params: Clean, cache: FaceCache
) -> tuple[list[_Measured] | None, FaceEvidence | None]:
    """The detections and the evidence that the cache has; None for what it lacks."""
    row, numbers = cache.get(sha256, version), cache.get(sha256, _pixels_version(version))
    if row is None or numbers is None:
        return None, None
    pairs = zip(from_bytes(row), struct.iter_unpack("<2d", numbers), strict=True)
    measured = [_Measured(face, *pair) for face, pair in pairs]
    evidence = _evidence(measured, params)
    if not _is_embedded(evidence, params):
        return measured, evidence
    vector = cache.get(sha256, embedding.embedder_version(evidence.faces[0]))
    if vector is None:
        return measured, None
    return measured, replace(evidence, vector=np.frombuffer(vector, np.float32))


def _pixels_version(version: str) -> str:
    """All that what is measured depends on besides the file: the version of its detections."""
    return f"brightness and sharpness of {version}"


def _detect_and_embed(job: _Job) -> tuple[Sequence[_Measured], Vector | None, Seconds]:
    """All the detector finds, and the embedding of the only face that counts.

    It runs in any process.
    """
    spent = Seconds()
    with seconds.on(seconds.OPENING, spent):
        image = opening.open_picture(job.path)
    with seconds.on(seconds.DETECTION, spent):
        measured = job.measured
        if measured is None:
            detections = _finder(job.params.min_face_size).find_all(image)
            measured = [_Measured(face, *measure_face(image, face)) for face in detections]
    evidence = _evidence(measured, job.params)
    if not _is_embedded(evidence, job.params):
        return measured, None, spent
    with seconds.on(seconds.IDENTITY, spent):
        return measured, embedding.embed(image, evidence.faces[0]), spent


@lru_cache(maxsize=1)
def _finder(min_size: float) -> FaceFinder:
    return FaceFinder(0.0, min_size)
