"""The model card says what the model is, in Markdown no label can break; the tables beside it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from support.reported import HOSTILE, MISSING, workspace

from whoswho import paths, tables
from whoswho.artifacts.predictions import LabelScore, ShortcutRow
from whoswho.reporting import page, run_report
from whoswho.reporting.run_report import RunReport


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    return run_report.read_run(workspace(tmp_path_factory.mktemp("full"), ready_split=True))


@pytest.fixture(scope="module")
def without_test(tmp_path_factory: pytest.TempPathFactory) -> RunReport:
    folder = workspace(tmp_path_factory.mktemp("notest"), test=False, fallback=False)
    return run_report.read_run(folder)


def test_it_says_what_it_is_for_and_what_not(report: RunReport) -> None:
    text = page.model_card(report)
    assert "no proof of identity" in text
    assert "less similar than 0.600 (cosine) to everybody the model knows is answered" in text
    assert "90% of its pictures were answered so (of the label caught least 75%)" in text
    assert "0.700 ± 0.020 (95% interval 0.600 to 0.800; chance 0.100; 76 pictures)" in text
    away = sum(answer.unknown for answer in report.evaluation.judged_pictures)
    assert 0 < away < len(report.evaluation.judged_pictures)
    judged = len(report.evaluation.judged_pictures)
    assert f"Known people are answered `unknown` too: {away} of {judged} test pictures." in text
    assert "Untrained (random weights): not a model to use" in text
    assert "`dvc exp run -S backbone.arch=dlib_resnet29` takes a trained backbone" in text
    assert "Passed over: `IMAGENET1K_V2`, because no network." in text
    assert "0.123 (95% interval 0.133 to 0.143; chance 0.153)" in text
    assert "1 pair of look-alikes lies on two sides" in text
    assert f"No picture of {MISSING} in test" in text
    assert "over 18 of 19 labels" in text
    assert "`train.lr`" in text


def test_labels_told_without_their_faces_are_named(report: RunReport) -> None:
    assert "without the face" not in page.model_card(report)  # it was not looked at
    rows = [
        ShortcutRow("surroundings", "C++", 20, 0.9, 0.1, 0.4),
        ShortcutRow("surroundings", "<b>x</b>", 20, 0.3, 0.2, -0.1),
        ShortcutRow("file", "007", 20, 0.75, 0.25, 0.01),
    ]

    def text(*rows: ShortcutRow) -> str:
        evaluation = replace(report.evaluation, shortcuts=rows)
        return page.model_card(replace(report, evaluation=evaluation))

    assert (
        "Told without the face, by what surrounds it alone: C++ (90% of its pictures, 10% of the "
        "others')." in text(*rows)
    )
    assert "by the file's size, shape, brightness and site alone: 007 (75% of" in text(*rows)
    assert "may have learned that in place of the face" in text(*rows)
    assert "No label is told above chance without its face, by what surrounds it." in text(rows[1])


def test_only_a_training_with_several_seeds_has_a_spread(
    report: RunReport, tmp_path: Path
) -> None:
    several = run_report.read_run(workspace(tmp_path, ("a", "b"), repeats=3))
    assert "| accuracy on validation over 3 seeds | 0.700 ± 0.100 |" in page.model_card(several)
    assert "seeds" not in page.model_card(report)


def test_it_is_the_same_each_time(report: RunReport) -> None:
    assert page.model_card(report) == page.model_card(report)


def test_without_a_test_split_it_says_validation(without_test: RunReport) -> None:
    text = page.model_card(without_test)
    assert "There is no test split" in text
    assert "On the validation pictures:" in text
    assert "random weights" not in text
    assert "test pictures" not in text
    assert "Overlaps" not in text


def test_every_label_has_its_row_and_none_breaks_the_table(report: RunReport) -> None:
    rows = [line for line in page.model_card(report).splitlines() if line.startswith("|")]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in rows]
    start = next(i for i, row in enumerate(cells) if row[0].strip() == "label (test)")
    table = cells[start + 2 : start + 2 + len(HOSTILE)]
    assert all(len(row) == 5 for row in table)
    shown = [re.sub(r"\\(.)", r"\1", row[0].strip()) for row in table]
    readable = [s.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") for s in shown]
    assert readable == [label.replace("\ue000", "U+E000") for label in HOSTILE]
    assert not re.search(r"<(?!/?$)", "".join(row[0] for row in table))


def test_an_absent_label_keeps_its_row_and_is_not_defined(report: RunReport) -> None:
    (row,) = [s for s in report.evaluation.scores if s.label == MISSING and s.split == "test"]
    assert (row.recall, row.f1, row.support) == (None, None, 0)
    assert "| C++ | 0.000 | not defined | not defined | 0 |" in page.model_card(report)


def test_the_tables(report: RunReport, tmp_path: Path) -> None:
    run_report.write_tables(report, tmp_path)
    rows = tables.read(tmp_path / "per_label.csv", tables.columns(LabelScore))
    assert len(rows) == 2 * len(HOSTILE)
    assert [row["label"] for row in rows[: len(HOSTILE)]] == list(HOSTILE)
    (absent,) = [r for r in rows if r["label"] == MISSING and r["split"] == "test"]
    assert (absent["recall"], absent["f1"], absent["support"]) == ("", "", "0")
    answers = tables.read(tmp_path / "predictions.csv", run_report.PREDICTIONS)
    assert {row["split"] for row in answers} == {"test"}
    assert len(answers) == 2 * (len(HOSTILE) - 1)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics == report.evaluation.headline
    assert {"test/accuracy", "cv/accuracy", "unknown/strangers_caught"} < set(metrics)
    measures = tables.read(tmp_path / "measures.csv", run_report.MEASURES)
    assert {f"{row['split']}/{row['measure']}": float(row["value"]) for row in measures} == (
        report.evaluation.metrics
    )
    assert len(tables.read(tmp_path / "history.csv", ("epoch", "train/loss"))) == 3
    assert b"\r" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_without_a_test_split_the_table_of_predictions_says_so(
    without_test: RunReport, tmp_path: Path
) -> None:
    run_report.write_tables(without_test, tmp_path)
    answers = tables.read(tmp_path / "predictions.csv", run_report.PREDICTIONS)
    assert {row["split"] for row in answers} == {"validation"}


def test_cleaning_counts_a_picture_under_each_of_its_reasons(
    report: RunReport, tmp_path: Path
) -> None:
    run_report.write_tables(report, tmp_path)
    rows = tables.read(tmp_path / "cleaning.csv", run_report.CLEANING)
    own = {row["reason"]: row["count"] for row in rows if row["label"] == HOSTILE[1]}
    assert own == {"kept": "6", "dropped": "1", "blank": "1", "too_small": "1"}
    assert report.cleaning.totals["kept"] == 6 * len(HOSTILE) - 2
    assert report.cleaning.reasons[0] == "no_face"
    assert report.cleaning.totals["no_face"] == 10


def test_predictions_of_another_dataset_are_refused(tmp_path: Path) -> None:
    from whoswho.errors import UserError

    folder = workspace(tmp_path, labels=("a", "b"))
    path = folder / paths.EVALUATION / "predictions.csv"
    path.write_text(path.read_text().replace("a/google_0001.jpg", "a/gone.jpg"))
    with pytest.raises(UserError, match=r"a/gone.jpg is not in the dataset"):
        run_report.read_run(folder)
