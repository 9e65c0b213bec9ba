"""Where the faces are, and how many count."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN
from PIL import Image
from support.pictures import portrait
from support.repository import REPOSITORY

from whoswho.artifacts.model.settings import Face, PictureSettings
from whoswho.cleaning.people import find_faces
from whoswho.params import load_params
from whoswho.pictures.face_cache import FaceCache
from whoswho.pictures.faces import (
    WINDOW,
    FaceFinder,
    count,
    finder_version,
    from_bytes,
    from_probability,
    main_face,
    to_bytes,
)
from whoswho.pictures.faces.mtcnn import Detector
from whoswho.pictures.opening import open_picture
from whoswho.pictures.prepare import Preparer
from whoswho.workers import pool

CLEAN = load_params(REPOSITORY).clean


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    return FaceFinder(CLEAN.face_probability, CLEAN.min_face_size)


@pytest.fixture(scope="module")
def people(cases: Path) -> Path:
    return cases / "people" / "sports_celebrities"


def face(height: int, left: int = 0) -> Face:
    return Face(left, 0, left + height, height, 0.99)


def test_a_second_face_counts_from_its_share_of_the_main_one() -> None:
    faces = [face(100), face(60, 200), face(59, 400)]
    assert main_face(faces) == faces[0]
    assert count(faces, 0.6) == 2
    assert count(faces, 0.5) == 3
    assert count(faces, 1.0) == 1
    assert count([], 0.6) == 0
    assert main_face([]) is None


def test_faces_come_back_from_bytes_as_they_were() -> None:
    faces = [face(100), Face(0, 3, 17, 40, 0.7123), Face(-0, 1, 2, 3, 1.0)]
    assert from_bytes(to_bytes(faces)) == faces
    assert from_bytes(to_bytes([])) == []


def test_the_version_names_all_that_changes_the_answer() -> None:
    assert finder_version(0.08) != finder_version(0.09)
    for part in (
        "side=640",
        "sure=0.95",
        "border=0.5",
        "smallest=0.08",
        "facenet-pytorch=",
        "torch=",
        "pillow=",
    ):
        assert part in finder_version(0.08)


Box = tuple[float, float, float, float]


def detecting(
    monkeypatch: pytest.MonkeyPatch, *looks: list[tuple[Box, float]]
) -> tuple[FaceFinder, list[Image.Image]]:
    """A finder whose detector answers `looks`, and the pictures that it was asked about."""
    finder = FaceFinder(CLEAN.face_probability, CLEAN.min_face_size)
    pictures: list[Image.Image] = []

    def detect(pixels: Image.Image) -> list[tuple[Box, float]]:
        pictures.append(pixels)
        return looks[len(pictures) - 1]

    monkeypatch.setattr(finder, "_detect", detect)
    return finder, pictures


def test_a_second_look_has_grey_around_the_picture_and_boxes_of_the_picture(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = Image.new("RGB", (200, 160), (255, 0, 0))
    finder, pictures = detecting(monkeypatch, [], [((90, 70, 290, 180), 0.97)])
    assert finder.find(image) == [Face(10, 0, 200, 100, 0.97)]
    assert pictures[0].size == (200, 160)
    padded = pictures[1]
    assert padded.size == (360, 320)
    assert padded.crop((80, 80, 280, 240)).tobytes() == image.tobytes()
    assert [padded.getpixel(at) for at in ((0, 0), (79, 160), (359, 319))] == [(128,) * 3] * 3


def test_a_second_look_at_a_large_picture_is_no_larger_than_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    finder, pictures = detecting(monkeypatch, [], [((160, 160, 480, 480), 0.97)])
    assert finder.find(Image.new("RGB", (1600, 1600))) == [Face(0, 0, 1600, 1600, 0.97)]
    assert [pixels.size for pixels in pictures] == [(640, 640), (640, 640)]


def test_only_a_picture_without_a_sure_face_is_looked_at_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = Image.new("RGB", (100, 100))
    finder, pictures = detecting(monkeypatch, [((10, 10, 50, 60), 0.95)], [])
    assert finder.find_all(image) == [Face(10, 10, 50, 60, 0.95)]
    assert len(pictures) == 1
    # The look that is surer is taken whole: its boxes are not mixed with the other's.
    for first, second, taken in ((0.94, 0.93, 0), (0.93, 0.94, 1)):
        box: Box = (60, 60, 90, 90)
        finder, _ = detecting(monkeypatch, [(box, first)], [(box, second)])
        (face,) = finder.find_all(image)
        assert (face.left == 10) == bool(taken)


def test_a_threshold_applied_later_gives_what_the_finder_finds(people: Path) -> None:
    """Cleaning keeps every find and judges later; serving asks for the sure ones at once."""
    image = open_picture(people / "lionel_messi" / "10_MESSI_JUGADORS-WEB.jpg")
    every = FaceFinder(0.0, CLEAN.min_face_size).find_all(image)
    for probability in sorted({0.0, 0.99, *(face.probability for face in every)}):
        sure = FaceFinder(probability, CLEAN.min_face_size).find(image)
        assert sure == from_probability(every, probability)


def test_a_portrait_has_one_face_where_it_is(finder: FaceFinder, people: Path) -> None:
    image = open_picture(people / "lionel_messi" / "10_MESSI_JUGADORS-WEB.jpg")
    (face,) = finder.find(image)
    # By eye: the face of a standing man, a little right of the middle, near the upper edge.
    assert 560 < face.left < 640
    assert 680 < face.right < 770
    assert 60 < face.top < 140
    assert 250 < face.bottom < 330
    assert face.probability >= CLEAN.face_probability


def test_a_couple_has_two(finder: FaceFinder, people: Path) -> None:
    with (people.parent / "sports_celebrities_truth.csv").open(encoding="utf-8") as file:
        twos = [
            r["file"] for r in csv.DictReader(file) if (r["faces"], r["main_ok"]) == ("2", "0")
        ]
    faces = [finder.find(open_picture(people / name)) for name in twos[:6]]
    assert sum(count(couple, CLEAN.second_face_min_ratio) == 2 for couple in faces) >= 5
    assert all(a.height >= b.height for couple in faces for a, b in pairwise(couple))


def test_the_same_pixels_give_the_same_boxes(finder: FaceFinder, people: Path) -> None:
    files = sorted((people / "roger_federer").iterdir())[:3]
    alone = [finder.find(open_picture(file)) for file in files]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        backwards = [finder.find(open_picture(file)) for file in reversed(files)][::-1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    fresh = FaceFinder(CLEAN.face_probability, CLEAN.min_face_size)
    assert alone == backwards == [fresh.find(open_picture(file)) for file in files]
    assert any(alone)


def test_boxes_are_pixels_of_the_picture_itself(finder: FaceFinder, people: Path) -> None:
    small = open_picture(people / "lionel_messi" / "10_MESSI_JUGADORS-WEB.jpg")
    large = small.resize((small.width * 2, small.height * 2))
    (a,), (b,) = finder.find(small), finder.find(large)
    for side in ("left", "top", "right", "bottom"):
        assert getattr(b, side) == pytest.approx(2 * getattr(a, side), abs=20)


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 400), (10, 10), (12, 12), (13, 13), (19, 21), (3000, 14), (60, 60)]
)
def test_tiny_and_empty_pictures_have_no_face(finder: FaceFinder, size: tuple[int, int]) -> None:
    assert finder.find(Image.new("RGB", size, (90, 120, 30))) == []
    assert finder.find(Image.effect_noise(size, 90).convert("RGB")) == []


def test_the_detector_finds_what_its_package_finds_number_for_number() -> None:
    """Its sums are exact and its networks the package's: so a find near a threshold stays one."""
    theirs, ours = MTCNN(keep_all=True), Detector()
    crowd = Image.new("RGB", (900, 300), (120, 140, 110))
    for place in range(4):
        crowd.paste(portrait(place).resize((150 + 40 * place,) * 2), (220 * place, 10 * place))
    noise = Image.effect_noise((150, 91), 120).convert("RGB")
    detections = []
    for image in (portrait(0), portrait(1).resize((97, 300)), crowd, noise):
        for theirs.min_face_size in (WINDOW, 0.3 * min(image.size)):
            boxes, probabilities = theirs.detect(image)
            known = [] if boxes is None else list(zip(boxes.tolist(), probabilities, strict=True))
            detections.append(sorted(ours.detect(np.asarray(image), theirs.min_face_size)))
            assert detections[-1] == sorted(known)
    assert max(map(len, detections)) >= 3


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_other_modes_do_not_raise(finder: FaceFinder, mode: str) -> None:
    assert finder.find(Image.new(mode, (100, 100))) == []


def test_boxes_stay_inside_the_picture(finder: FaceFinder, people: Path) -> None:
    image = open_picture(people / "lionel_messi" / "10_MESSI_JUGADORS-WEB.jpg")
    faces = finder.find(image.crop((600, 110, 725, 300)))
    for face in faces:
        assert 0 <= face.left < face.right <= 125
        assert 0 <= face.top < face.bottom <= 190


@pytest.mark.parametrize("added", [0.10, 0.0, -0.05, -0.10])
def test_a_face_that_fills_its_picture_is_found(
    finder: FaceFinder, people: Path, added: float
) -> None:
    with (people.parent / "sports_celebrities_truth.csv").open(encoding="utf-8") as file:
        single = [
            r["file"] for r in csv.DictReader(file) if (r["faces"], r["main_ok"]) == ("1", "1")
        ]
    at_once = twice = 0
    for name in single[::12]:
        image = open_picture(people / name)
        (box,) = finder.find(image)
        more = round(added * box.height)
        crop = image.crop((box.left - more, box.top - more, box.right + more, box.bottom + more))
        at_once += bool(from_probability(finder.look(crop, 0), CLEAN.face_probability))
        for face in finder.find(crop):
            assert 0 <= face.left < face.right <= crop.width
            assert 0 <= face.top < face.bottom <= crop.height
            assert face.height > box.height / 2
            twice += 1
    assert twice >= 0.9 * len(single[::12])
    assert at_once <= twice / 2 or added > -0.1


def test_training_and_serving_cut_the_same_face_out_of_a_picture_that_it_fills(
    finder: FaceFinder, people: Path, tmp_path: Path
) -> None:
    image = open_picture(people / "lionel_messi" / "10_MESSI_JUGADORS-WEB.jpg")
    (box,) = finder.find(image)
    image.crop((box.left, box.top, box.right, box.bottom)).save(tmp_path / "crop.png")
    (cleaned,) = find_faces([(tmp_path / "crop.png", "")], CLEAN, FaceCache(None))
    settings = PictureSettings("face", 0.3, 64, CLEAN.face_probability, CLEAN.min_face_size)
    assert Preparer(settings).from_source(tmp_path / "crop.png").face == cleaned.faces[0]


def test_the_module_is_cheap_until_it_looks() -> None:
    code = (
        "import sys, whoswho.pictures.faces, whoswho.pictures.prepare;"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(REPOSITORY / "src"), "PATH": ""},
    )  # fmt: skip
    assert done.stdout.strip() == "False"


def test_no_warning_of_a_library_shows() -> None:
    code = (
        "from PIL import Image; from whoswho.pictures.faces import FaceFinder;"
        "print(FaceFinder(0.9, 0.1).find(Image.new('RGB', (200, 200))))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(REPOSITORY / "src"), "PATH": ""},
    )  # fmt: skip
    assert done.stdout == "[]\n"
    assert [
        line for line in done.stderr.splitlines() if "facenet" in line or "torch" in line
    ] == []


def test_workers_keep_the_order_and_stay_a_few_items_ahead() -> None:
    sent = []

    def items() -> Iterator[int]:
        for number in range(300):
            sent.append(number)
            yield number

    results = pool.stream(abs, items(), 2)
    for number in range(100):
        assert next(results) == number
        assert number < len(sent) <= number + pool.AHEAD + 2
    assert list(results) == list(range(100, 300))


def test_a_worker_keeps_to_one_core_whatever_its_program_loaded_before(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import numpy\n"
        "from threadpoolctl import threadpool_info\n"
        "from whoswho.workers import mapping, pool\n"
        "def threads(number):\n"
        "    return [one['num_threads'] for one in threadpool_info()]\n"
        "if __name__ == '__main__':\n"
        "    pool.cores = lambda: 2\n"
        "    found = list(mapping.each(threads, range(pool.FEW), 'numbers'))\n"
        "    assert all(found), 'no library with threads was loaded'\n"
        "    print({number for numbers in found for number in numbers})\n"
    )
    many = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, program], env={**os.environ, **many}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "{1}"
