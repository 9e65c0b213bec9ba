"""Which picture teaches, which chooses, which judges. Pure: tables in, a table out.

Pictures are ordered by a hash of their own bytes and the order is cut at the shares. A picture
that is added takes its place in that order and moves nothing else, except what stands at the
two cuts. The order goes test, validation, train: what a cut that moves takes out of the test
split comes into validation, never into training.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from whoswho.errors import UserError
from whoswho.paths import digest

ORDER = ("test", "validation", "train")


class Item(NamedTuple):
    """A picture to be assigned: its own hash, its label, and its group of look-alikes."""

    sha256: str
    label: str
    group: str


@dataclass
class _Group:
    """Look-alikes within one label."""

    rank: str
    key: str
    members: set[str] = field(default_factory=set)


def assign(
    pictures: Iterable[tuple[str, str, str]], shares: Mapping[str, float], seed: int
) -> dict[str, str]:
    """The split of every picture, by its hash.

    Args:
        pictures: sha256, label and group of each; the order they come in does not matter.
        shares: `train`, `validation` and `test`, together 1; a split of share 0 stays empty.
        seed: another seed draws another split.

    Raises:
        UserError: a label has fewer groups than there are splits to fill.
    """
    wanted = [split for split in ORDER if shares.get(split, 0) > 0]
    labels: dict[str, dict[str, _Group]] = defaultdict(dict)
    smallest: dict[str, str] = {}
    items = sorted({Item(*picture) for picture in pictures})
    for item in items:
        smallest.setdefault(item.group, item.sha256)  # items are sorted by their hash
    for item in items:
        groups = labels[item.label]
        if item.group not in groups:
            rank = digest(str(seed), smallest[item.group])
            groups[item.group] = _Group(rank, item.group)
        groups[item.group].members.add(item.sha256)

    split_of: dict[str, str] = {}
    for label in sorted(labels):
        ranked = sorted(labels[label].values(), key=lambda group: (group.rank, group.key))
        _check_enough(label, sum(len(g.members) for g in ranked), len(ranked), wanted)
        for group, split in zip(ranked, _cut(ranked, wanted, shares, split_of), strict=True):
            split_of[group.key] = split
        found = {split_of[group.key] for group in ranked}
        if len(found) < len(wanted):
            missing = ", ".join(split for split in wanted if split not in found)
            raise UserError(
                f"label {label!r}: its look-alikes lie under another label and leave none for "
                f"{missing}; add pictures to it or decide about the shared ones in review.csv"
            )
    return {item.sha256: split_of[item.group] for item in items}


def check_enough(counts: Mapping[str, int], shares: Mapping[str, float]) -> None:
    """Raise UserError for the first label that cannot fill every split with its pictures."""
    wanted = [split for split in ORDER if shares.get(split, 0) > 0]
    for label in sorted(counts):
        _check_enough(label, counts[label], counts[label], wanted)


def _check_enough(label: str, pictures: int, groups: int, wanted: list[str]) -> None:
    if groups >= len(wanted):
        return
    what = f"{pictures} picture{'' if pictures == 1 else 's'}"
    if groups != pictures:
        what += f", all look-alikes in {groups} group{'' if groups == 1 else 's'}"
    raise UserError(
        f"label {label!r}: {what}, too few to fill {', '.join(reversed(wanted))}; "
        f"add pictures until {len(wanted)} different ones are left, or take the label out of data/"
    )


def _cut(
    ranked: list[_Group], wanted: list[str], shares: Mapping[str, float], fixed: dict[str, str]
) -> list[str]:
    """The split of each group in rank order; `fixed` ones were assigned with another label.

    The cuts lie at the sums of the shares, not at the end of the split before: each moves by one
    picture at most when one is added, even where two shares reach the next whole number at once.
    """
    total = sum(len(group.members) for group in ranked)
    free = [group for group in ranked if group.key not in fixed]
    empty = [split for split in wanted if split not in {fixed.get(g.key) for g in ranked}]
    chosen: dict[str, str] = {}
    cut = 0.0  # pictures up to the end of this split, as the shares have it
    filled = 0  # pictures in the splits so far
    place = 0  # in `free`
    for split in wanted[:-1]:
        cut += shares[split] * total
        filled += sum(len(group.members) for group in ranked if fixed.get(group.key) == split)
        later = sum(other in empty for other in wanted[wanted.index(split) + 1 :])
        needed = split in empty
        # The splits to come need one group each.
        while len(free) - place > later:
            size = len(free[place].members)
            if not needed and filled + size / 2 > cut:
                break
            chosen[free[place].key] = split
            filled += size
            place += 1
            needed = False
    for group in free[place:]:
        chosen[group.key] = wanted[-1]
    return [fixed.get(group.key) or chosen[group.key] for group in ranked]
