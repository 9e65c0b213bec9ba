"""Draws the planned files of the sample into a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from whoswho import paths
from whoswho.errors import UserError
from whoswho.sample import dirt
from whoswho.sample.people import PEOPLE
from whoswho.sample.plan import LABELS, PORTRAITS, SampleFile, plan
from whoswho.sample.scene import draw_picture

_THUMBNAIL = 44  # pixels, the longer side


@dataclass(frozen=True)
class SampleSummary:
    """What `draw` wrote."""

    files: int
    size: int  # bytes

    def __str__(self) -> str:
        return f"{self.files} files of {len(LABELS)} invented people, {self.size / 1e6:.1f} MB"


def draw(out: Path, seed: int = 0, portraits: int = PORTRAITS) -> SampleSummary:
    """Draws `plan(seed, portraits)` into a folder that is absent or empty.

    The folder appears whole or not at all: it is drawn beside and renamed.
    """
    if out.exists() and not (out.is_dir() and next(out.iterdir(), None) is None):
        raise UserError(
            f"{out}: there is something here already; the sample is drawn into a folder that is "
            "absent or empty: give another one with --out"
        )
    files = plan(seed, portraits)
    with paths.fresh_folder(out.absolute()) as folder:
        for label in {file.label for file in files}:
            (folder / label).mkdir(exist_ok=True)
        _write([file for file in files if not file.of or file.scene], folder, seed)
        _write([file for file in files if file.of and not file.scene], folder, seed)
        size = sum((folder / file.path).stat().st_size for file in files)
    return SampleSummary(len(files), size)


def _write(files: Sequence[SampleFile], root: Path, seed: int) -> None:
    """Writes files that do not depend on one another; NumPy lets threads run side by side."""

    def write(file: SampleFile) -> None:
        (root / file.path).write_bytes(_content(file, root, seed))

    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        for _ in pool.map(write, files):
            pass


def _content(file: SampleFile, root: Path, seed: int) -> bytes:
    """The bytes of one file; root: where the originals of copies lie."""
    if file.kind == "litter":
        return dirt.DS_STORE if file.path.endswith(".DS_Store") else b""
    if file.kind == "not_a_picture":
        return dirt.ERROR_PAGE
    if file.kind == "blank":
        return dirt.encode(Image.new("RGB", (300, 300), (226, 228, 231)), ".jpg", file.quality)
    if file.kind == "no_face":
        empty = dirt.empty_scene(file.how, np.random.default_rng([seed, LABELS.index(file.label)]))
        return dirt.encode(empty, ".jpg", file.quality)
    if file.scene is None:
        return dirt.copy(root / file.of, file.how)
    if file.kind == "animated":
        return dirt.animation(
            [_picture(file, eyes_open=fraction) for fraction in (1.0, 0.35, 0.8)]
        )
    picture = _picture(file)
    if file.how in dirt.ODD_FORMATS:
        return dirt.odd_format(picture, file.how, file.quality)
    if file.kind == "too_small":
        picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
    encoded = dirt.encode(picture, Path(file.path).suffix, file.quality)
    if file.kind == "truncated":
        return encoded[: int(len(encoded) * dirt.TRUNCATED_SHARE)]
    return encoded


def _picture(file: SampleFile, eyes_open: float | None = None) -> Image.Image:
    """The picture of a file that is drawn; eyes_open: instead of that of the poses."""
    assert file.scene is not None
    people = [
        (PEOPLE[label], pose if eyes_open is None else replace(pose, eyes_open=eyes_open))
        for label, pose in file.people
    ]
    return Image.fromarray(draw_picture(file.scene, people))
