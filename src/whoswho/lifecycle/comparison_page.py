"""What `whoswho compare` draws: a figure of the pictures that one model alone gets right, and
reports/compare.html.
"""

from __future__ import annotations

from pathlib import Path

from whoswho import paths
from whoswho.artifacts.split import find_split, open_prepared
from whoswho.lifecycle.comparison.comparison_tables import tables
from whoswho.lifecycle.comparison.paired import Comparison, verdict
from whoswho.reporting.pages.rendering import render_page
from whoswho.reporting.plots import sheets

PAGE, FIGURE = paths.COMPARISON


def write(compared: Comparison, workspace: Path) -> None:
    """Draw reports/compare.png and reports/compare.html, of pictures that are at hand here."""
    prepared = {
        row.sha256: workspace / paths.DATASET / row.path
        for row in find_split(workspace / paths.DATASET) or ()
    }
    drawn = [
        sheets.disagreement(open_prepared(prepared[pair.sha256]), pair.first, pair.second)
        for pair in [*compared.only_first, *compared.only_second]
        if pair.sha256 in prepared and prepared[pair.sha256].is_file()
    ]
    sheets.disagreements(drawn, workspace / FIGURE)
    page = render_page(
        "compare.html",
        compared=compared,
        verdict=verdict(compared),
        shown=tables(compared),
        figure=(workspace / FIGURE).read_bytes(),
        absent=len(compared.only_first) + len(compared.only_second) - len(drawn),
    )
    paths.write_text(workspace / PAGE, page)
