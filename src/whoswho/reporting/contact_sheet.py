"""reports/clean.html: what cleaning took out and why, as one page of small pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from whoswho import paths
from whoswho.artifacts.decisions import Decision, count_decisions, read_decisions
from whoswho.artifacts.thumbnails import chosen_for_sheet, read_thumbnail
from whoswho.cleaning import reasons
from whoswho.reporting.pages.rendering import render_page


@dataclass(frozen=True)
class ShownPicture:
    """A picture on the sheet; `thumbnail` is a JPEG, None where the file gave no picture."""

    file: str
    label: str
    kept: bool
    thumbnail: bytes | None
    measure: str
    duplicate_of: ShownPicture | None


@dataclass(frozen=True)
class Section:
    """The pictures dropped for one reason: how many, and those shown."""

    reason: str
    sentence: str
    count: int
    shown: Sequence[ShownPicture]


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

    def shown(decision: Decision, reason: str = "") -> ShownPicture:
        other = by_file.get(decision.duplicate_of) if reason else None
        return ShownPicture(
            decision.file,
            decision.label,
            decision.kept,
            read_thumbnail(clean, decision.sha256),
            reasons.explain(decision, reason) if reason else "",
            shown(other) if other else None,
        )

    sections = [
        Section(
            reason,
            reasons.says(reason),
            counts.totals[reason],
            [shown(decision, reason) for decision in chosen[reason]],
        )
        for reason in counts.reasons
    ]
    return render_page("clean.html", cleaning=counts, sections=sections, files=len(table))
