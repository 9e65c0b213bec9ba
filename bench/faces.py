"""How well cleaning finds faces: where there are several, where there is none, where one fills
its picture. Called by `python -m bench cleaning`.

Judged by eye: the press pictures beside a checkout (../shared/cases/people) and the tables of
bench/truth. Nothing here changes a threshold.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bench.workspace import REPOSITORY
from whoswho import paths
from whoswho.artifacts.model.settings import Face
from whoswho.cleaning import people
from whoswho.params import Clean
from whoswho.pictures.face_cache import FaceCache
from whoswho.pictures.faces import BORDER, FaceFinder, from_probability
from whoswho.pictures.opening import open_picture
from whoswho.pictures.prepare import face_square
from whoswho.sample import scene

CASES = REPOSITORY.parent / "shared" / "cases" / "people"
TRUTH = REPOSITORY / "bench" / "truth"
PRESS, CROPS = "sports_celebrities", "idol_face_crops"
CRAWLS = (PRESS, "raw_crawl", "film_actors_crawl")
RATIOS = (0.25, 0.30, 0.35, 0.40, 0.45, 0.50, 0.55, 0.60, 0.70)
SHARPNESSES = (0.0, 0.10, 0.20, 0.30)
# Of the face's height, taken off on each side.
CUTS = (0.05, 0.10)
DRAWN = 20


@dataclass(frozen=True)
class Judged:
    """A picture as a person saw it; see bench/truth/README.md."""

    faces: int
    usable: bool

    @property
    def is_group(self) -> bool:
        """Whether several_faces should find it."""
        return self.faces > 1 and not self.usable


@dataclass(frozen=True)
class Rates:
    """What was found against what is true."""

    right: int
    extra: int
    missed: int

    @classmethod
    def of(cls, predicted: Iterable[bool], true: Iterable[bool]) -> Rates:
        """From a pair of answers for each picture."""
        table = Counter(zip(predicted, true, strict=True))
        return cls(table[True, True], table[True, False], table[False, True])

    @property
    def precision(self) -> float:
        """Not a number where nothing was found."""
        predicted = self.right + self.extra
        return self.right / predicted if predicted else float("nan")

    @property
    def recall(self) -> float:
        """Not a number where nothing is true."""
        true = self.right + self.missed
        return self.right / true if true else float("nan")

    def __str__(self) -> str:
        return (
            f"precision {self.precision:.3f}, recall {self.recall:.3f} "
            f"({self.right} right, {self.extra} false, {self.missed} missed)"
        )


Truth = Mapping[str, Judged]
Evidence = Mapping[str, people.FaceEvidence]


def truth_of(name: str) -> Truth:
    """The rows judged by eye of a set, by file."""
    handed = name == PRESS
    path = CASES / f"{name}_truth.csv" if handed else TRUTH / f"{name}.csv"
    usable = "main_ok" if handed else "usable"
    with path.open(encoding="utf-8") as file:
        return {
            row["file"]: Judged(int(row["faces"]), row[usable] == "1")
            for row in csv.DictReader(file)
        }


def looked_at(data: Path, limits: Clean, cache: Path) -> dict[str, people.FaceEvidence]:
    """The faces in every file below `data`, by file."""
    files = sorted(path for path in data.rglob("*") if path.is_file())
    with FaceCache(cache) as kept:
        evidence = people.find_faces([(path, paths.sha256(path)) for path in files], limits, kept)
    names = [path.relative_to(data).as_posix() for path in files]
    return dict(zip(names, evidence, strict=True))


def groups(evidence: Evidence, truth: Truth, limits: Clean) -> Rates:
    """several_faces against what a person saw."""
    several = [people.counted(evidence[file], limits) > 1 for file in truth]
    return Rates.of(several, [judged.is_group for judged in truth.values()])


def curve(limits: Clean, cache: Path) -> None:
    """several_faces on each crawl by share and sharpness of the second face, and what the other
    two crawls would have chosen: the settings of highest recall at a precision of 0.9 on both.
    """
    truths = {name: truth_of(name) for name in CRAWLS}
    measured: dict[tuple[float, float], dict[str, Rates]] = {}
    for sharpness in SHARPNESSES:
        changed = limits.model_copy(update={"second_face_min_sharpness": sharpness})
        by_set = {name: looked_at(CASES / name, changed, cache) for name in CRAWLS}
        for ratio in RATIOS:
            at = changed.model_copy(update={"second_face_min_ratio": ratio})
            measured[ratio, sharpness] = {
                name: groups(by_set[name], truths[name], at) for name in CRAWLS
            }
    for (ratio, sharpness), rates in measured.items():
        cells = [f"{rate.precision:.3f} / {rate.recall:.3f}" for rate in rates.values()]
        print(f"| {ratio:.2f} | {sharpness:.2f} | {' | '.join(cells)} |")
    for left in CRAWLS:
        others = [name for name in CRAWLS if name != left]
        best = max(measured, key=lambda chosen: _preference(measured[chosen], others))
        print(
            f"several_faces, {left}, never seen: share {best[0]:.2f} and sharpness {best[1]:.2f}, "
            f"chosen on the other two: {measured[best][left]}"
        )


def _preference(rates: Mapping[str, Rates], names: Iterable[str]) -> tuple[bool, float, float]:
    rows = [rates[name] for name in names]
    return (
        all(row.precision >= 0.9 for row in rows),
        sum(row.recall for row in rows),
        sum(row.precision for row in rows),
    )


def faceless(by_set: Mapping[str, Evidence], limits: Clean) -> None:
    """no_face on every set, and how many places without a face are given one."""
    finder = FaceFinder(limits.face_probability, limits.min_face_size)
    for name, evidence in by_set.items():
        truth = truth_of(name)
        absent = [judged.faces == 0 for judged in truth.values()]
        print(
            f"no_face, {name}, {len(truth)} pictures: "
            f"{Rates.of([not evidence[file].faces for file in truth], absent)}"
        )
    places = [*_cuts(by_set, limits), *_drawn()]
    first = sum(bool(_first_look(finder, place)) for place in places)
    both = sum(bool(finder.find(place)) for place in places)
    print(
        f"places without a face, {len(places) - DRAWN} parts beside the only face of a picture "
        f"and {DRAWN} drawn: {first} given a face by the first look, {both} by both"
    )


def _cuts(by_set: Mapping[str, Evidence], limits: Clean) -> Iterator[Image.Image]:
    for name in CRAWLS:
        for file, judged in truth_of(name).items():
            faces = by_set[name][file].faces
            if judged.faces == len(faces) == 1:
                cut = beside(open_picture(CASES / name / file), faces[0], limits)
                if cut is not None:
                    yield cut


def _drawn() -> Iterator[Image.Image]:
    dice = np.random.default_rng(0)
    for _ in range(DRAWN):
        yield Image.fromarray(scene.draw_picture(scene.any_scene(dice, [(320, 240)]), []))


def beside(image: Image.Image, face: Face, limits: Clean) -> Image.Image | None:
    """The largest of the four parts beside a face that cleaning would look at; None if none is."""
    left, top, right, bottom = face_square(image.size, face, 0.5)
    parts = [
        (0, 0, image.width, top), (0, bottom, image.width, image.height),
        (0, 0, left, image.height), (right, 0, image.width, image.height),
    ]  # fmt: skip
    sized = [(min(r - x, b - y), (x, y, r, b)) for x, y, r, b in parts]
    side, box = max(sized)
    long_side = max(box[2] - box[0], box[3] - box[1])
    if side < limits.min_side or long_side > limits.max_aspect_ratio * side:
        return None
    return image.crop(box)


def filling(by_set: Mapping[str, Evidence], limits: Clean) -> None:
    """Clear single faces of the crawls, cut until they more than fill the picture."""
    finder = FaceFinder(limits.face_probability, limits.min_face_size)
    for cut in CUTS:
        counts: Counter[str] = Counter()
        for name in CRAWLS:
            for file, judged in truth_of(name).items():
                faces = by_set[name][file].faces
                if not (judged.faces == len(faces) == 1 and judged.usable):
                    continue
                face, less = faces[0], round(cut * faces[0].height)
                box = (face.left + less, face.top + less, face.right - less, face.bottom - less)
                crop = open_picture(CASES / name / file).crop(box)
                counts["all"] += 1
                counts["first"] += bool(_first_look(finder, crop))
                counts["both"] += bool(finder.find(crop))
        print(
            f"a face cut {cut:.0%} inside its box, {counts['all']} pictures: {counts['first']} "
            f"found by the first look, {counts['both']} with the second (border {BORDER:g})"
        )


def _first_look(finder: FaceFinder, image: Image.Image) -> list[Face]:
    return from_probability(finder.look(image, 0), finder.probability)


def measure(limits: Clean, cache: Path) -> None:
    """Print a line for each measure; `cache` keeps what was found."""
    limits = limits.model_copy(update={"identity_false_alarm_rate": 0.0})
    by_set = {name: looked_at(CASES / name, limits, cache) for name in (*CRAWLS, CROPS)}
    for name in CRAWLS:
        truth = truth_of(name)
        print(
            f"several_faces, {name}, {len(truth)} pictures: {groups(by_set[name], truth, limits)}"
        )
    several = sum(people.counted(evidence, limits) > 1 for evidence in by_set[CROPS].values())
    print(f"several_faces, {CROPS}, all of one face: {several} false of {len(by_set[CROPS])}")
    faceless(by_set, limits)
    filling(by_set, limits)
    curve(limits, cache)
