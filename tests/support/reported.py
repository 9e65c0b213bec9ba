"""The artifacts of a finished run, small and hostile, as the reporting modules read them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from support.evaluations import make_evaluation, prediction_row
from support.suspects import suspect_files
from whoswho import paths, tables
from whoswho.artifacts.decisions import KEPT, Decision, write_decisions
from whoswho.artifacts.model.backbone import BackboneSource
from whoswho.artifacts.model.description import HeadShape, ModelDescription, write_description
from whoswho.artifacts.model.settings import Face, PictureSettings
from whoswho.artifacts.predictions import RobustnessRow, write_evaluation
from whoswho.artifacts.split import Overlap, SplitRow, write_dataset

HANGUL = "장원영"
LONG = "가" * 80
HOSTILE = (
    HANGUL, "O'Neil", "A (actor)", "C++", "None", "007", "..a", "\U0001f469\u200d\U0001f680", LONG,
    "Кириллица", "かな", "$x$", "<b>x</b>", "\U0001f9d1", "\ue000", "<script>alert(1)</script>",
    "张伟 | *a* `b` [c](d)", "مرحبا", 'a"b&amp;',
)  # fmt: skip
MISSING = "C++"  # has no test picture in `workspace`

# What training read.
PARAMS = {
    "augment.views": 2, "augment.shear": 10.0, "augment.scale": [0.8, 1.2], "augment.flip": 0.5,
    "augment.seed": 0, "train.batch": 32, "train.lr": 0.001, "train.head": [128],
}  # fmt: skip

# What cross-validation measured.
HELD_OUT = {
    "cv/pictures": 76, "cv/repeats": 3, "cv/accuracy": 0.7, "cv/accuracy_deviation": 0.02,
    "cv/accuracy_low": 0.6, "cv/accuracy_high": 0.8, "cv/chance": 0.1,
    "unknown/false_reject_rate": 0.05, "unknown/strangers_caught": 0.9,
    "unknown/strangers_caught_worst": 0.75,
}  # fmt: skip


def workspace(
    folder: Path, labels: Sequence[str] = HOSTILE, *, test: bool = True, fallback: bool = True,
    ready_split: bool = False, missing: str | None = MISSING, pictures: int = 6, wrong: int = 3,
    repeats: int = 1, suspects: int = 1,
) -> Path:  # fmt: skip
    """A workspace with everything that stage report reads, but the weights.

    Of each label three pictures in four go to train; of the judged every `wrong`th is answered
    with the next label's name.
    """
    draw = random.Random(0)
    splits = ["train", "validation"] + (["test"] if test else [])
    decisions, split_rows, predictions = [], [], []
    judged = 0
    for index, label in enumerate(labels):
        for number in range(pictures):
            split = splits[number % len(splits)]
            if split == "test" and label == missing:
                continue
            file = f"{label}/google_{number:04}.jpg"
            path = f"{split}/{index}/google_{number:04}_0.png"
            (folder / paths.DATASET / path).parent.mkdir(parents=True, exist_ok=True)
            colour = tuple(draw.randrange(256) for _ in range(3))
            Image.new("RGB", (64, 64), colour).save(folder / paths.DATASET / path)
            decisions.append(_kept(folder, index, number, file, label, colour))
            crop = "whole" if number == 0 else "face"
            split_rows.append(SplitRow(file, "", label, split, "", crop, path))
            if split != "train":
                judged += 1
                answer = labels[(index + (judged % wrong == 0)) % len(labels)]
                sure = 0.5 + 0.4 * draw.random()
                predictions.append(
                    prediction_row(
                        labels, file, split, label, answer, probability=sure, unknown=sure < 0.6
                    )
                )
        reasons = ["blank", "too_small"] if index % 2 else ["no_face"]
        decisions.append(Decision(f"{label}/b.jpg", label, reasons=reasons))
    write_decisions(folder / paths.CLEAN, decisions)
    overlap = Overlap("train/a.jpg", "train", "t*/a.jpg", "test")
    write_dataset(
        folder / paths.DATASET, split_rows, PictureSettings("face", 0.3, 64, 0.9, 0.06),
        ready_split=ready_split, overlaps=[overlap] if ready_split else [],
    )  # fmt: skip
    source = {
        "arch": "resnet18", "entry": "random" if fallback else "IMAGENET1K_V2",
        "sha256": "ab" * 32,
        "origin": "",
        "passed_over": [{"entry": "IMAGENET1K_V2", "why": "no network"}] if fallback else [],
    }  # fmt: skip
    paths.write_json(folder / paths.BACKBONE / "source.json", source)
    model = ModelDescription(
        arch="resnet18",
        labels=tuple(labels),
        head=HeadShape((128,), 0.0, True),
        epoch=3,
        repeats=tuple(
            {"validation/loss": 0.5, "validation/accuracy": 0.6 + 0.1 * seed, "seed": seed}
            for seed in range(repeats)
        ),
        picture=PictureSettings("face", 0.3, 64, 0.9, 0.06),
        temperature=1.5,
        min_similarity=0.6,
        cross_validation=HELD_OUT,
        params=PARAMS,
        inputs={},
        backbone=BackboneSource.model_validate(source),
    )
    (folder / paths.MODEL).mkdir(parents=True, exist_ok=True)
    write_description(folder / paths.MODEL, model)
    _csv(
        folder / paths.MODEL / "history.csv",
        [
            {"epoch": e, "train/loss": 1 / e, "train/accuracy": 1 - 0.5 / e,
             "validation/loss": 1.2 / e, "validation/accuracy": 1 - 0.6 / e}
            for e in (1, 2, 3)
        ],
    )  # fmt: skip
    measures = ("accuracy", "accuracy_low", "accuracy_high", "chance", "balanced_accuracy",
                "macro_f1", "log_loss", "top_2", "ece", "ece_uncalibrated", "false_reject_rate",
                "pictures")  # fmt: skip
    metrics = HELD_OUT | {
        f"{s}/{name}": 0.123 + i / 100 for s in splits[1:] for i, name in enumerate(measures)
    }
    first: dict[str, str] = {}
    for picture in sorted(predictions, key=lambda picture: picture.file):
        if picture.split == splits[-1]:
            first.setdefault(picture.actual, picture.file)
    heat = np.arange(49).reshape(7, 7) / 48
    heat_maps = {first[label]: heat for label in labels if label in first}
    (folder / paths.EVALUATION).mkdir(parents=True, exist_ok=True)
    count = sum(picture.split == "test" for picture in predictions)  # of another split none
    worse = [
        RobustnessRow("blur", "radius 4 of 64 pixels", count, 2, 0.75, 0.5, 0.4, 0.6, 0.25),
        RobustnessRow("lower face masked", "half", count - 2, 0, 0.8, 0.1, 0.0, 0.2, 0.0),
    ]
    evaluation = make_evaluation(labels, predictions, metrics, heat_maps, worse if count else ())
    write_evaluation(folder / paths.EVALUATION, evaluation)
    suspect_files(folder, *[{}] * suspects, by_faces=True)
    return folder


def _kept(
    folder: Path, index: int, number: int, file: str, label: str, colour: tuple[int, ...]
) -> Decision:
    """What cleaning says of a picture that it kept, and the picture itself."""
    picture = f"{index}/google_{number:04}.png"
    path = folder / paths.CLEAN / "pictures" / picture
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (90, 120), colour).save(path)
    face = Face(20, 30, 60, 80, 0.99) if number else None
    return Decision(
        file, label, decision=KEPT, picture=picture, width=90, height=120, format="PNG",
        faces=int(face is not None), main_face=face, group=f"{index}", scores={"blurry": 12.5},
        reviewed="keep" if index == 1 else "", review_why="it is <b>her</b>" if index == 1 else "",
    )  # fmt: skip


def _csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    tables.write(path, list(rows[0]), rows)
