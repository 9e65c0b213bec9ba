"""Face vectors of real pictures, computed once: the press pictures that a person called clear."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from support import shared
from whoswho.artifacts.model.settings import Face
from whoswho.pictures import embedding, opening

SET = "sports_celebrities"
LONGEST_SIDE = 480  # pixels; a clear face is large enough there, and found in a hundredth second
MOST = 16  # pictures of a label
FILE = "vectors.npz"


@dataclass(frozen=True)
class PressFaces:
    """The vectors (pictures, 128), and of each the index of its label in `labels`."""

    vectors: NDArray[np.float32]
    targets: NDArray[np.int64]
    labels: tuple[str, ...]


@pytest.fixture(scope="session", name="press_faces")
def fixture_press_faces(cases: Path) -> PressFaces:
    """The first MOST of each label that show its person with one clear face."""
    folder = shared.made_once("press_faces", lambda folder: _write(folder, cases / "people"))
    with np.load(folder / FILE) as kept:
        return PressFaces(kept["vectors"], kept["targets"], tuple(map(str, kept["labels"])))


def _write(folder: Path, people: Path) -> None:
    """dlib's own detector finds the faces: it takes a tenth of the time of ours."""
    dlib = pytest.importorskip("dlib")
    detector = dlib.get_frontal_face_detector()
    with (people / f"{SET}_truth.csv").open(encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if (r["main_ok"], r["same"]) == ("1", "1")]
    vectors: list[NDArray[np.float32]] = []
    names: list[str] = []
    for row in rows:
        if names.count(label := row["file"].split("/")[0]) == MOST:
            continue
        image = opening.open_picture(people / SET / row["file"])
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        if boxes := detector(np.asarray(image), 0):
            box = max(boxes, key=lambda box: box.area())
            face = Face(box.left(), box.top(), box.right(), box.bottom(), 1.0)
            vectors.append(embedding.embed(image, face))
            names.append(label)
    labels, targets = np.unique(names, return_inverse=True)
    assert np.bincount(targets).min() > MOST / 2, "the detector misses faces that are there"
    folder.mkdir()
    np.savez(folder / FILE, vectors=np.array(vectors), targets=targets, labels=labels)
