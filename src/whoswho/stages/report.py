"""Draw and write what people read of the run.

Consumes: artifacts/clean (decisions.csv, thumbnails/), artifacts/dataset, artifacts/model,
    artifacts/evaluation.
Produces: reports/: metrics.json (a dozen), measures.csv (all), history.csv, per_label.csv,
    cleaning.csv, predictions.csv (of the judged split), model_card.md, confusion_matrix.png,
    mistakes.png, training_batch.png, calibration.png, attention.png, report.html, clean.html.
Command: python src/stage.py report
"""

from __future__ import annotations

from whoswho import paths, trained_with
from whoswho.params import load_params
from whoswho.reporting import contact_sheet, page, run_report, sentences


def main() -> None:
    """Run the stage in the workspace."""
    params = load_params()
    workspace = paths.workspace()
    report = run_report.read_run(workspace)
    trained_with.check(report.model.params, params, workspace)
    reports = workspace / paths.REPORTS
    run_report.write_tables(report, reports)
    page.write(report, reports)
    contact_sheet.write(workspace)
    print(
        f"report: {report.evaluation.judged} accuracy {sentences.interval(report)}; "
        f"open {(paths.REPORTS / 'report.html').as_posix()}"
    )
