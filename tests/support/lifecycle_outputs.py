"""The pipeline's outputs in small, as the stages leave them, for tests of what comes after."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from support.evaluations import make_evaluation, prediction_row
from support.lifecycle_models import picture_of
from whoswho import tables
from whoswho.artifacts.model.backbone import BackboneSource
from whoswho.artifacts.model.description import HeadShape, ModelDescription, write_description
from whoswho.artifacts.model.settings import PictureSettings
from whoswho.artifacts.predictions import write_evaluation
from whoswho.artifacts.split import SplitRow, write_dataset
from whoswho.lifecycle.registry.record import Record, read_record

LABELS = ("장원영", "O'Neil", "None", "007", "C++", "..a")
PARAMS = {"train.lr": 0.001, "train.epochs": 3, "backbone.weights": ["random"], "train.seed": 0}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write(
    workspace: Path, *, labels: Sequence[str] = LABELS, seed: str = "a", wrong: Sequence[int] = (),
    entry: str = "IMAGENET1K_V2", test: bool = True, log_loss: float = 0.5, pictures: int = 3,
) -> Record:  # fmt: skip
    """artifacts/ and reports/ of a model; `seed` gives its weights and so its digest.

    `wrong` numbers the test pictures that it gets wrong.
    """
    folder = workspace / "artifacts"
    for name in ("model", "evaluation", "dataset"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "model" / "weights.safetensors").write_bytes(seed.encode())
    description = ModelDescription(
        arch="resnet18",
        labels=tuple(labels),
        head=HeadShape((8,), 0.0, True),
        epoch=3,
        repeats=(),
        picture=PictureSettings("whole", 0.3, 64, 0.9, 0.06),
        temperature=1.0,
        min_similarity=0.3,
        cross_validation={},
        params=PARAMS,
        inputs={"dataset": "x"},
        backbone=BackboneSource(arch="resnet18", entry=entry, sha256=sha(entry), origin="here"),
    )
    write_description(folder / "model", description)
    tables.write(
        folder / "model" / "history.csv",
        ["epoch", "train/loss", "train/accuracy", "validation/loss", "validation/accuracy"],
        [
            {"epoch": e, "train/loss": 1 / e, "train/accuracy": 0.3 * e,
             "validation/loss": 1.5 / e, "validation/accuracy": 0.25 * e}
            for e in (1, 2, 3)
        ],
    )  # fmt: skip
    splits = ["train"] * 4 + ["validation"] * 2 + ["test" if test else "validation"] * pictures
    split = [
        SplitRow(
            f"{label}/{n}.jpg", sha(f"{label}/{n}"), label, where, "", "whole", f"{k}/{n}.webp"
        )
        for k, label in enumerate(labels)
        for n, where in enumerate(splits)
    ]
    write_dataset(folder / "dataset", split, PictureSettings("whole", 0.3, 64, 0.9, 0.06))
    judged = [row for row in split if row.split != "train"]
    tests = [row.file for row in judged if row.split == "test"]
    predictions = []
    for row in judged:
        number = tests.index(row.file) if row.file in tests else -1
        label = row.label
        answer = label if number not in wrong else labels[labels.index(label) - 1]
        predictions.append(prediction_row(labels, row.file, row.split, label, answer))
        prepared = folder / "dataset" / row.path
        prepared.parent.mkdir(exist_ok=True)
        picture_of(labels.index(answer)).save(prepared, lossless=True)
    metrics = {"validation/accuracy": 0.75, "validation/log_loss": log_loss}
    if test:
        metrics |= {"test/accuracy": 1 - len(wrong) / len(tests), "test/macro_f1": 0.5}
    write_evaluation(folder / "evaluation", make_evaluation(labels, predictions, metrics))
    reports = workspace / "reports"
    reports.mkdir(exist_ok=True)
    written = "confusion_matrix.png", "report.html", "model_card.md", "cleaning.csv", "clean.html"
    for name in written:
        (reports / name).write_text(name, encoding="utf-8")
    (reports / ".gitignore").write_text("/report.html\n", encoding="utf-8")
    return read_record(folder)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
