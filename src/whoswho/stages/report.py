"""Draw and write what people read of the run.

Consumes artifacts/clean (decisions.csv, thumbnails/), artifacts/dataset, artifacts/model,
    artifacts/evaluation.
Produces reports/: metrics.json, history.csv, per_label.csv, cleaning.csv, predictions.csv (the
judged split: test, or validation where there is no test), model_card.md, confusion_matrix.png,
mistakes.png, calibration.png, attention.png, report.html, clean.html.
Command: python src/stage.py report
"""

from __future__ import annotations

from pathlib import Path

from whoswho import params, paths
from whoswho.errors import one_line_errors
from whoswho.learning import attention, model_folder
from whoswho.pictures import prepare
from whoswho.reporting import card, contact_sheet, facts, page, plots

MOST_EXPLAINED = 24  # labels; explaining one picture takes about half a second on one core


def main() -> None:
    """Run the stage in the workspace."""
    params.load()
    workspace = paths.workspace()
    found = facts.gather(workspace)
    reports = workspace / paths.REPORTS
    facts.write_tables(found, reports)
    paths.write_text(reports / "model_card.md", card.markdown(found))
    page.write(found, explained(found, workspace / paths.MODEL), reports)
    contact_sheet.write(workspace)
    print(
        f"report: {found.judged} accuracy {card.interval(found)}; "
        f"open {(paths.REPORTS / 'report.html').as_posix()}"
    )


def explained(found: facts.Facts, model: Path) -> list[plots.Seen]:
    """For every label its first judged picture by file name, with what counted for the answer."""
    chosen = found.first_of_each_label[:MOST_EXPLAINED]
    pictures = [page.titled(answer) for answer in chosen]
    maps = attention.heat_maps(
        model_folder.load(model).network,
        prepare.to_tensor([picture.image for picture in pictures]),
        [found.labels.index(answer.predicted) for answer in chosen],
    )
    return [plots.Seen(*picture, heat) for picture, heat in zip(pictures, maps, strict=True)]


if __name__ == "__main__":
    with one_line_errors():
        main()
