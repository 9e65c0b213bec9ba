"""Changes that make a picture worse, one by one."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from support.pictures import blocks

from whoswho.evaluation import robustness
from whoswho.evaluation.robustness import CHANGES, Altered
from whoswho.pictures.tensors import face_mask

FACE = (60, 50, 160, 181)


@pytest.fixture
def picture() -> Altered:
    return Altered(blocks(0, (224, 224)), FACE)


def spread(image: Image.Image) -> float:
    """Of brightness from pixel to pixel: what blurring takes away."""
    return float(np.abs(np.diff(np.asarray(image.convert("L"), float), axis=1)).mean())


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_a_change_leaves_size_and_original_and_says_how_strong_it_is(
    change: robustness.Corruption, picture: Altered
) -> None:
    before = picture.image.tobytes()
    altered = change.alter(picture)
    assert (altered.image.size, altered.image.mode) == ((224, 224), "RGB")
    assert altered.image.tobytes() != before == picture.image.tobytes()
    assert change.strength(224)


def test_blurred_and_small_lose_detail_as_much_as_they_say(picture: Altered) -> None:
    strengths = {change.name: change.strength for change in CHANGES}
    assert strengths["blur"](224) == "radius 4 of 224 pixels"
    assert strengths["small size"](224) == "32 of 224 pixels"
    dot = Altered(Image.new("RGB", (224, 224)), None)
    dot.image.paste((255, 255, 255), (100, 0, 101, 224))  # a line of a pixel
    profile = np.asarray(robustness.blur(dot).image.convert("L"), float)[112]
    across = np.sqrt(np.average((np.arange(224) - 100) ** 2, weights=profile))
    assert across == pytest.approx(4, rel=0.1)
    small = picture.image.resize((32, 32), Image.Resampling.BICUBIC)
    again = robustness.shrink(picture).image.resize((32, 32), Image.Resampling.BICUBIC)
    assert np.abs(np.subtract(small, again, dtype=float)).mean() < 6
    assert spread(robustness.shrink(picture).image) < spread(picture.image)


def test_darkness_divides_and_jpeg_is_of_that_quality(picture: Altered) -> None:
    dark = np.asarray(robustness.darken(picture).image, float)
    assert np.abs(dark - np.asarray(picture.image, float) / 4).max() <= 0.5
    file = io.BytesIO()
    picture.image.save(file, "JPEG", quality=10)
    assert robustness.jpeg(picture).image.tobytes() == Image.open(file).convert("RGB").tobytes()


@pytest.mark.parametrize("face", [FACE, (0, 0, 10, 224), None])
def test_the_box_turns_with_its_picture(face: tuple[int, int, int, int] | None) -> None:
    turned = robustness.quarter_turn(Altered(Image.new("RGB", (224, 224)), face))
    mask = face_mask((224, 224), face)
    assert face_mask((224, 224), turned.face).tobytes() == mask.rotate(90).tobytes()


def test_of_the_face_the_lower_half_goes_and_nothing_else(picture: Altered) -> None:
    masked = robustness.mask_lower_face(picture)
    differs = np.any(np.asarray(masked.image) != np.asarray(picture.image), axis=2)
    rows, columns = np.nonzero(differs)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (60, 115, 160, 181)
    assert masked.face == FACE
