"""How many pictures cleaning kept and dropped, by label and reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from whoswho.artifacts.decisions import DROPPED, KEPT, Decision


@dataclass(frozen=True)
class CleaningCounts:
    """Pictures by label, then by `kept`, `dropped`, and the reasons for dropping.

    A picture dropped for two reasons counts under both, so reasons may add up to more than the
    dropped.
    """

    counts: dict[str, Counter[str]]  # labels sorted

    @cached_property
    def totals(self) -> Counter[str]:
        """The counts of all labels together."""
        return sum(self.counts.values(), Counter())

    @cached_property
    def reasons(self) -> list[str]:
        """Every reason there is, the most frequent first."""
        return self._reasons(self.totals)

    def reasons_of(self, label: str) -> list[str]:
        """The reasons of one label, by name."""
        return sorted(self._reasons(self.counts[label]))

    @property
    def counted_twice(self) -> bool:
        """Whether a picture was dropped for more than one reason."""
        totals = self.totals
        return sum(totals[reason] for reason in self.reasons) > totals[DROPPED]

    def rows(self) -> list[dict[str, object]]:
        """One row a count for cleaning.csv: for every label kept, dropped, then its reasons."""
        return [
            {"label": label, "reason": reason, "count": counts[reason]}
            for label, counts in self.counts.items()
            for reason in (KEPT, DROPPED, *self.reasons_of(label))
        ]

    @staticmethod
    def _reasons(counts: Counter[str]) -> list[str]:
        reasons = {reason for reason in counts if counts[reason]} - {KEPT, DROPPED}
        return sorted(reasons, key=lambda reason: (-counts[reason], reason))


def count_decisions(decisions: Iterable[Decision]) -> CleaningCounts:
    """The counts of a table of decisions."""
    counts: dict[str, Counter[str]] = {}
    for decision in sorted(decisions, key=lambda decision: decision.label):
        of_label = counts.setdefault(decision.label, Counter())
        of_label[decision.decision] += 1
        of_label.update(decision.reasons)
    return CleaningCounts(counts)
