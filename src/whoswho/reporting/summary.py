"""The ten lines that close `make repro`: what was made, and what to do with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from whoswho import paths, tables
from whoswho.artifacts.backbone import BackboneSource, load_source
from whoswho.artifacts.split import SplitRow, read_split
from whoswho.artifacts.suspects import read_suspects

RETRY = "dvc repro -f -s backbone && dvc repro"
_NAME_WIDTH = 10


class Standing(Protocol):
    """Where the model stands in the tracking store and the registry."""

    @property
    def run(self) -> str | None:
        """The run's name, None where training was not tracked."""

    @property
    def version(self) -> int | None:
        """Its registered version, None where it has none."""

    @property
    def aliases(self) -> Sequence[str]:
        """The version's aliases."""

    @property
    def champion(self) -> int | None:
        """The version that is champion, whichever it is."""

    @property
    def promote(self) -> str | None:
        """The command that promotes this version as it stands; None where there is nothing to."""


def lines(workspace: Path, standing: Standing, *, activate: str | None = None) -> list[str]:
    """The closing lines, always ten.

    Args:
        activate: what must be typed before the printed commands work, where the environment is
            not active yet.
    """
    first = f"{activate} && " if activate else ""
    source = load_source(workspace / paths.BACKBONE)
    said = [
        ("data", _data(tables.read(workspace / paths.CLEAN / "decisions.csv"))),
        ("split", _split(read_split(workspace / paths.DATASET))),
        ("backbone", _backbone(source, first)),
        ("accuracy", _accuracy(paths.read_json(workspace / paths.EVALUATION / "metrics.json"))),
        ("run", standing.run or "not tracked: the tracking server could not be reached"),
        ("version", _version(standing)),
        ("report", (paths.REPORTS / "report.html").as_posix() + " (open it in a browser)"),
        ("look", f"{first}whoswho ui" + _suspects(workspace, source, first)),
        ("promote", _promote(standing, first)),
        ("yours", f"put pictures into data/<name>/, then: {first}dvc add data && dvc repro"),
    ]
    return [f"{name:<{_NAME_WIDTH}} {text}" for name, text in said]


def _data(decisions: Sequence[tables.Row]) -> str:
    kept = [row for row in decisions if row["decision"] == "kept"]
    dropped = [row for row in decisions if row["decision"] == "dropped"]
    reasons = Counter(reason for row in dropped for reason in row["reasons"].split(";") if reason)
    first = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:3]
    why = ", ".join(f"{count} {reason}" for reason, count in first)
    if len(reasons) > len(first):
        why += " …"
    return (
        f"{_count(len({row['label'] for row in kept}), 'label')}, "
        f"{_count(len(kept), 'picture')} kept, {len(dropped)} dropped"
        + (f" ({why})" if why else "")
    )


def _split(rows: Sequence[SplitRow]) -> str:
    counts = Counter(row.split for row in rows)
    return ", ".join(f"{counts[split]} {split}" for split in paths.SPLITS if counts[split])


def _backbone(source: BackboneSource, first: str) -> str:
    named = f"{source.arch}, {source.entry}"
    if source.untrained:
        named = f"{source.arch}, untrained (random weights): it has seen no picture"
    passed = [passed.entry for passed in source.passed_over]
    if passed:
        named += f" ({', '.join(passed)} could not be had; try again: {first}{RETRY})"
    return named


def _accuracy(metrics: Mapping[str, float]) -> str:
    split = "test" if "test/accuracy" in metrics else "validation"
    accuracy, low, high, chance = (
        metrics[f"{split}/{name}"]
        for name in ("accuracy", "accuracy_low", "accuracy_high", "chance")
    )
    return f"{split} {accuracy:.3f}, 95% interval {low:.3f} to {high:.3f}, chance {chance:.3f}" + (
        "" if split == "test" else " (there is no test split)"
    )


def _suspects(workspace: Path, source: BackboneSource, first: str) -> str:
    """How many labels to look at; what an untrained backbone suspects is worth no look."""
    listed = read_suspects(workspace / paths.SUSPECTS)
    if listed is None or not listed.suspects or source.untrained:
        return ""
    return f"; {_count(len(listed.suspects), 'suspect label')}: {first}whoswho review"


def _version(standing: Standing) -> str:
    if standing.version is None:
        return "not registered (register.when in params.yaml)"
    named = f"whoswho version {standing.version}"
    if standing.aliases:
        named += f" ({', '.join(standing.aliases)})"
    if standing.champion not in (None, standing.version):
        named += f"; champion is version {standing.champion}"
    return named


def _promote(standing: Standing, first: str) -> str:
    if standing.promote:
        return first + standing.promote
    if standing.version is None:
        return f"nothing to promote; the versions there are: {first}whoswho models"
    return f"done: it is the champion; name pictures with: {first}whoswho predict FILE"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
