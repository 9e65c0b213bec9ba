"""A comparison as people read it: tables, and lines on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from whoswho.lifecycle.comparison.paired import Comparison, Pair, verdict
from whoswho.lifecycle.comparison.sides import Side
from whoswho.reporting.pages.table import CODE, LABEL, NAME, NUMBER, TEXT, Table
from whoswho.wording import aligned, plural

_MEASURES = {
    "accuracy": ("{judged}/accuracy", "{judged}/accuracy_low", "{judged}/accuracy_high"),
    "cross-validated accuracy": ("cv/accuracy", "cv/accuracy_low", "cv/accuracy_high"),
    "log loss": ("{judged}/log_loss",),
    "strangers answered unknown": ("unknown/strangers_caught",),
    "known people answered unknown": ("{judged}/false_reject_rate",),
}


def lines(compared: Comparison) -> list[str]:
    """The comparison for a terminal."""
    output = [f"A: {compared.first.name}", f"B: {compared.second.name}", *verdict(compared)]
    output += [compared.data, compared.code]
    for table in tables(compared):
        output += ["", table.caption, *aligned([tuple(table.columns), *table.rows])]
    return output


def tables(compared: Comparison) -> list[Table]:
    """What differs, how the two fare, and which pictures one alone gets right; a table without
    rows is left out.
    """
    shown = figures(compared)
    if compared.pairs:
        shown += [
            _pictures(f"Only {name} is right", pairs)
            for name, pairs in (("A", compared.only_first), ("B", compared.only_second))
            if pairs
        ]
    return shown


def figures(compared: Comparison) -> list[Table]:
    """What differs and how the two fare; a table without rows is left out."""
    both = measures("Each on its own pictures", {"A": compared.first, "B": compared.second})
    chosen = [_params(compared.params), both]
    if compared.pairs:
        chosen += [_common(compared), _labels(compared)]
    return [table for table in chosen if table.rows]


def _params(differing: Mapping[str, tuple[str | None, str | None]]) -> Table:
    rows = [
        (name, *("-" if value is None else value for value in values))
        for name, values in differing.items()
    ]
    return Table("Params that differ", {"param": CODE, "A": CODE, "B": CODE}, rows)


def measures(caption: str, models: Mapping[str, Side]) -> Table:
    """What each was judged by, a column a model."""
    rows = []
    for name, keys in _MEASURES.items():
        cells = [_measure(side, keys) for side in models.values()]
        if set(cells) != {"-"}:
            rows.append((name, *cells))
    return Table(caption, {"measure": TEXT, **dict.fromkeys(models, TEXT)}, rows)


def _measure(side: Side, keys: Sequence[str]) -> str:
    evaluation = side.record.evaluation
    values = [evaluation.metrics.get(key.format(judged=evaluation.judged)) for key in keys]
    if values[0] is None:
        return "-"
    if len(values) == 1 or None in values:
        return f"{values[0]:.3f}"
    return f"{values[0]:.3f} ({values[1]:.3f} to {values[2]:.3f})"


def _common(compared: Comparison) -> Table:
    rows = [
        (name, str(right), f"{value:.3f}", f"{low:.3f} to {high:.3f}")
        for name, right, (value, low, high) in zip(
            "AB", compared.right, compared.accuracies(), strict=True
        )
    ]
    columns = {"model": TEXT, "right": NUMBER, "accuracy": NUMBER, "95% interval": NUMBER}
    return Table(f"On the {len(compared.pairs)} common test pictures", columns, rows)


def _labels(compared: Comparison) -> Table:
    rows = [(label, *map(str, counts)) for label, *counts in compared.labels()]
    columns = {"label": LABEL, "pictures": NUMBER, "A right": NUMBER, "B right": NUMBER}
    return Table("Label by label, of the common ones", columns, rows)


def _pictures(caption: str, pairs: Sequence[Pair]) -> Table:
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
    return Table(f"{caption}: {plural(len(pairs), 'picture')}", columns, rows)
