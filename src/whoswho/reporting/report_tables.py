"""The tables of report.html and model_card.md, as rows that either can show."""

from __future__ import annotations

from itertools import groupby

from whoswho.artifacts.decisions import DROPPED, KEPT
from whoswho.reporting.pages.table import CODE, LABEL, NAME, NUMBER, TEXT, Table, number
from whoswho.reporting.run_report import RunReport
from whoswho.reporting.sentences import cross_validated, interval


def pictures(report: RunReport) -> Table:
    """How many pictures of each label are in each split."""
    columns = {"label": LABEL, **dict.fromkeys(report.counts, NUMBER)}
    rows = [
        (label, *(str(counts[label]) for counts in report.counts.values()))
        for label in report.model.labels
    ]
    return Table("Pictures by label and split", columns, rows)


def cleaning(report: RunReport) -> Table:
    """What cleaning kept and dropped of each label, and why."""
    rows = []
    for label, counts in report.cleaning.counts.items():
        why = (f"{reason} {counts[reason]}" for reason in report.cleaning.reasons_of(label))
        rows.append((label, str(counts[KEPT]), str(counts[DROPPED]), ", ".join(why)))
    columns = {"label": LABEL, KEPT: NUMBER, DROPPED: NUMBER, "why": TEXT}
    return Table("What cleaning decided", columns, rows)


def scores(report: RunReport) -> list[Table]:
    """How each label fares, a table a split."""
    tables = []
    for split, of_split in groupby(report.evaluation.scores, key=lambda score: score.split):
        rows = [
            (s.label, number(s.precision), number(s.recall), number(s.f1), str(s.support))
            for s in of_split
        ]
        numbers = dict.fromkeys(("precision", "recall", "F1", "pictures"), NUMBER)
        tables.append(Table(split, {f"label ({split})": LABEL, **numbers}, rows))
    return tables


def measures(report: RunReport) -> Table:
    """All labels together, on the judged split."""
    evaluation = report.evaluation
    scored = [s for s in evaluation.scores if s.split == evaluation.judged and s.f1 is not None]
    over = f"over {len(scored)} of {len(evaluation.labels)} labels"
    judged = len(evaluation.judged_pictures)
    rows = [
        ("pictures", str(judged)),
        ("accuracy", interval(report)),
        (f"balanced accuracy, {over}", number(evaluation.metric("balanced_accuracy"))),
        (f"macro F1, {over}", number(evaluation.metric("macro_f1"))),
        ("log loss", number(evaluation.metric("log_loss"))),
        ("right among the first two answers", number(evaluation.metric("top_2"))),
        ("calibration error (ECE)", number(evaluation.metric("ece"))),
        ("calibration error without temperature", number(evaluation.metric("ece_uncalibrated"))),
        ("known people answered unknown", f"{report.rejected} of {judged}"),
    ]
    if repeats := report.model.repeat_metrics:  # none of a single training
        mean, deviation = (
            repeats[f"validation/accuracy_{name}"] for name in ("mean", "deviation")
        )
        seeds = f"{repeats['validation/repeats']:.0f} seeds"
        rows.append((f"accuracy on validation over {seeds}", f"{mean:.3f} ± {deviation:.3f}"))
    rows += cross_validation(report)
    rows = [(name, value) for name, value in rows if value != number(None)]
    columns = {"measure": TEXT, evaluation.judged: TEXT}
    return Table(f"All labels together, {evaluation.judged}", columns, rows)


def cross_validation(report: RunReport) -> list[tuple[str, str]]:
    """What held-out pictures say of the recipe, a row each; none of a fine-tuned backbone."""
    metrics = report.model.cross_validation
    rows = []
    if "cv/accuracy" in metrics:
        rows = [("cross-validated accuracy", cross_validated(metrics))]
    for name, text in (
        ("strangers_caught", "strangers answered unknown, each label left out in turn"),
        ("strangers_caught_worst", "the same, of the label that is caught least"),
        ("false_reject_rate", "known people answered unknown, cross-validated"),
    ):
        rows.append((text, number(metrics.get(f"unknown/{name}"))))
    return rows


def robustness(report: RunReport) -> Table:
    """Accuracy where pictures get worse, a row a way."""
    rows = [
        (
            f"{row.change} ({row.strength})",
            str(row.pictures),
            number(row.unchanged),
            number(row.accuracy),
            f"{number(row.accuracy_low)} to {number(row.accuracy_high)}",
            f"{row.unknown:.0%}",
        )
        for row in report.evaluation.robustness
    ]
    numbers = ("pictures", "accuracy as they are", "changed", "95% interval", "answered unknown")
    columns = {"change": TEXT, **dict.fromkeys(numbers, NUMBER)}
    return Table("Accuracy where pictures get worse", columns, rows)


def mistakes(report: RunReport, most: int) -> Table:
    """The wrong answers, the surest first."""
    wrong = report.mistakes
    rows = [
        (p.file, p.actual, p.predicted, number(p.probability), "unknown" if p.unknown else "")
        for p in wrong[:most]
    ]
    names = dict.fromkeys(("picture", "label", "answer"), NAME)
    first = f", the first {most}" if len(wrong) > most else ""
    columns = {**names, "probability": NUMBER, "like none of the labels": TEXT}
    return Table(f"The same as a table{first}", columns, rows)


def overlaps(report: RunReport, most: int) -> Table:
    """Look-alikes on two sides of a split that came with the set."""
    pairs = report.dataset.overlaps
    rows = [(pair.file_a, pair.split_a, pair.file_b, pair.split_b) for pair in pairs[:most]]
    columns = {"picture": NAME, "split": TEXT, "looks like": NAME, "its split": TEXT}
    return Table("Look-alikes over the borders of the splits", columns, rows)


def params(report: RunReport) -> Table:
    """The params of training, and what it fitted."""
    model = report.model
    fitted = {
        "temperature": f"{model.temperature:.4f}",
        "min_similarity": f"{model.min_similarity:.4f}",
    }
    rows = [(name, str(value)) for name, value in (model.params | fitted).items()]
    return Table("Params, and what training fitted", {"param": CODE, "value": CODE}, rows)
