"""Whether faces that lie under other labels are a person's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from whoswho.cleaning.identity import FEWEST, Vectors, centre_and_limit

# Of one person under two labels the centres lie at most this part of the limit apart: it is no
# other person's label. Nearer than COPY lie faces of one picture that was saved again.
SAME, COPY = 1 / 2, 0.2


def shows(
    own: Vectors, faces: Vectors, labels: Sequence[str], alone: Sequence[bool]
) -> NDArray[np.bool_]:
    """Which of the faces are a person's: no further out than theirs, and nearest to them.

    Args:
        own: at least one face of the person, some strangers' among them, faces x 128.
        faces: those asked about, faces x 128.
        labels: of each of them, another than the person's.
        alone: of each, whether its picture shows no other: such faces are what a label is like.
    """
    centre, limit = centre_and_limit(_without_copies(own))
    away = _distances(faces, centre)
    nearest = np.full(len(faces), np.inf)
    names, sole = np.array(labels, dtype=object), np.asarray(alone, bool)
    for label in sorted(set(labels)):
        members = np.flatnonzero((names == label) & sole)
        if not len(members):
            continue
        rival = centre_and_limit(faces[members])[0]
        if np.linalg.norm(rival - centre) < SAME * limit:
            continue
        distances = _distances(faces, rival)
        for face in members if len(members) < 2 * FEWEST else ():
            # Of a few a face would be near for its own part in their centre.
            rest = faces[members[members != face]]
            middle = centre_and_limit(rest)[0] if len(rest) else np.inf
            distances[face] = np.linalg.norm(faces[face] - middle)
        nearest = np.minimum(nearest, distances)
    theirs: NDArray[np.bool_] = (away <= nearest) & (away <= limit)
    return theirs


def _without_copies(faces: Vectors) -> Vectors:
    """One of each picture that was saved again: copies say nothing of how far out faces lie."""
    kept: list[int] = []
    for index, face in enumerate(faces):
        if not kept or _distances(faces[kept], face).min() > COPY:
            kept.append(index)
    return faces[kept]


def _distances(faces: Vectors, centre: Vectors) -> Vectors:
    lengths: Vectors = np.linalg.norm(faces - centre, axis=1)
    return lengths
