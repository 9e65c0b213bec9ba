"""The twelve lines that close `make repro`: what was made, and what to do with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from whoswho import paths, sample
from whoswho.arches import trained_offline
from whoswho.artifacts.decisions import Decision, count_decisions, read_decisions
from whoswho.artifacts.model.backbone import BackboneSource, load_source
from whoswho.artifacts.model.description import read_description
from whoswho.artifacts.predictions import Evaluation, read_evaluation
from whoswho.artifacts.split import SplitRow, read_split
from whoswho.artifacts.suspects import read_suspects, to_look_at
from whoswho.dataset.listing import FEW_PICTURES
from whoswho.reporting.pages import fonts
from whoswho.reporting.sentences import FETCH_WEIGHTS, WIDE, cross_validated
from whoswho.wording import plural

if TYPE_CHECKING:
    from whoswho.lifecycle.registry.promotion import Standing

_NAME_WIDTH = 10


def lines(workspace: Path, standing: Standing, *, activate: str | None = None) -> list[str]:
    """The closing lines, always twelve.

    Args:
        activate: what must be typed before the printed commands work, where the environment is
            not active yet.
    """
    first = f"{activate} && " if activate else ""
    table = read_decisions(workspace / paths.CLEAN)
    source = load_source(workspace / paths.BACKBONE)
    evaluation = read_evaluation(workspace / paths.EVALUATION)
    trained = first + trained_offline(read_description(workspace / paths.MODEL).picture.crop)
    facts = [
        ("data", _data(table)),
        ("split", _split(read_split(workspace / paths.DATASET))),
        ("backbone", _backbone(source, first, trained)),
        ("accuracy", _accuracy(evaluation)),
        ("held out", _held_out(evaluation)),
        ("unknown", _unknown(evaluation)),
        ("run", standing.run or "not in this store"),
        ("version", _version(standing)),
        ("report", _pages()),
        ("look", f"{first}whoswho ui" + _suspects(workspace, source, first)),
        ("promote", _promote(standing, first)),
        ("yours", _yours(Counter(row.label for row in table if row.kept), source, first, trained)),
    ]
    return [f"{name:<{_NAME_WIDTH}} {text}" for name, text in facts]


def _data(table: Sequence[Decision]) -> str:
    cleaning = count_decisions(table)
    labels = sum(counts["kept"] > 0 for counts in cleaning.counts.values())
    totals, reasons = cleaning.totals, cleaning.reasons
    why = ", ".join(f"{totals[reason]} {reason}" for reason in reasons[:3])
    if len(reasons) > 3:
        why += " …"
    return (
        f"{plural(labels, 'label')}, {plural(totals['kept'], 'picture')} kept, "
        f"{totals['dropped']} dropped" + (f" ({why})" if why else "")
    )


def _split(rows: Sequence[SplitRow]) -> str:
    counts = Counter(row.split for row in rows)
    return ", ".join(f"{counts[split]} {split}" for split in paths.SPLITS if counts[split])


def _backbone(source: BackboneSource, first: str, trained: str) -> str:
    weights = "untrained (random weights)" if source.untrained else source.entry
    text = f"{source.arch}, {weights}"
    passed = ", ".join(passed.entry for passed in source.passed_over)
    if passed:
        text += f" ({passed} could not be had; try again: {first}{FETCH_WEIGHTS})"
    return f"{text}; trained, without a network: {trained}" if source.untrained else text


def _accuracy(evaluation: Evaluation) -> str:
    judged = evaluation.judged
    accuracy, low, high, chance = (
        evaluation.metric(name) for name in ("accuracy", "accuracy_low", "accuracy_high", "chance")
    )
    text = f"{judged} {accuracy:.3f}, 95% interval {low:.3f} to {high:.3f}, chance {chance:.3f}"
    if judged != "test":
        text += " (there is no test split)"
    if high - low > WIDE:
        text += f"; {len(evaluation.judged_pictures)} pictures are too few to tell more"
    return text


def _held_out(evaluation: Evaluation) -> str:
    if "cv/accuracy" not in evaluation.metrics:
        return "not cross-validated: that needs stored features (backbone.unfreeze: 0)"
    return f"cross-validated {cross_validated(evaluation.metrics)}"


def _unknown(evaluation: Evaluation) -> str:
    if "unknown/strangers_caught" not in evaluation.metrics:
        return "not measured: that needs stored features and three labels"
    caught, worst, known = (
        evaluation.measured(f"unknown/{name}")
        for name in ("strangers_caught", "strangers_caught_worst", "false_reject_rate")
    )
    text = f"of strangers {caught:.0%} (of the label caught least {worst:.0%})"
    return f"{text}, of known people {known:.0%}"


def _pages() -> str:
    shown = (paths.REPORTS / "report.html", paths.REGISTER_PAGE)
    return f"{', '.join(path.as_posix() for path in shown)} (open them in a browser)"


def _suspects(workspace: Path, source: BackboneSource, first: str) -> str:
    """How many labels to look at."""
    listed = read_suspects(workspace / paths.SUSPECTS)
    count, _ = to_look_at(listed, untrained=source.untrained)
    return f"; {plural(count, 'suspect label')}: {first}whoswho review" if count else ""


def _version(standing: Standing) -> str:
    if standing.version is None:
        return standing.missing or "not registered (register.when in params.yaml)"
    text = f"{standing.project} version {standing.version}"
    if standing.aliases:
        text += f" ({', '.join(standing.aliases)})"
    if standing.champion not in (None, standing.version):
        text += f"; champion is version {standing.champion}"
    return f"{text}; {standing.missing}" if standing.missing else text


def _promote(standing: Standing, first: str) -> str:
    if standing.promote:
        return first + standing.promote
    if standing.version is None or (standing.missing and standing.champion != standing.version):
        return f"nothing to promote; the versions there are: {first}whoswho models"
    return f"done: it is the champion; name pictures with: {first}whoswho predict FILE"


def _yours(kept: Counter[str], source: BackboneSource, first: str, trained: str) -> str:
    """README's next steps for own pictures, from where this set and this backbone are.

    Args:
        kept: pictures by label.
        trained: the command that takes a trained backbone.
    """
    again = "dvc add data && whoswho check && dvc repro && whoswho summary"
    invented = [label for label in kept if label in sample.LABELS]
    if invented == list(kept):
        return (
            f"{first}dvc remote add -d storage /path/to/storage && rm -r data data.dvc; "
            f"fill data/<name>/ (whoswho crawl, or by hand), then: {again}"
        )
    if invented:
        return (
            f"take the sample's people out of data/ ({', '.join(invented)}), then: {first}{again}"
        )
    label, fewest = min(kept.items(), key=lambda item: (item[1], item[0]))
    if fewest < FEW_PICTURES:
        return (
            f"too few pictures: {fewest} of {fonts.drawable(label)}, better {FEW_PICTURES} each; "
            f"put more into data/<name>/, then: {first}{again}"
        )
    if source.untrained:
        return f"the backbone is untrained; a trained one that needs no network: {trained}"
    return f'keep them: {first}git add -A && git commit -m "Our people" && dvc push'
