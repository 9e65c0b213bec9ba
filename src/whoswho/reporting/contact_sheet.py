"""reports/clean.html: what cleaning took out and why, as one page of small pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from whoswho import paths
from whoswho.artifacts.decisions import Decision, count_decisions, read_decisions
from whoswho.artifacts.thumbnails import chosen_for_sheet, read_thumbnail
from whoswho.cleaning import reasons
from whoswho.reporting.pages.rendering import render_page


def write(workspace: Path) -> None:
    """Write reports/clean.html from artifacts/clean."""
    clean = workspace / paths.CLEAN
    page = contact_sheet(read_decisions(clean), clean)
    paths.write_text(workspace / paths.REPORTS / "clean.html", page)


def contact_sheet(table: Sequence[Decision], clean: Path) -> str:
    """The page of a table of decisions and the thumbnails in the folder `clean`."""
    counts = count_decisions(table)
    by_file = {decision.file: decision for decision in table}
    chosen = chosen_for_sheet(table)

    def shown(decision: Decision, reason: str = "") -> dict[str, object]:
        other = by_file.get(decision.duplicate_of) if reason else None
        return {
            "decision": decision,
            "thumbnail": read_thumbnail(clean, decision.sha256),
            "measure": reasons.explain(decision, reason) if reason else "",
            "duplicate_of": other and shown(other),
        }

    sections = [
        {
            "reason": reason,
            "sentence": reasons.says(reason),
            "count": counts.totals[reason],
            "shown": [shown(decision, reason) for decision in chosen[reason]],
        }
        for reason in counts.reasons
    ]
    return render_page("clean.html", cleaning=counts, sections=sections, files=len(table))
