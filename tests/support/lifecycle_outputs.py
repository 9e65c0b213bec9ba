"""The pipeline's outputs in small, as the stages leave them, for tests of what comes after."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from whoswho import tables
from whoswho.artifacts.model import model_digest
from whoswho.artifacts.split import SplitRow, write_dataset
from whoswho.lifecycle.outputs import Outputs
from whoswho.pictures.settings import PictureSettings

LABELS = ("장원영", "O'Neil", "None", "007", "C++", "..a")
PARAMS = {"train.lr": 0.001, "train.epochs": 3, "backbone.weights": ["random"], "train.seed": 0}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def write(
    workspace: Path, *, labels: Sequence[str] = LABELS, seed: str = "a", wrong: Sequence[int] = (),
    entry: str = "IMAGENET1K_V2", test: bool = True, log_loss: float = 0.5, pictures: int = 3,
) -> Outputs:  # fmt: skip
    """artifacts/ and reports/ of a model; `seed` gives its weights and so its digest.

    `wrong` numbers the test pictures that it gets wrong.
    """
    folder = workspace / "artifacts"
    for name in ("model", "evaluation", "dataset"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "model" / "weights.safetensors").write_bytes(seed.encode())
    write_json(folder / "model" / "model.json", {
        "format": 2, "arch": "resnet18", "labels": list(labels), "params": PARAMS,
        "inputs": {"dataset": "x"}, "temperature": 1.0, "threshold": 0.3,
        "backbone": {"arch": "resnet18", "entry": entry, "sha256": sha(entry), "origin": "here"},
    })  # fmt: skip
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
        SplitRow(f"{label}/{n}.jpg", sha(f"{label}/{n}"), label, where, "", "whole", f"{n}.webp")
        for label in labels
        for n, where in enumerate(splits)
    ]
    write_dataset(folder / "dataset", split, PictureSettings("whole", 0.3, 64, 0.9, 0.06))
    judged = [row for row in split if row.split != "train"]
    tests = [row.file for row in judged if row.split == "test"]
    names = [f"probability/{label}" for label in labels]
    predictions = []
    for row in judged:
        number = tests.index(row.file) if row.file in tests else -1
        said = row.label if number not in wrong else labels[labels.index(row.label) - 1]
        predictions.append({
            "file": row.file, "split": row.split, "actual": row.label,
            "predicted": said, "unknown": 0,
            **{name: float(name == f"probability/{said}") for name in names},
        })  # fmt: skip
    tables.write(
        folder / "evaluation" / "predictions.csv",
        ["file", "split", "actual", "predicted", "unknown", *names], predictions,
    )  # fmt: skip
    metrics = {"validation/accuracy": 0.75, "validation/log_loss": log_loss}
    if test:
        metrics |= {"test/accuracy": 1 - len(wrong) / len(tests), "test/macro_f1": 0.5}
    write_json(folder / "evaluation" / "metrics.json", metrics)
    reports = workspace / "reports"
    reports.mkdir(exist_ok=True)
    written = "confusion_matrix.png", "report.html", "model_card.md", "cleaning.csv", "clean.html"
    for name in written:
        (reports / name).write_text(name, encoding="utf-8")
    (reports / ".gitignore").write_text("/report.html\n", encoding="utf-8")
    return Outputs(folder)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def digest(outputs: Outputs) -> str:
    return model_digest(outputs.folder / "model")
