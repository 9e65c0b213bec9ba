"""Where the faces are, and how many count."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from PIL import Image
from support.repository import REPOSITORY

from whoswho.artifacts.model.settings import Face
from whoswho.params import load_params
from whoswho.pictures import workers
from whoswho.pictures.faces import (
    FaceFinder,
    count,
    finder_version,
    from_bytes,
    from_probability,
    main_face,
    to_bytes,
)
from whoswho.pictures.opening import open_picture

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
    for part in ("side=640", "smallest=0.08", "facenet-pytorch=", "torch=", "pillow="):
        assert part in finder_version(0.08)


def test_a_threshold_applied_later_gives_what_the_finder_finds(people: Path) -> None:
    """Cleaning keeps every find and judges later; serving asks for the sure ones at once."""
    image = open_picture(people / "lionel_messi" / "10_MESSI_JUGADORS-WEB.jpg")
    every = FaceFinder(0.0, CLEAN.min_face_size).find_all(image)
    for probability in sorted({0.0, 0.99, *(one.probability for one in every)}):
        sure = FaceFinder(probability, CLEAN.min_face_size).find(image)
        assert sure == from_probability(every, probability)


def test_a_portrait_has_one_face_where_it_is(finder: FaceFinder, people: Path) -> None:
    image = open_picture(people / "lionel_messi" / "10_MESSI_JUGADORS-WEB.jpg")
    (found,) = finder.find(image)
    # By eye: the face of a standing man, a little right of the middle, near the upper edge.
    assert 560 < found.left < 640
    assert 680 < found.right < 770
    assert 60 < found.top < 140
    assert 250 < found.bottom < 330
    assert found.probability >= CLEAN.face_probability


def test_a_couple_has_two(finder: FaceFinder, people: Path) -> None:
    with (people.parent / "sports_celebrities_truth.csv").open(encoding="utf-8") as file:
        twos = [
            r["file"] for r in csv.DictReader(file) if (r["faces"], r["main_ok"]) == ("2", "0")
        ]
    faces = [finder.find(open_picture(people / name)) for name in twos[:6]]
    assert sum(count(found, CLEAN.second_face_min_ratio) == 2 for found in faces) >= 5
    assert all(a.height >= b.height for found in faces for a, b in pairwise(found))


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


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_other_modes_do_not_raise(finder: FaceFinder, mode: str) -> None:
    assert finder.find(Image.new(mode, (100, 100))) == []


def test_boxes_stay_inside_the_picture(finder: FaceFinder, people: Path) -> None:
    image = open_picture(people / "lionel_messi" / "10_MESSI_JUGADORS-WEB.jpg")
    found = finder.find(image.crop((600, 110, 725, 300)))
    for one in found:
        assert 0 <= one.left < one.right <= 125
        assert 0 <= one.top < one.bottom <= 190


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


@lru_cache(maxsize=1)
def the_finder() -> FaceFinder:
    return FaceFinder(CLEAN.face_probability, CLEAN.min_face_size)


def faces_counted(path: Path) -> int:
    """A module's own function: it is sent to other processes."""
    return count(the_finder().find(open_picture(path)), CLEAN.second_face_min_ratio)


@pytest.mark.slow
def test_how_well_the_defaults_tell_portraits_from_groups(people: Path) -> None:
    """Against 196 press pictures judged by eye; the numbers beside the settings in params.yaml."""
    with (people.parent / "sports_celebrities_truth.csv").open(encoding="utf-8") as file:
        truth = list(csv.DictReader(file))
    found = list(workers.each(faces_counted, [people / row["file"] for row in truth], "faces"))
    groups = [int(row["faces"]) > 1 and row["main_ok"] == "0" for row in truth]
    several = [number > 1 for number in found]
    right = sum(a and b for a, b in zip(several, groups, strict=True))
    assert right / sum(several) >= 0.92  # precision
    assert right / sum(groups) >= 0.97  # recall
    # Every one of these pictures shows a face.
    assert sum(number == 0 for number in found) <= 1
    clear = [n for n, row in zip(found, truth, strict=True) if row["main_ok"] == "1"]
    assert sum(number == 1 for number in clear) / len(clear) >= 0.97


def test_a_worker_keeps_to_one_core_whatever_its_program_loaded_before(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import numpy\n"
        "from threadpoolctl import threadpool_info\n"
        "from whoswho.pictures import workers\n"
        "def threads(number):\n"
        "    return [one['num_threads'] for one in threadpool_info()]\n"
        "if __name__ == '__main__':\n"
        "    found = list(workers.each(threads, range(workers.FEW), 'numbers', 2))\n"
        "    assert all(found), 'no library with threads was loaded'\n"
        "    print({number for numbers in found for number in numbers})\n"
    )
    many = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, program], env={**os.environ, **many}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "{1}"
