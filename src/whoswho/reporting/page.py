"""reports/report.html, one file that shows everything and asks nobody for anything, and beside it
the model card: what the model is for, what it is made of, how far it can be trusted.

Figures and the letters a machine may lack a font for lie inside the page; it has no script, and
its policy forbids the browser every request. Neither holds a clock, host, version or run, so the
same inputs give the same bytes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from whoswho import paths
from whoswho.artifacts.predictions import PredictionRow
from whoswho.artifacts.split import Example, open_prepared
from whoswho.artifacts.suspects import TABLE, to_look_at
from whoswho.backbone.loading import views
from whoswho.reporting import mistakes, report_tables, sentences
from whoswho.reporting.pages.rendering import render_markdown, render_page
from whoswho.reporting.plots import confusion, curves, sheets
from whoswho.reporting.run_report import RunReport

MOST_ROWS = 200  # of a list of single pictures; the tables in reports/ have them all
MOST_OVERLAPS = 20  # on the card; artifacts/dataset/overlaps.csv has them all


def write(report: RunReport, folder: Path) -> None:
    """Draw the figures into `folder` and write report.html, which holds them."""
    draw_figures(report, folder)
    names = ("confusion_matrix", "training_batch", "calibration", "attention")
    figures = {name: (folder / f"{name}.png").read_bytes() for name in names}
    with tempfile.TemporaryDirectory() as scratch:  # DVC draws history.csv itself
        curves.history(report.history, Path(scratch) / "history.png")
        figures["history"] = (Path(scratch) / "history.png").read_bytes()
    paths.write_text(folder / "report.html", html(report, figures))
    paths.write_text(folder / "model_card.md", model_card(report))


def html(report: RunReport, figures: Mapping[str, bytes]) -> str:
    """report.html with the figures, PNG files, by their names."""
    return render_page(
        "report.html",
        **_told_by(report),
        figures=figures,
        mistakes=mistakes.worst(report),
        most=MOST_ROWS,
        suspects=to_look_at(report.suspects, untrained=report.model.backbone.untrained),
        suspects_table=TABLE.as_posix(),
    )


def model_card(report: RunReport) -> str:
    """model_card.md."""
    return render_markdown("model_card.md", **_told_by(report), most=MOST_OVERLAPS)


def _told_by(report: RunReport) -> dict[str, Any]:
    """What both tell, under the names that their templates have for it."""
    return {
        "report": report,
        "sentences": sentences,
        "tables": report_tables,
        "cleaning": report.cleaning,
    }


def draw_figures(report: RunReport, folder: Path) -> None:
    """Write confusion_matrix.png, mistakes.png, training_batch.png, calibration.png and
    attention.png.
    """
    evaluation, wrong = report.evaluation, report.mistakes
    split, judged = evaluation.judged, evaluation.judged_pictures
    matrix = folder / "confusion_matrix.png"
    confusion.confusion_matrix(evaluation.labels, evaluation.confusion, matrix, split=split)
    sheets.mistakes(
        [_opened(report, picture) for picture in wrong[: sheets.MOST_PICTURES]],
        folder / "mistakes.png",
        wrong=len(wrong),
        total=len(judged),
        split=split,
    )
    seen = [_seen(report, example, number) for example, number in report.training_batch]
    sheets.training_batch(
        seen, folder / "training_batch.png", total=len(report.dataset.examples["train"])
    )
    curves.calibration(
        [picture.probability for picture in judged],
        [picture.uncalibrated_probability for picture in judged],
        [picture.right for picture in judged],
        folder / "calibration.png",
        split=split,
    )
    explained = [(_opened(report, picture), heat) for picture, heat in report.explained]
    sheets.attention(explained, folder / "attention.png", split=split)


def _opened(report: RunReport, picture: PredictionRow) -> sheets.Panel:
    """The picture as the network saw it, with label and answer."""
    image = open_prepared(report.prepared[picture.file])
    return sheets.judged(image, picture.actual, picture.predicted, picture.probability)


def _seen(report: RunReport, example: Example, number: int) -> tuple[Image.Image, str, int]:
    """A view of a training picture as training draws it, with its label and number."""
    view = views.draw(report.augment, example.sha256, number)
    image = views.apply(open_prepared(example.path), view)
    return image, report.dataset.labels[example.label], number
