"""Who is in the pictures: how many faces count, and whose they are."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from whoswho.artifacts.model.settings import Face
from whoswho.cleaning import identity
from whoswho.cleaning.identity import Judgement
from whoswho.cleaning.quality import face_brightness
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
    main_face,
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
        brightness: mean of the main face, 0 to 255; None where there is none.
    """

    faces: Sequence[Face]
    vector: Vector | None = None
    best_probability: float = 0.0
    brightness: float | None = None


@dataclass(frozen=True)
class _Job:
    """A picture of which something is not known yet: detections (None), or what rests on them."""

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
    for index, (every, vector, brightness) in zip(jobs, found, strict=True):
        _, sha256 = pictures[index]
        cache.put(sha256, version, to_bytes(every))
        results[index] = evidence = _evidence(every, vector, brightness, params)
        main = main_face(evidence.faces)
        if main is not None:
            cache.put(sha256, _brightness_version(main), struct.pack("<d", brightness))
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
    shared: Sequence[bool] = (),
) -> tuple[Judgement, str]:
    """What the embeddings say, by index in `evidence`, and by which model (`off`: by none).

    Args:
        vouched: whether a person said that a picture is rightly under its label.
        can_embed: whether the extra that tells faces apart is installed.
        shared: whether a picture lies under another label too; empty where none does.
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
        [shared[index] for index in known] if shared else None,
    )
    by_index = replace(
        judgement,
        verdicts={known[row]: verdict for row, verdict in judgement.verdicts.items()},
        distances={known[row]: distance for row, distance in judgement.distances.items()},
        sure={known[row] for row in judgement.sure},
    )
    return by_index, embedding.MODEL


def _evidence(
    detections: Sequence[Face], vector: Vector | None, brightness: float | None, params: Clean
) -> FaceEvidence:
    best = max((face.probability for face in detections), default=0.0)
    faces = from_probability(detections, params.face_probability)
    return FaceEvidence(faces, vector, best, brightness)


def _is_embedded(faces: Sequence[Face], params: Clean) -> bool:
    return judges_identity(params) and count(faces, params.second_face_min_ratio) == 1


def _cached_evidence(
    detections: Sequence[Face], sha256: str, params: Clean, cache: FaceCache
) -> FaceEvidence | None:
    """What the cache says of a picture; None where its brightness or embedding is not known."""
    evidence = _evidence(detections, None, None, params)
    main = main_face(evidence.faces)
    if main is None:
        return evidence
    packed = cache.get(sha256, _brightness_version(main))
    if packed is None:
        return None
    (brightness,) = struct.unpack("<d", packed)
    if not _is_embedded(evidence.faces, params):
        return replace(evidence, brightness=brightness)
    vector = cache.get(sha256, embedding.embedder_version(evidence.faces[0]))
    if vector is None:
        return None
    return replace(evidence, brightness=brightness, vector=np.frombuffer(vector, np.float32))


def _brightness_version(face: Face) -> str:
    """All that `face_brightness` depends on besides the file."""
    return f"brightness box={face.left},{face.top},{face.right},{face.bottom}"


def _detect_and_embed(job: _Job) -> tuple[Sequence[Face], Vector | None, float | None]:
    """All the detector finds, the only face's embedding, the main one's brightness.

    It runs in any process.
    """
    image = opening.open_picture(job.path)
    detections = job.detections
    if detections is None:
        detections = _finder(job.params.min_face_size).find_all(image)
    faces = from_probability(detections, job.params.face_probability)
    vector = embedding.embed(image, faces[0]) if _is_embedded(faces, job.params) else None
    main = main_face(faces)
    return detections, vector, None if main is None else face_brightness(image, main)


@lru_cache(maxsize=1)
def _finder(min_size: float) -> FaceFinder:
    return FaceFinder(0.0, min_size)
