"""Two models compared on the test pictures that judged both: a pure function of two records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from whoswho.artifacts.predictions import PredictionRow
from whoswho.errors import UserError
from whoswho.evaluation.significance import interval, mcnemar, paired_interval
from whoswho.lifecycle.comparison.sides import Side
from whoswho.lifecycle.registry.record import Record
from whoswho.lifecycle.tracking import changes

RESAMPLES, SEED = 2000, 0


@dataclass(frozen=True)
class Pair:
    """A test picture and what the two models say of it."""

    sha256: str
    first: PredictionRow
    second: PredictionRow


@dataclass(frozen=True)
class Comparison:
    """What the second model does otherwise than the first.

    Attributes:
        params: of each param that differs, the two values.
        data: words on the pictures that differ; `code`: on the commits.
        pairs: the test pictures that judged both, by their hash.
        apart: test pictures that judged only the one, only the other.
        taught: of the common test pictures, how many taught the one, the other.
    """

    first: Side
    second: Side
    params: Mapping[str, tuple[str | None, str | None]]
    data: str
    code: str
    pairs: Sequence[Pair]
    apart: tuple[int, int]
    taught: tuple[int, int]

    @property
    def right(self) -> tuple[int, int]:
        """How many of the common pictures each gets right."""
        return (
            sum(pair.first.right for pair in self.pairs),
            sum(pair.second.right for pair in self.pairs),
        )

    @property
    def only_first(self) -> list[Pair]:
        """The pictures that the first alone gets right."""
        return [pair for pair in self.pairs if pair.first.right and not pair.second.right]

    @property
    def only_second(self) -> list[Pair]:
        """The pictures that the second alone gets right."""
        return [pair for pair in self.pairs if pair.second.right and not pair.first.right]

    @property
    def p(self) -> float:
        """McNemar's."""
        return mcnemar(len(self.only_first), len(self.only_second))

    @property
    def difference(self) -> tuple[float, float, float]:
        """Accuracy of the second less that of the first, with its 95 % interval."""
        first, second = self.right
        count = len(self.pairs)
        alone = (len(self.only_first), len(self.only_second))
        return ((second - first) / count, *paired_interval(*alone, count, RESAMPLES, SEED))

    def accuracies(self) -> list[tuple[float, float, float]]:
        """Each one's accuracy on the common pictures with its 95 % interval."""
        count = len(self.pairs)
        return [(right / count, *interval(right, count, RESAMPLES, SEED)) for right in self.right]

    def labels(self) -> list[tuple[str, int, int, int]]:
        """Each label, its common pictures, and how many of them each gets right."""
        named = dict.fromkeys([*self.first.record.model.labels, *self.second.record.model.labels])
        rows = []
        for label in named:
            own = [pair for pair in self.pairs if pair.first.actual == label]
            right = (sum(p.first.right for p in own), sum(p.second.right for p in own))
            rows.append((label, len(own), *right))
        return rows


def compare(first: Side, second: Side) -> Comparison:
    """What differs between two models, and how they fare on common test pictures.

    A picture counts as common where both were judged on it under the same label.

    Raises:
        UserError: one of them has no test pictures.
    """
    for side in (first, second):
        if not side.record.tested:
            raise UserError(
                f"{side.name}: has no test pictures, so nothing compares it with another"
            )
    a, b = first.record.tested, second.record.tested
    pairs = [
        Pair(sha256, a[sha256], b[sha256])
        for sha256 in sorted(a.keys() & b.keys())
        if a[sha256].actual == b[sha256].actual
    ]
    common = {pair.sha256 for pair in pairs}
    return Comparison(
        first,
        second,
        changes.differing(second.params, first.params),
        _data(first.record, second.record),
        _code(first.tags, second.tags),
        pairs,
        (len(a) - len(pairs), len(b) - len(pairs)),
        (len(common & first.record.taught), len(common & second.record.taught)),
    )


def verdict(compared: Comparison) -> list[str]:
    """Whether the two can be compared, and what that says, a line each."""
    lines = _not_comparable(compared)
    if not compared.pairs:
        return lines
    right, count = compared.right, len(compared.pairs)
    value, low, high = compared.difference
    told = "too few pictures or too small a difference to tell"
    if low > 0 or high < 0:
        told = f"{'B' if value > 0 else 'A'} is better"
    line = (
        f"of {count} common test pictures A gets {right[0]} right and B {right[1]}: difference "
        f"{value:+.3f} (95% interval {low:+.3f} to {high:+.3f}; McNemar p = {compared.p:.3f}), "
        f"{told}"
    )
    return [*lines, line]


def _not_comparable(compared: Comparison) -> list[str]:
    count = len(compared.pairs)
    totals = [alone + count for alone in compared.apart]
    lines = []
    if any(compared.apart):
        rest = "nothing is left to compare" if not count else "what follows is of the common ones"
        lines.append(
            f"not comparable as they stand: {compared.apart[0]} of A's {totals[0]} test pictures "
            f"did not judge B, {compared.apart[1]} of B's {totals[1]} did not judge A; {rest}"
        )
    for name, taught in zip("AB", compared.taught, strict=True):
        if taught:
            lines.append(f"not comparable: {taught} of the common test pictures taught {name}")
    return lines


def _data(first: Record, second: Record) -> str:
    """Which pictures differ, in words."""
    a, b = ({row.sha256: row for row in record.split} for record in (first, second))
    common = a.keys() & b.keys()
    counts = {
        "only A has": len(a.keys() - common),
        "only B has": len(b.keys() - common),
        "have another label": sum(a[s].label != b[s].label for s in common),
        "lie in another split": sum(a[s].split != b[s].split for s in common),
    }
    differ = [f"{count} {what}" for what, count in counts.items() if count]
    return f"pictures: {', '.join(differ)}" if differ else "the same pictures in the same splits"


def _code(first: Mapping[str, str], second: Mapping[str, str]) -> str:
    """Which commits, in words."""
    a, b = (
        tags.get("commit", "none")[:10]
        + (" with uncommitted changes" if tags.get("dirty") == "true" else "")
        for tags in (first, second)
    )
    return f"the same commit {a}" if a == b else f"commit {a}, then {b}"
