"""Who is in the pictures: how many faces count, and whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from whoswho.artifacts.model.settings import Face
from whoswho.cleaning import identity
from whoswho.cleaning.identity import Judgement
from whoswho.params import Clean
from whoswho.pictures import embedding, opening, workers
from whoswho.pictures.embedding import Vector
from whoswho.pictures.face_cache import FaceCache
from whoswho.pictures.faces import (
    FaceFinder,
    count,
    finder_version,
    from_bytes,
    from_probability,
    to_bytes,
)

NO_FACE = "no_face"
SEVERAL_FACES = "several_faces"
OFF = "off"


@dataclass(frozen=True)
class FaceEvidence:
    """What was found in a picture.

    Attributes:
        faces: those sure enough, the tallest first.
        vector: the embedding of the face, where exactly one counts.
        best_probability: the highest the detector gave anything, 0 where it found nothing.
    """

    faces: Sequence[Face]
    vector: Vector | None = None
    best_probability: float = 0.0


@dataclass(frozen=True)
class _Job:
    """A picture of which something is not known yet: its detections (None), or the embedding."""

    path: Path
    detections: Sequence[Face] | None
    params: Clean


def find_faces(
    pictures: Sequence[tuple[Path, str]],
    params: Clean,
    cache: FaceCache,
    worker_count: int | None = None,
) -> list[FaceEvidence]:
    """The faces in each picture (path, sha256); only what `cache` lacks is looked for."""
    version = finder_version(params.min_face_size)
    results: dict[int, FaceEvidence] = {}
    jobs: dict[int, _Job] = {}
    for index, (path, sha256) in enumerate(pictures):
        cached = cache.get(sha256, version)
        detections = None if cached is None else from_bytes(cached)
        known = None
        if detections is not None:
            known = _cached_evidence(detections, sha256, params, cache)
        if known is None:
            jobs[index] = _Job(path, detections, params)
        else:
            results[index] = known
    found = workers.each(_detect_and_embed, list(jobs.values()), "faces", worker_count)
    for index, (every, vector) in zip(jobs, found, strict=True):
        _, sha256 = pictures[index]
        cache.put(sha256, version, to_bytes(every))
        results[index] = evidence = _evidence(every, vector, params)
        if vector is not None:
            version_of_face = embedding.embedder_version(evidence.faces[0])
            cache.put(sha256, version_of_face, vector.tobytes())
    cache.flush()
    return [results[index] for index in range(len(pictures))]


def problem(faces: Sequence[Face], params: Clean) -> str:
    """The reason where there is not exactly one face that counts, else an empty text."""
    counted = count(faces, params.second_face_min_ratio)
    if counted == 1:
        return ""
    return SEVERAL_FACES if counted else NO_FACE


def scores(evidence: FaceEvidence) -> dict[str, float]:
    """The numbers behind `problem`: the best probability, and the second face's height over that
    of the main one.
    """
    heights = [face.height for face in evidence.faces]
    second = heights[1] / heights[0] if len(heights) > 1 else 0.0
    return {NO_FACE: evidence.best_probability, SEVERAL_FACES: round(second, 4)}


def judges_identity(params: Clean) -> bool:
    """Whether faces are told apart: it is wanted, and the extra that can is installed."""
    return params.identity_false_alarm_rate > 0 and embedding.available()


def judge(
    evidence: Sequence[FaceEvidence],
    labels: Sequence[str],
    vouched: Sequence[bool],
    params: Clean,
    *,
    can_embed: bool,
) -> tuple[Judgement, str]:
    """What the embeddings say, by index in `evidence`, and by which model (`off`: by none).

    Args:
        vouched: whether a person said that a picture is rightly under its label.
        can_embed: whether the extra that tells faces apart is installed.
    """
    if params.identity_false_alarm_rate == 0:
        return Judgement(), OFF
    if not can_embed:
        note = (
            "not_this_person and swapped are OFF: the extra `faces` is not installed "
            "(pip install -c constraints.txt -e '.[faces]')"
        )
        return Judgement(notes=[note]), OFF
    known = [index for index, faces in enumerate(evidence) if faces.vector is not None]
    vectors = np.array([evidence[index].vector for index in known], np.float64)
    judgement = identity.judge(
        vectors.reshape(len(known), embedding.SIZE),
        [labels[index] for index in known],
        [vouched[index] for index in known],
        params.identity_false_alarm_rate,
    )
    verdicts = {known[row]: verdict for row, verdict in judgement.verdicts.items()}
    distances = {known[row]: distance for row, distance in judgement.distances.items()}
    return Judgement(verdicts, judgement.limits, judgement.notes, distances), embedding.MODEL


def _evidence(detections: Sequence[Face], vector: Vector | None, params: Clean) -> FaceEvidence:
    best = max((face.probability for face in detections), default=0.0)
    return FaceEvidence(from_probability(detections, params.face_probability), vector, best)


def _is_embedded(faces: Sequence[Face], params: Clean) -> bool:
    return judges_identity(params) and count(faces, params.second_face_min_ratio) == 1


def _cached_evidence(
    detections: Sequence[Face], sha256: str, params: Clean, cache: FaceCache
) -> FaceEvidence | None:
    """What the cache says of a picture; None where its embedding is not known yet."""
    evidence = _evidence(detections, None, params)
    if not _is_embedded(evidence.faces, params):
        return evidence
    vector = cache.get(sha256, embedding.embedder_version(evidence.faces[0]))
    if vector is None:
        return None
    return _evidence(detections, np.frombuffer(vector, np.float32), params)


def _detect_and_embed(job: _Job) -> tuple[Sequence[Face], Vector | None]:
    """Everything the detector finds, and the only face's embedding; runs in any process."""
    image = opening.open_picture(job.path)
    detections = job.detections
    if detections is None:
        detections = _finder(job.params.min_face_size).find_all(image)
    faces = from_probability(detections, job.params.face_probability)
    embeds = _is_embedded(faces, job.params)
    return detections, embedding.embed(image, faces[0]) if embeds else None


@lru_cache(maxsize=1)
def _finder(min_size: float) -> FaceFinder:
    return FaceFinder(0.0, min_size)
