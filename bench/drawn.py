"""As many different portraits as a measurement asks for, made of the drawn sample."""

from __future__ import annotations

import random
import sys
from pathlib import Path

from PIL import Image, ImageEnhance, UnidentifiedImageError

from bench.processes import measure
from bench.workspace import REPOSITORY


def draw_pictures(folder: Path, count: int, drawn: Path) -> None:
    """`count` different pictures of five labels: the portraits in `drawn`, turned and relit.

    Where `folder` is the data/ of a workspace, its data.dvc goes: it names another set.
    """
    folder.with_suffix(".dvc").unlink(missing_ok=True)
    if not drawn.exists():
        measure(sys.executable, "-m", "whoswho.cli", "sample", "--out", drawn, cwd=REPOSITORY)
    dice = random.Random(0)
    for person in sorted(path for path in drawn.iterdir() if path.is_dir()):
        (folder / person.name).mkdir(parents=True)
        portraits = []
        for path in sorted(person.iterdir()):
            try:
                portrait = Image.open(path).convert("RGB")
            except (UnidentifiedImageError, OSError):
                continue  # the sample's dirt
            if min(portrait.size) >= 150:
                portraits.append(portrait)
        for number in range(count // 5):
            turned = portraits[number % len(portraits)].rotate(
                dice.uniform(-8, 8), Image.Resampling.BICUBIC, fillcolor=(128, 128, 128)
            )
            relit = ImageEnhance.Brightness(turned).enhance(dice.uniform(0.7, 1.3))
            relit.save(folder / person.name / f"made_{number:05}.jpg", quality=90)
