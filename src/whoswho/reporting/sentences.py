"""Sentences and numbers that report.html and model_card.md have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from whoswho import arches
from whoswho.artifacts.predictions import WAYS
from whoswho.reporting.pages.table import number
from whoswho.reporting.run_report import RunReport
from whoswho.wording import needs_most, plural

FETCH_WEIGHTS = "dvc repro -f -s backbone && dvc repro"
UNTRAINED = (
    "The backbone has learnt nothing from any picture, and only the head was trained. The numbers "
    "show that the pipeline runs."
)
NO_TEST = (
    "All numbers are of the validation pictures, which took part in choosing the temperature and "
    "the least similarity: they flatter."
)
WIDE = 0.2  # an interval of an accuracy; wider, and the pictures are too few to tell
MOST_CAUGHT = 0.5  # strangers; below it `unknown` is not to be relied on
READY_SPLIT = "The set came split in folders; that split was kept."


def trained_offline(report: RunReport) -> str:
    """The command that takes a trained backbone without a network."""
    return arches.trained_offline(report.model.picture.crop)


def purpose(report: RunReport) -> str:
    """What the model does, in a sentence."""
    return (
        f"Names which of {len(report.model.labels)} people a picture shows, or says unknown. "
        "It knows only the people it was trained on."
    )


def not_for(report: RunReport) -> list[str]:
    """What the model must not be used for, and what `unknown` is worth."""
    evaluation = report.evaluation
    judged = f"{len(evaluation.judged_pictures)} {evaluation.judged} pictures"
    return [
        "It is no proof of identity: no access, payment, police or hiring decision may rest on "
        "it.",
        "A name never stands for certainty. A picture less similar than "
        f"{report.model.min_similarity:.3f} (cosine) to everybody the model knows is answered "
        f"`unknown`. {strangers(report.model.cross_validation)}",
        f"Known people are answered `unknown` too: {report.rejected} of {judged}.",
    ]


def too_few(report: RunReport) -> str:
    """That the judged pictures are too few to tell, and of whom most are needed; else empty."""
    evaluation = report.evaluation
    if evaluation.metric("accuracy_high") - evaluation.metric("accuracy_low") <= WIDE:
        return ""
    return (
        f"{plural(len(evaluation.judged_pictures), f'{evaluation.judged} picture')} are too few "
        "to tell one model from another; the cross-validated figure rests on more. "
        f"{needy(report)}"
    )


def needy(report: RunReport) -> str:
    """Which label needs pictures most: the one that has the fewest to train on."""
    counts = report.counts["train"]
    return needs_most({label: counts[label] for label in report.model.labels})


def most_confused(report: RunReport) -> str:
    """Which label is taken most for which other; empty where no answer is wrong."""
    pairs = Counter((wrong.actual, wrong.predicted) for wrong in report.mistakes)
    if not pairs:
        return ""
    (actual, predicted), count = min(pairs.items(), key=lambda item: (-item[1], item[0]))
    support = sum(picture.actual == actual for picture in report.evaluation.judged_pictures)
    return (
        f"{actual} is taken for {predicted} most: {count} of {support} "
        f"{report.evaluation.judged} pictures."
    )


def worse(report: RunReport) -> str:
    """What was changed in pictures, and what the accuracy beside it says."""
    rows = report.evaluation.robustness
    if not rows:
        return "Not measured (evaluate.altered: 0)."
    text = (
        f"{plural(rows[0].pictures, f'{report.evaluation.judged} picture')}, each made worse in "
        "turn as the network sees it: the face stays where it was found before, also where a "
        "detector would find none any more."
    )
    if faceless := rows[0].without_face:
        text += f" {faceless} of them show no face to a backbone of faces, and count as wrong."
    if len({row.pictures for row in rows}) > 1 or not any(
        row.change == "lower face masked" for row in rows
    ):
        text += " A face can be masked only where one was found."
    return text


def shortcuts(report: RunReport) -> list[str]:
    """Which labels are told without the face, a line a way; and what that means."""
    evaluation = report.evaluation
    if not evaluation.shortcuts:
        return []
    lines = []
    for way, rows in evaluation.shortcut_labels.items():
        named = ", ".join(
            f"{row.label} ({row.told:.0%} of its pictures, {row.chance:.0%} of the others')"
            for row in rows
        )
        lines.append(f"Told without the face, by {WAYS[way]} alone: {named}.")
    if not lines:
        ways = " or ".join(WAYS[way] for way in dict.fromkeys(r.way for r in evaluation.shortcuts))
        return [f"No label is told above chance without its face, by {ways}."]
    lines.append(
        "The model may have learned that in place of the face; the test pictures are of the same "
        "set and do not show it."
    )
    return lines


def strangers(metrics: Mapping[str, float]) -> str:
    """How many strangers `unknown` catches, of a model's cross-validation."""
    caught = metrics.get("unknown/strangers_caught")
    if caught is None:
        return "How many strangers are caught so was not measured: expect some to get a name."
    worst = metrics["unknown/strangers_caught_worst"]
    text = (
        f"With each label left out in turn, {caught:.0%} of its pictures were answered so (of the "
        f"label caught least {worst:.0%}); the others got a name"
    )
    return f"{text}: do not rely on it." if caught < MOST_CAUGHT else f"{text}."


def cross_validated(metrics: Mapping[str, float]) -> str:
    """`0.812 ± 0.010 (95% interval 0.760 to 0.855; chance 0.210; 150 pictures)`."""
    names = ("accuracy", "accuracy_deviation", "accuracy_low", "accuracy_high", "chance")
    accuracy, deviation, low, high, chance = (metrics[f"cv/{name}"] for name in names)
    return (
        f"{accuracy:.3f} ± {deviation:.3f} (95% interval {low:.3f} to {high:.3f}; chance "
        f"{chance:.3f}; {metrics['cv/pictures']:.0f} pictures)"
    )


def interval(report: RunReport) -> str:
    """The accuracy with its interval beside chance."""
    accuracy, low, high, chance = (
        number(report.evaluation.metric(name))
        for name in ("accuracy", "accuracy_low", "accuracy_high", "chance")
    )
    return f"{accuracy} (95% interval {low} to {high}; chance {chance})"


def crop(report: RunReport) -> str:
    """What of a picture the network sees."""
    if report.model.picture.crop == "face":
        return (
            f"The network sees the main face with a margin; {report.whole} pictures without a "
            "found face were used whole."
        )
    return "The network sees the whole picture, squashed to a square."


def overlaps(report: RunReport) -> str:
    """How many look-alikes lie over the borders of the splits."""
    pairs = len(report.dataset.overlaps)
    return f"{plural(pairs, 'pair')} of look-alikes {'lies' if pairs == 1 else 'lie'}"
