"""A person's face in pictures under other labels, a group's most often: named, never removed.

It is a face that lies as near to those of the person's own pictures as these to each other, and
nearer than to any other label's. Where their files are gone, DVC's objects stand in, as long as
the cache has them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from dvc.repo import Repo

from whoswho import params, paths
from whoswho.artifacts.model.settings import Face
from whoswho.cleaning.identity import Vectors
from whoswho.dataset import versions
from whoswho.errors import UserError
from whoswho.labels import from_folder
from whoswho.params import Clean
from whoswho.pictures import embedding, opening
from whoswho.pictures.embedding import Vector
from whoswho.pictures.face_cache import FILE, FaceCache
from whoswho.pictures.faces import FaceFinder, finder_version, from_bytes, from_probability
from whoswho.takedown import history, same_person
from whoswho.takedown.traces import Traces
from whoswho.workers import mapping

_NONE: Vectors = np.empty((0, embedding.SIZE))


@dataclass(frozen=True)
class SameFace:
    """Pictures that stay: sha256 by path below data/; and why none was looked for, else empty."""

    files: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class _Job:
    """A picture and its faces that are to be embedded; None: they are still to be found."""

    path: Path
    faces: Sequence[Face] | None
    settings: Clean


def find(workspace: Path, repo: Repo, traces: Traces) -> SameFace:
    """The pictures under other labels that show a face like those of a label asked for.

    Nothing is written, not even into the face cache; what goes wrong stops no takedown.
    """
    pictures = _pictures(workspace, repo, traces)
    if not pictures:
        return SameFace()
    try:
        return _in_others(workspace, pictures, traces.staying)
    except UserError as error:
        return SameFace(problem=str(error))


def _in_others(
    workspace: Path,
    pictures: Sequence[Sequence[tuple[Path, str]]],
    staying: Mapping[str, str],
) -> SameFace:
    """What shows one of the people whose `pictures` are given, of the files that stay."""
    settings = params.load_params(workspace).clean
    if settings.faces != "one":
        return SameFace()
    if not embedding.available():
        return SameFace(problem="dlib or its weights are not installed")
    folder = workspace / paths.FACES
    with FaceCache(folder if (folder / FILE).is_file() else None) as cache:
        people = [_alone(_vectors(own, settings, cache)) for own in pictures]
        people = [faces for faces in people if len(faces)]
        if not people:
            return SameFace()
        others = {file: sha256 for file, sha256 in sorted(staying.items()) if sha256}
        there = [(workspace / paths.DATA / file, sha256) for file, sha256 in others.items()]
        shown = dict(zip(others, _vectors(there, settings, cache), strict=True))
    files = [file for file, faces in shown.items() for _ in faces]
    labels = [from_folder(Path(file).parent.name) for file in files]
    alone = [len(shown[file]) == 1 for file in files]
    faces = np.concatenate([_NONE, *shown.values()])
    theirs = [same_person.shows(own, faces, labels, alone) for own in people]
    shown_in = {
        file for file, is_theirs in zip(files, np.any(theirs, axis=0), strict=True) if is_theirs
    }
    return SameFace({file: others[file] for file in sorted(shown_in)})


def _pictures(workspace: Path, repo: Repo, traces: Traces) -> list[list[tuple[Path, str]]]:
    """The pictures, path and sha256, of each person asked for by their label."""
    by_sha256 = {
        sha256: (file, workspace / paths.DATA / file)
        for file, sha256 in traces.files.items()
        if sha256
    }
    gone = traces.pictures - by_sha256.keys() if traces.request.labels else set()
    for name, (sha256, file) in history.originals(traces.past, gone).items():
        path = versions.object_path(repo, name)
        if path.is_file():
            by_sha256[sha256] = file.removeprefix(f"{paths.DATA.as_posix()}/"), path
    people: dict[str, list[tuple[Path, str]]] = defaultdict(list)
    for sha256, (file, path) in sorted(by_sha256.items()):
        for label in map(from_folder, Path(file).parts[:2]):  # the first may be a split
            if label in traces.request.labels:
                people[label].append((path, sha256))
                break
    return list(people.values())


def _alone(pictures: Sequence[Vectors]) -> Vectors:
    """The faces of pictures that show one: of several nobody tells which is the person's."""
    return np.concatenate([_NONE, *(faces for faces in pictures if len(faces) == 1)])


def _vectors(
    pictures: Sequence[tuple[Path, str]], settings: Clean, cache: FaceCache
) -> list[Vectors]:
    """The faces in each picture (path, sha256), faces x 128; only what `cache` lacks is sought."""
    version = finder_version(settings.min_face_size)
    known, jobs = [], []
    for path, sha256 in pictures:
        row = cache.get(sha256, version)
        faces = row and from_probability(from_bytes(row), settings.face_probability)
        kept = {face: cache.get(sha256, embedding.embedder_version(face)) for face in faces or ()}
        known.append([np.frombuffer(vector, np.float32) for vector in kept.values() if vector])
        lacking = None if faces is None else [face for face, vector in kept.items() if not vector]
        jobs.append(_Job(path, lacking, settings))
    todo = [index for index, job in enumerate(jobs) if job.faces is None or job.faces]
    for index, vectors in zip(
        todo, mapping.each(_embedded, [jobs[i] for i in todo], "faces"), strict=True
    ):
        known[index] += vectors
    return [np.concatenate([_NONE, *(vector[None] for vector in own)]) for own in known]


def _embedded(job: _Job) -> list[Vector]:
    """The faces of a picture; none of what is no picture. Runs in any process."""
    try:
        image = opening.open_picture(job.path)
    except opening.ImageOpenError:
        return []
    faces = job.faces
    if faces is None:
        faces = _finder(job.settings.face_probability, job.settings.min_face_size).find(image)
    return [embedding.embed(image, face) for face in faces]


@lru_cache(maxsize=1)
def _finder(probability: float, min_size: float) -> FaceFinder:
    return FaceFinder(probability, min_size)
