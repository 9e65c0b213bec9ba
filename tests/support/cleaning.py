"""Made pictures, and a set of them to fill and to clean."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.repository import REPOSITORY
from whoswho import params
from whoswho.cleaning import checks
from whoswho.cleaning.reasons import REASONS
from whoswho.dataset.review import Review
from whoswho.errors import UserError

DEFAULTS = params.load_params(REPOSITORY).clean


def photograph(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Smooth shapes with some grain, unlike that of any other seed."""
    dice = np.random.default_rng(seed)
    coarse = Image.fromarray(dice.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), int)
    grain = dice.integers(-6, 7, smooth.shape)
    return Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))


def noisy(seed: int, size: tuple[int, int] = (120, 100)) -> Image.Image:
    return photograph(seed, size)


def write(path: Path, image: Image.Image, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of a PNG: level 6 takes twice as long for grain that no level makes small.
    image.save(path, **{"compress_level": 1, **options})


class Clean:
    """A set to fill and to clean; faces are not looked at unless asked."""

    def __init__(self, root: Path) -> None:
        self.data = root / "data"
        self.out = root / "clean"
        self.data.mkdir()

    def fill(self, *labels: str, count: int = 5, first: int = 1000) -> None:
        """Good pictures, no two alike: the ground that a case stands on."""
        for place, label in enumerate(labels):
            for number in range(count):
                seed = first + 100 * place + number
                write(self.data / label / f"{number}.png", photograph(seed, (160, 120)))

    def outcome(self, reviews: Sequence[Review] = (), **changes: object) -> checks.CleaningOutcome:
        limits = DEFAULTS.model_copy(update={"faces": "any", **changes})
        shutil.rmtree(self.out, ignore_errors=True)
        return checks.run(self.data, limits, reviews, self.out)

    def run(self, reviews: Sequence[Review] = (), **changes: object) -> dict[str, dict[str, str]]:
        """decisions.csv by file, checked for what must hold of every one of them."""
        self.outcome(reviews, **changes)
        with (self.out / "decisions.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["file"] for row in rows] == sorted({row["file"] for row in rows})
        for row in rows:
            assert row["decision"] in {"kept", "dropped"}
            assert (row["decision"] == "dropped") == bool(row["reasons"]), row
            assert (row["decision"] == "kept") == bool(row["picture"]), row
            assert set(filter(None, row["reasons"].split(";"))) <= set(REASONS)
            if row["picture"]:
                kept = self.out / "pictures" / row["picture"]
                assert kept.read_bytes() == (self.data / row["file"]).read_bytes()
        there = {
            path.relative_to(self.out / "pictures").as_posix()
            for path in (self.out / "pictures").rglob("*")
            if path.is_file()
        }
        assert there == {row["picture"] for row in rows if row["picture"]}
        return {row["file"]: row for row in rows}

    def stops(self, **changes: object) -> str:
        with pytest.raises(UserError) as caught:
            self.outcome(**changes)
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture(name="clean")
def fixture_clean(tmp_path: Path) -> Clean:
    return Clean(tmp_path)
