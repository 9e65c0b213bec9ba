"""Small prepared sets as preprocess leaves them, drawn on the spot: each label its own pattern."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.repository import REPOSITORY
from whoswho import paths
from whoswho.artifacts.decisions import KEPT, Decision, write_decisions
from whoswho.artifacts.model.settings import PictureSettings
from whoswho.artifacts.split import Dataset, SplitRow, load_dataset, write_dataset
from whoswho.pictures import prepared_files

SIZE = 64


def draw_set(folder: Path, counts: dict[str, dict[str, int]], size: int = SIZE) -> Dataset:
    """Write a set with `counts[split][label]` pictures; labels in the order of their names."""
    labels = sorted({label for split in counts.values() for label in split})
    rows = []
    for split, numbers in counts.items():
        for label, count in numbers.items():
            for number in range(count):
                digest = hashlib.sha256(f"{split}/{label}/{number}".encode()).hexdigest()
                name = f"{split}/{labels.index(label)}/google_{number:04}_{digest[:8]}.webp"
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                image = pattern(labels.index(label), digest, size)
                image.save(folder / name, **prepared_files.WEBP)
                file = f"{label}/google_{split}_{number:04}.jpg"
                rows.append(SplitRow(file, digest, label, split, digest, "whole", name))
    write_dataset(folder, rows, PictureSettings("whole", 0.3, size, 0.9, 0.06))
    return load_dataset(folder)


def pattern(kind: float, digest: str, size: int) -> Image.Image:
    """Stripes of a label's own direction and pitch, in noise of the picture's own.

    A fraction is someone between two labels.
    """
    dice = np.random.default_rng(int(digest[:8], 16))
    y, x = np.mgrid[:size, :size] / size
    turn = 0.3 + 0.8 * kind
    wave = np.sin((x * np.cos(turn) + y * np.sin(turn)) * 20 * (1 + kind) + dice.uniform(0, 6))
    grey = 128 + 60 * wave[..., None] + dice.normal(0, 25, (size, size, 3))
    return Image.fromarray(grey.clip(0, 255).astype(np.uint8))


def workspace(folder: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace whose artifacts/dataset is `dataset`, its pictures kept by cleaning."""
    (folder / "params.yaml").write_bytes((REPOSITORY / "params.yaml").read_bytes())
    (folder / "dvc.yaml").touch()
    (folder / paths.DATASET).parent.mkdir()
    (folder / paths.DATASET).symlink_to(dataset.folder, target_is_directory=True)
    write_decisions(folder / paths.CLEAN, decisions(dataset))
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return folder


def decisions(dataset: Dataset) -> list[Decision]:
    """What cleaning says of a set's pictures: all kept, nothing remarkable."""
    return [
        Decision(example.file, dataset.labels[example.label], decision=KEPT, width=90, height=90)
        for split in dataset.splits
        for example in dataset.examples[split]
    ]
