"""Which picture trains, which validates, which tests. Pure: tables in, a table out.

Pictures are ordered by a hash of their own bytes and the order is cut at the fractions. A picture
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
from whoswho.wording import ONE_GROUP, plural

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
    pictures: Iterable[tuple[str, str, str]], fractions: Mapping[str, float], seed: int
) -> dict[str, str]:
    """The split of every picture, by its hash.

    Args:
        pictures: sha256, label and group of each; the order they come in does not matter.
        fractions: `train`, `validation` and `test`, together 1; a split of fraction 0 stays empty.
        seed: another seed draws another split.

    Raises:
        UserError: a label has fewer groups than there are splits to fill.
    """
    splits = [split for split in ORDER if fractions.get(split, 0) > 0]
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
        _check_enough(label, sum(len(g.members) for g in ranked), len(ranked), splits)
        for group, split in zip(ranked, _cut(ranked, splits, fractions, split_of), strict=True):
            split_of[group.key] = split
        filled = {split_of[group.key] for group in ranked}
        if missing := [split for split in splits if split not in filled]:
            raise UserError(
                f"label {label!r}: its look-alikes lie under another label and leave none for "
                f"{', '.join(missing)}; add pictures to it or decide about the shared ones in "
                "review.csv"
            )
    return {item.sha256: split_of[item.group] for item in items}


def check_enough(counts: Mapping[str, int], fractions: Mapping[str, float]) -> None:
    """Raise UserError for the first label that cannot fill every split with its pictures."""
    splits = [split for split in ORDER if fractions.get(split, 0) > 0]
    for label in sorted(counts):
        _check_enough(label, counts[label], counts[label], splits)


def _check_enough(label: str, pictures: int, groups: int, splits: list[str]) -> None:
    if groups >= len(splits):
        return
    has = plural(pictures, "picture")
    fill = f"too few to fill {', '.join(reversed(splits))}"
    if groups != pictures:
        has += f", all look-alikes in {plural(groups, 'group')}"
        if pictures >= len(splits):
            raise UserError(f"label {label!r}: {has}, {fill}; {ONE_GROUP}")
    raise UserError(
        f"label {label!r}: {has}, {fill}; "
        f"add pictures until {len(splits)} different ones are left, or take the label out of data/"
    )


def _cut(
    ranked: list[_Group], splits: list[str], fractions: Mapping[str, float], fixed: dict[str, str]
) -> list[str]:
    """The split of each group in rank order; `fixed` ones were assigned with another label.

    The cuts lie at the sums of the fractions, not at the end of the split before: each moves by
    one picture at most when one is added, even where two fractions reach the next whole number at
    once.
    """
    total = sum(len(group.members) for group in ranked)
    free = [group for group in ranked if group.key not in fixed]
    empty = [split for split in splits if split not in {fixed.get(g.key) for g in ranked}]
    chosen: dict[str, str] = {}
    cut = 0.0  # pictures up to the end of this split, as the fractions have it
    filled = 0  # pictures in the splits so far
    index = 0  # in `free`
    for split in splits[:-1]:
        cut += fractions[split] * total
        filled += sum(len(group.members) for group in ranked if fixed.get(group.key) == split)
        later = sum(other in empty for other in splits[splits.index(split) + 1 :])
        needed = split in empty
        # The splits to come need one group each.
        while len(free) - index > later:
            size = len(free[index].members)
            if not needed and filled + size / 2 > cut:
                break
            chosen[free[index].key] = split
            filled += size
            index += 1
            needed = False
    for group in free[index:]:
        chosen[group.key] = splits[-1]
    return [fixed.get(group.key) or chosen[group.key] for group in ranked]
