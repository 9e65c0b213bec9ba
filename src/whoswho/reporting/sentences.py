"""Sentences and numbers that report.html and model_card.md have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from whoswho.wording import plural

if TYPE_CHECKING:
    from whoswho.reporting.run_report import RunReport

FETCH_WEIGHTS = "dvc repro -f -s backbone && dvc repro"
UNTRAINED = (
    "The backbone has learnt nothing from any picture, and only the head was trained. The numbers "
    "show that the pipeline runs."
)
NO_TEST = (
    "All numbers are of the validation pictures, on which the temperature and the threshold were "
    "chosen: they flatter."
)
READY_SPLIT = "The set came split in folders; that split was kept."


def number(value: float | None) -> str:
    """A measure as it is printed."""
    return "not defined" if value is None else f"{value:.3f}"


def purpose(report: RunReport) -> str:
    """What the model does, in a sentence."""
    return (
        f"Names which of {len(report.model.labels)} people a picture shows, or says unknown. "
        "It knows only the people it was trained on."
    )


def not_for(report: RunReport) -> list[str]:
    """What the model must not be used for, and what the threshold costs."""
    evaluation = report.evaluation
    judged = f"{len(evaluation.judged_pictures)} {evaluation.judged} pictures"
    return [
        "It is no proof of identity: no access, payment, police or hiring decision may rest on "
        "it.",
        "A name never stands for certainty. Under a probability of "
        f"{report.model.threshold:.3f} the answer is `unknown`; this threshold was chosen on "
        "the validation pictures of known people. A stranger who happens to score above it still "
        "gets a name.",
        f"The same threshold rejects known people: {report.rejected} of {judged} "
        "are answered `unknown`.",
    ]


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
