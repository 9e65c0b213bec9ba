"""reports/model_card.md: what the model is for, what it is made of, how far it can be trusted.

It holds no clock, host, version or run, so the same inputs give the same card.
"""

from __future__ import annotations

from whoswho.reporting import report_tables, sentences
from whoswho.reporting.pages.rendering import render_markdown
from whoswho.reporting.run_report import RunReport

MOST_OVERLAPS = 20  # listed; dataset/overlaps.csv has them all


def model_card(report: RunReport) -> str:
    """The model card, in Markdown."""
    return render_markdown(
        "model_card.md",
        report=report,
        sentences=sentences,
        tables=report_tables,
        cleaning=report.cleaning,
        most=MOST_OVERLAPS,
    )
