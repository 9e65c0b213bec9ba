"""reports/model_card.md: what the model is for, what it is made of, how far it can be trusted.

It holds no clock, host, version or run, so the same inputs give the same card.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from whoswho.reporting import fonts
from whoswho.reporting.facts import DROPPED, KEPT, Facts, Score

MOST_OVERLAPS = 20  # listed; dataset/overlaps.csv has them all
_ASIDE = re.compile(r"([\\`*_\[\]|~$])")  # what Markdown reads inside a line


def markdown(facts: Facts) -> str:
    """The model card."""
    parts = [
        ["# Model card: Who's Who", *_warning(facts), purpose(facts)],
        ["## Not for", *(f"- {line}" for line in not_for(facts))],
        ["## How well", *_measures(facts)],
        ["## Label by label", *_labels(facts)],
        ["## The pictures", *_pictures(facts)],
        *([["## Overlaps", *_overlaps(facts)]] if facts.ready_split else []),
        ["## The backbone", *backbone(facts)],
        ["## How it was made", *_params(facts)],
    ]
    return "\n\n".join("\n\n".join(_blocks(part)) for part in parts) + "\n"


def purpose(facts: Facts) -> str:
    """What the model does, in a sentence."""
    return (
        f"Names which of {len(facts.labels)} people a picture shows, or says unknown. It knows "
        "only the people it was trained on."
    )


def not_for(facts: Facts) -> list[str]:
    """What the model must not be used for, and what the threshold costs."""
    seen = len(facts.judgement)
    return [
        "It is no proof of identity: no access, payment, police or hiring decision may rest on "
        "it.",
        "A name never stands for certainty. Under a probability of "
        f"{facts.model['threshold']:.3f} the answer is `unknown`; this threshold was chosen on "
        "the validation pictures of known people. A stranger who happens to score above it still "
        "gets a name.",
        f"The same threshold turns away known people: {facts.turned_away} of {seen} "
        f"{facts.judged} pictures are answered `unknown`.",
    ]


def backbone(facts: Facts) -> list[str]:
    """Where the backbone comes from, and what was passed over."""
    source = facts.source
    lines = [
        f"{facts.model['arch']}, weights `{source['entry']}`"
        + (f" from {_code(str(source['from']))}" if source.get("from") else "")
        + f", sha256 `{source['sha256']}`."
    ]
    lines += [
        f"Passed over: {_code(str(entry['entry']))}, because {_text(str(entry['why']))}."
        for entry in source.get("passed_over", ())
    ]
    return lines


def interval(facts: Facts) -> str:
    """The accuracy with its interval beside chance."""
    accuracy, low, high, chance = (
        number(facts.metric(name))
        for name in ("accuracy", "accuracy_low", "accuracy_high", "chance")
    )
    return f"{accuracy} (95% interval {low} to {high}; chance {chance})"


def measures(facts: Facts) -> list[tuple[str, str]]:
    """(measure, value) of the judged split."""
    scored = [s for s in facts.scores if s.split == facts.judged and s.f1 is not None]
    over = f"over {len(scored)} of {len(facts.labels)} labels"
    rows = [
        ("pictures", str(len(facts.judgement))),
        ("accuracy", interval(facts)),
        (f"balanced accuracy, {over}", number(facts.metric("balanced_accuracy"))),
        (f"macro F1, {over}", number(facts.metric("macro_f1"))),
        ("log loss", number(facts.metric("log_loss"))),
        ("right among the first two answers", number(facts.metric("top_2"))),
        ("calibration error (ECE)", number(facts.metric("ece"))),
        ("calibration error without temperature", number(facts.metric("ece_uncalibrated"))),
        ("known people answered unknown", f"{facts.turned_away} of {len(facts.judgement)}"),
    ]
    if "validation/repeats" in facts.metrics:
        rows.append((
            f"accuracy on validation over {facts.metrics['validation/repeats']:.0f} seeds",
            f"{facts.metrics['validation/accuracy_mean']:.3f} "
            f"± {facts.metrics['validation/accuracy_deviation']:.3f}",
        ))  # fmt: skip
    return [row for row in rows if row[1] != "not defined"]


def overlaps(facts: Facts) -> str:
    """How many look-alikes lie over the borders of the splits."""
    pairs = len(facts.overlaps)
    return "1 pair of look-alikes lies" if pairs == 1 else f"{pairs} pairs of look-alikes lie"


def number(value: float | None) -> str:
    """A measure as it is printed."""
    return "not defined" if value is None else f"{value:.3f}"


def _warning(facts: Facts) -> list[str]:
    lines = []
    if facts.random:
        lines.append(
            "> **A stand-in, not a model to use.** Its backbone has random weights: it has learnt "
            "nothing from any picture, and only the head was trained. The numbers show that the "
            "pipeline runs. Where the network is reachable, "
            "`dvc repro -f -s backbone && dvc repro` fetches trained weights."
        )
    if facts.judged != "test":
        lines.append(
            "> **There is no test split.** All numbers are of the validation pictures, on which "
            "the temperature and the threshold were chosen: they flatter."
        )
    return lines


def _measures(facts: Facts) -> list[str]:
    rows = [(name, value) for name, value in measures(facts)]
    return [f"On the {facts.judged} pictures:", _table(("measure", facts.judged), rows)]


def _labels(facts: Facts) -> list[str]:
    lines = []
    for split in dict.fromkeys(score.split for score in facts.scores):
        rows = [_score(score) for score in facts.scores if score.split == split]
        header = (f"label ({split})", "precision", "recall", "F1", "pictures")
        lines.append(_table(header, rows))
    lines += [
        f"No picture of {_text(label)} in {split}: its measures there are not defined."
        for split, label in facts.missing
    ]
    return lines


def _score(score: Score) -> tuple[str, ...]:
    values = (number(value) for value in (score.precision, score.recall, score.f1))
    return (_text(score.label), *values, str(score.support))


def _pictures(facts: Facts) -> list[str]:
    splits = list(facts.pictures)
    rows = [
        (_text(label), *(str(facts.pictures[split].get(label, 0)) for split in splits))
        for label in facts.labels
    ]
    lines = [
        f"{facts.total(KEPT)} pictures kept, {facts.total(DROPPED)} dropped"
        + "".join(f"; {reason} {count}" for reason, count in facts.reasons)
        + ".",
        _table(("label", *splits), rows),
    ]
    if facts.ready_split:
        lines.append("The set came split in folders; that split was kept.")
    if facts.crop == "face":
        lines.append(
            f"The network sees the main face with a margin; {facts.whole} pictures without a "
            "found face were used whole."
        )
    else:
        lines.append("The network sees the whole picture, squashed to a square.")
    return lines


def _overlaps(facts: Facts) -> list[str]:
    if not facts.overlaps:
        return ["No look-alikes were found over the borders of the splits."]
    rows = [
        (_text(row["file_a"]), row["split_a"], _text(row["file_b"]), row["split_b"])
        for row in facts.overlaps[:MOST_OVERLAPS]
    ]
    return [
        f"{overlaps(facts)} on two sides of the given split, so the numbers above flatter"
        + (f"; the first {MOST_OVERLAPS}:" if len(facts.overlaps) > MOST_OVERLAPS else ":"),
        _table(("picture", "split", "looks like", "split"), rows),
    ]


def _params(facts: Facts) -> list[str]:
    rows = [(f"`{name}`", _code(str(value))) for name, value in facts.model["params"].items()]
    rows.append(("temperature", f"{facts.model['temperature']:.4f}"))
    rows.append(("threshold", f"{facts.model['threshold']:.4f}"))
    return [_table(("param", "value"), rows)]


def _blocks(lines: Iterable[str]) -> list[str]:
    """Items of a list stay together, everything else is a paragraph of its own."""
    blocks: list[str] = []
    for line in lines:
        if blocks and line.startswith("- ") and blocks[-1].startswith("- "):
            blocks[-1] += f"\n{line}"
        else:
            blocks.append(line)
    return blocks


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(value: str) -> str:
    """A label or file name that Markdown shows as it is."""
    shown = _ASIDE.sub(r"\\\1", fonts.drawable(value))
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(value: str) -> str:
    """A value as code, whatever signs it holds."""
    shown = fonts.drawable(value).replace("|", "\\|")
    return f"`` {shown} ``" if "`" in shown else f"`{shown}`"
