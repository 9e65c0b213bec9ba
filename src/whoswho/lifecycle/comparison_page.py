"""A comparison as people read it: lines on a terminal, a figure, and reports/compare.html."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from whoswho import paths
from whoswho.artifacts.split import find_split, open_prepared
from whoswho.lifecycle.comparison import Comparison, Pair, verdict
from whoswho.lifecycle.sides import Side
from whoswho.reporting.plots import sheets
from whoswho.reporting.rendering import render_page
from whoswho.reporting.report_tables import CODE, LABEL, NAME, NUMBER, TEXT, ReportTable
from whoswho.wording import aligned, plural

PAGE, FIGURE = paths.COMPARISON
_MEASURES = {
    "accuracy": ("{judged}/accuracy", "{judged}/accuracy_low", "{judged}/accuracy_high"),
    "cross-validated accuracy": ("cv/accuracy", "cv/accuracy_low", "cv/accuracy_high"),
    "log loss": ("{judged}/log_loss",),
    "strangers answered unknown": ("unknown/strangers_caught",),
    "known people answered unknown": ("{judged}/false_reject_rate",),
}


def lines(compared: Comparison) -> list[str]:
    """The comparison for a terminal."""
    found = [f"A: {compared.first.name}", f"B: {compared.second.name}", *verdict(compared)]
    found += [compared.data, compared.code]
    for table in tables(compared):
        found += ["", table.caption, *aligned([tuple(table.columns), *table.rows])]
    return found


def write(compared: Comparison, workspace: Path) -> None:
    """Draw reports/compare.png and reports/compare.html, of pictures that are at hand here."""
    prepared = {
        row.sha256: workspace / paths.DATASET / row.path
        for row in find_split(workspace / paths.DATASET) or ()
    }
    drawn = [
        sheets.Disagreement(open_prepared(prepared[pair.sha256]), pair.first, pair.second)
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


def tables(compared: Comparison) -> list[ReportTable]:
    """What differs and how the two fare; a table without rows is left out."""
    found = [_params(compared.params), _measures(compared.first, compared.second)]
    if compared.pairs:
        found += [_common(compared), _labels(compared)]
        found += [
            _pictures(f"Only {name} is right", pairs)
            for name, pairs in (("A", compared.only_first), ("B", compared.only_second))
        ]
    return [table for table in found if table.rows]


def _params(differing: Mapping[str, tuple[str | None, str | None]]) -> ReportTable:
    rows = [
        (name, *("-" if value is None else value for value in values))
        for name, values in differing.items()
    ]
    return ReportTable("Params that differ", {"param": CODE, "A": CODE, "B": CODE}, rows)


def _measures(first: Side, second: Side) -> ReportTable:
    """What each was judged by on its own pictures."""
    rows = []
    for name, keys in _MEASURES.items():
        cells = [_measure(side, keys) for side in (first, second)]
        if set(cells) != {"-"}:
            rows.append((name, *cells))
    return ReportTable("Each on its own pictures", {"measure": TEXT, "A": TEXT, "B": TEXT}, rows)


def _measure(side: Side, keys: Sequence[str]) -> str:
    evaluation = side.record.evaluation
    values = [evaluation.metrics.get(key.format(judged=evaluation.judged)) for key in keys]
    if values[0] is None:
        return "-"
    if len(values) == 1 or None in values:
        return f"{values[0]:.3f}"
    return f"{values[0]:.3f} ({values[1]:.3f} to {values[2]:.3f})"


def _common(compared: Comparison) -> ReportTable:
    rows = [
        (name, str(right), f"{value:.3f}", f"{low:.3f} to {high:.3f}")
        for name, right, (value, low, high) in zip(
            "AB", compared.right, compared.accuracies(), strict=True
        )
    ]
    columns = {"model": TEXT, "right": NUMBER, "accuracy": NUMBER, "95% interval": NUMBER}
    return ReportTable(f"On the {len(compared.pairs)} common test pictures", columns, rows)


def _labels(compared: Comparison) -> ReportTable:
    rows = [(label, *map(str, counts)) for label, *counts in compared.labels()]
    columns = {"label": LABEL, "pictures": NUMBER, "A right": NUMBER, "B right": NUMBER}
    return ReportTable("Label by label, of the common ones", columns, rows)


def _pictures(caption: str, pairs: Sequence[Pair]) -> ReportTable:
    rows = [
        (
            pair.first.file,
            pair.first.actual,
            f"{pair.first.predicted} {pair.first.probability:.3f}",
            f"{pair.second.predicted} {pair.second.probability:.3f}",
        )
        for pair in pairs
    ]
    columns = dict.fromkeys(("picture", "label", "A says", "B says"), NAME)
    return ReportTable(f"{caption}: {plural(len(pairs), 'picture')}", columns, rows)
