"""Who is in the pictures: how many faces count, and whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from whoswho.cleaning import identity
from whoswho.cleaning.identity import Judgement
from whoswho.params import Clean
from whoswho.pictures import embedding, opening, workers
from whoswho.pictures.embedding import Vector
from whoswho.pictures.face_cache import FaceCache
from whoswho.pictures.faces import (
    Face,
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
class Looked:
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
class _Question:
    """What is not known of a picture yet: its faces (None) or its only face's embedding."""

    path: Path
    found: Sequence[Face] | None
    probability: float
    smallest: float
    share: float
    embeds: bool


def look(
    pictures: Sequence[tuple[Path, str]],
    limits: Clean,
    cache: FaceCache,
    worker_count: int | None = None,
) -> list[Looked]:
    """The faces in each picture (path, sha256); only what `cache` lacks is looked for."""
    embeds = judges_identity(limits)
    version = finder_version(limits.min_face_size)
    looked: list[Looked | None] = []
    questions: list[_Question] = []
    for path, sha256 in pictures:
        kept = cache.get(sha256, version)
        found = None if kept is None else from_bytes(kept)
        known = None if found is None else _known(found, sha256, limits, cache, embeds)
        looked.append(known)
        if known is None:
            questions.append(
                _Question(
                    path, found, limits.face_probability, limits.min_face_size,
                    limits.second_face_min_ratio, embeds,
                )
            )  # fmt: skip
    answers = workers.each(_answer, questions, "faces", worker_count)
    for place, (_, sha256) in enumerate(pictures):
        if looked[place] is None:
            every, vector = next(answers)
            cache.put(sha256, version, to_bytes(every))
            faces = from_probability(every, limits.face_probability)
            if vector is not None:
                cache.put(sha256, embedding.embedder_version(faces[0]), vector.tobytes())
            looked[place] = Looked(faces, vector, _best_probability(every))
    cache.flush()
    return [one for one in looked if one is not None]


def problem(faces: Sequence[Face], limits: Clean) -> str:
    """The reason where there is not exactly one face that counts, else an empty text."""
    counted = count(faces, limits.second_face_min_ratio)
    return "" if counted == 1 else SEVERAL_FACES if counted else NO_FACE


def scores(looked: Looked) -> dict[str, float]:
    """The numbers behind `problem`: the best probability, and the second face's height over that
    of the main one.
    """
    heights = [face.height for face in looked.faces]
    second = heights[1] / heights[0] if len(heights) > 1 else 0.0
    return {NO_FACE: looked.best_probability, SEVERAL_FACES: round(second, 4)}


def judges_identity(limits: Clean) -> bool:
    """Whether faces are told apart: it is asked for, and the extra that can is installed."""
    return limits.identity_false_alarm_rate > 0 and embedding.available()


def judge(
    looked: Sequence[Looked],
    labels: Sequence[str],
    vouched: Sequence[bool],
    limits: Clean,
    *,
    can_embed: bool,
) -> tuple[Judgement, str]:
    """What the embeddings say by place in `looked`, and by which model (`off`: by none).

    Args:
        vouched: whether a person said that a picture is rightly under its label.
        can_embed: whether the extra that tells faces apart is installed.
    """
    if limits.identity_false_alarm_rate == 0:
        return Judgement({}, {}, [], {}), OFF
    if not can_embed:
        note = (
            "not_this_person and swapped are OFF: the extra `faces` is not installed "
            "(pip install -c constraints.txt -e '.[faces]')"
        )
        return Judgement({}, {}, [note], {}), OFF
    places = [place for place, one in enumerate(looked) if one.vector is not None]
    vectors = np.array([looked[place].vector for place in places], np.float64)
    found = identity.judge(
        vectors.reshape(len(places), embedding.SIZE),
        [labels[place] for place in places],
        [vouched[place] for place in places],
        limits.identity_false_alarm_rate,
    )
    verdicts = {places[place]: verdict for place, verdict in found.verdicts.items()}
    distances = {places[place]: distance for place, distance in found.distances.items()}
    return Judgement(verdicts, found.limits, found.notes, distances), embedding.MODEL


def _known(
    found: Sequence[Face], sha256: str, limits: Clean, cache: FaceCache, embeds: bool
) -> Looked | None:
    """What the cache says of a picture; None where something has to be looked for yet."""
    faces = from_probability(found, limits.face_probability)
    if not embeds or count(faces, limits.second_face_min_ratio) != 1:
        return Looked(faces, None, _best_probability(found))
    kept = cache.get(sha256, embedding.embedder_version(faces[0]))
    if kept is None:
        return None
    return Looked(faces, np.frombuffer(kept, np.float32), _best_probability(found))


def _best_probability(found: Sequence[Face]) -> float:
    return max((face.probability for face in found), default=0.0)


def _answer(question: _Question) -> tuple[Sequence[Face], Vector | None]:
    """Every face the detector finds, and the only one's embedding; runs in any process."""
    image = opening.open_picture(question.path)
    found = question.found
    if found is None:
        found = _finder(question.smallest).find_all(image)
    faces = from_probability(found, question.probability)
    main = main_face(faces)
    if main is None or not question.embeds or count(faces, question.share) != 1:
        return found, None
    return found, embedding.embed(image, main)


@lru_cache(maxsize=1)
def _finder(smallest: float) -> FaceFinder:
    return FaceFinder(0.0, smallest)
