"""The one way from a picture to the network's input."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional

from whoswho.artifacts.model.settings import IMAGENET, Face, PictureSettings
from whoswho.pictures import prepared_files
from whoswho.pictures.faces import FaceFinder, main_face
from whoswho.pictures.opening import ImageOpenError, open_picture
from whoswho.pictures.prepare import Preparer, face_square, prepare
from whoswho.pictures.tensors import to_tensor
from whoswho.workers import pool

SETTINGS = PictureSettings("face", 0.3, 96, 0.95, 0.08)


def ramp(width: int = 300, height: int = 200) -> Image.Image:
    """Red tells the column, green the row."""
    x, y = np.meshgrid(np.arange(width) % 256, np.arange(height) % 256)
    return Image.fromarray(np.stack([x, y, x * 0], 2).astype(np.uint8))


def test_the_square_has_the_margin_on_each_side() -> None:
    assert face_square((1000, 1000), Face(400, 400, 500, 500, 1), 0.3) == (370, 370, 530, 530)


def test_the_square_is_shifted_into_the_picture() -> None:
    assert face_square((1000, 1000), Face(0, 20, 100, 120, 1), 0.5) == (0, 0, 200, 200)
    assert face_square((1000, 600), Face(900, 500, 1000, 600, 1), 0.5) == (800, 400, 1000, 600)


def test_a_square_larger_than_the_picture_takes_what_there_is() -> None:
    assert face_square((120, 300), Face(10, 100, 110, 220, 1), 1.0) == (0, 100, 120, 220)


def test_any_face_gives_a_square_inside_any_picture() -> None:
    dice = random.Random(1)
    for _ in range(500):
        width, height = dice.randint(1, 500), dice.randint(1, 500)
        left, top = dice.randrange(width), dice.randrange(height)
        face = Face(left, top, dice.randint(left + 1, width), dice.randint(top + 1, height), 1)
        a, b, c, d = face_square((width, height), face, dice.choice([0, 0.3, 3]))
        assert 0 <= a < c <= width
        assert 0 <= b < d <= height
        assert c - a == d - b


def test_the_face_is_cut_out_and_brought_to_size() -> None:
    face = Face(100, 50, 150, 110, 0.99)
    done = prepare(ramp(), SETTINGS, face)
    assert (done.image.size, done.image.mode, done.crop, done.face) == (
        (96, 96),
        "RGB",
        "face",
        face,
    )
    red = np.asarray(done.image)[:, :, 0]
    left, _, right, _ = face_square((300, 200), face, 0.3)
    assert abs(int(red[48, 1]) - left) < 4
    assert abs(int(red[48, -2]) - right) < 4


def test_without_a_face_the_whole_picture_is_squashed() -> None:
    done = prepare(ramp(250, 100), SETTINGS, None)
    assert (done.image.size, done.crop) == ((96, 96), "whole")
    red = np.asarray(done.image)[:, :, 0]
    assert red[5, 0] < 4
    assert red[5, -1] > 245


def test_whole_ignores_the_face() -> None:
    whole = PictureSettings("whole", 0.3, 96, 0.95, 0.08)
    done = prepare(ramp(), whole, Face(100, 50, 150, 110, 0.99))
    assert done.crop == "whole"
    assert done.image.tobytes() == prepare(ramp(), whole, None).image.tobytes()


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((1000, 1000, 3), np.uint8)
    stripes[:, ::2] = 255
    small = np.asarray(prepare(Image.fromarray(stripes), SETTINGS, None).image, int)
    assert np.abs(small - 127).max() < 12


def test_the_tensor_is_standardised_as_torchvision_does_it() -> None:
    images = [ramp(64, 64), Image.new("RGB", (64, 64), (255, 0, 10))]
    batch = to_tensor(images)
    assert (batch.shape, batch.dtype) == ((2, 3, 64, 64), torch.float32)
    for tensor, image in zip(batch, images, strict=True):
        expected = functional.normalize(functional.to_tensor(image), *map(list, IMAGENET))
        assert torch.allclose(tensor, expected, atol=1e-6)


def test_preprocess_and_predict_see_the_same_pixels(cases: Path, tmp_path: Path) -> None:
    folder = cases / "people" / "sports_celebrities" / "roger_federer"
    finder = FaceFinder(SETTINGS.face_probability, SETTINGS.min_face_size)
    files = sorted(folder.iterdir())[:3]
    faces = [main_face(finder.find(open_picture(file))) for file in files]
    jobs = [
        prepared_files.Job(file, f"{n:064d}", "x", "train", face)
        for n, (file, face) in enumerate(zip(files, faces, strict=True))
    ]
    written = prepared_files.write_pictures(jobs, SETTINGS, tmp_path)
    preparer = Preparer(SETTINGS)
    for file, prepared in zip(files, written, strict=True):
        for source in (file, file.read_bytes()):
            served = preparer.from_source(source)
            with Image.open(tmp_path / prepared.path) as stored:
                assert stored.convert("RGB").tobytes() == served.image.tobytes()
            assert served.crop == prepared.crop


def test_predicting_on_a_cut_file_says_why(tmp_path: Path) -> None:
    ramp().save(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-2])
    with pytest.raises(ImageOpenError, match="truncated"):
        Preparer(SETTINGS).from_source(tmp_path / "b.jpg")


def test_names_are_short_different_and_in_their_places(tmp_path: Path) -> None:
    ramp().save(tmp_path / "x.png")
    names = ["가" * 80, "가" * 79 + "나", "a", "A", "google_0001"]
    jobs = []
    for n, name in enumerate(names):
        source = tmp_path / f"{name}.png"
        source.write_bytes((tmp_path / "x.png").read_bytes())
        sha256 = f"{'0' * 8}{n:056d}" if n < 4 else "f" * 64
        jobs.append(prepared_files.Job(source, sha256, "가" * 80, "test", None))
    written = prepared_files.write_pictures(jobs, SETTINGS, tmp_path / "out")
    assert len({picture.path.casefold() for picture in written}) == len(names)
    assert written[-1].path == f"test/{'가' * 80}/google_0001_ffffffff.webp"
    for picture in written:
        assert len(Path(picture.path).name.encode()) < 255
        with Image.open(tmp_path / "out" / picture.path) as image:
            assert (image.size, image.format) == ((96, 96), "WEBP")


def test_the_order_of_the_answers_is_the_order_of_the_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "cores", lambda: 2)
    monkeypatch.setattr(pool, "FEW", 2)
    jobs = []
    for n in range(20):
        Image.new("RGB", (100, 100), (n, 0, 0)).save(tmp_path / f"{n}.png")
        jobs.append(prepared_files.Job(tmp_path / f"{n}.png", f"{n:064d}", "x", "train", None))
    written = prepared_files.write_pictures(jobs, SETTINGS, tmp_path / "out")
    for n, answer in enumerate(written):
        with Image.open(tmp_path / "out" / answer.path) as image:
            assert image.getpixel((5, 5)) == (n, 0, 0)
