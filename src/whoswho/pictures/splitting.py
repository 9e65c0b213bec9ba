"""Which picture trains, which validates, which tests. Pure: tables in, a table out.

Pictures are ordered by a hash of their own bytes and the order is cut at the fractions. A picture
that is added takes its place in that order and moves nothing else, except what stands at the
two cuts. The order goes test, validation, train: what a cut that moves takes out of the test
split comes into validation, never into training.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping

from whoswho.errors import UserError
from whoswho.paths import digest
from whoswho.wording import ONE_GROUP, plural

ORDER = ("test", "validation", "train")


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
    items = sorted(set(pictures))
    smallest: dict[str, str] = {}
    labels: dict[str, Counter[str]] = defaultdict(Counter)  # how many pictures each group has
    for sha256, label, group in items:
        smallest.setdefault(group, sha256)  # items are sorted by their hash
        labels[label][group] += 1

    split_of: dict[str, str] = {}
    for label, sizes in sorted(labels.items()):
        _check_enough(label, sizes.total(), len(sizes), splits)
        ranked = sorted(sizes, key=lambda group: (digest(str(seed), smallest[group]), group))
        split_of |= _cut({group: sizes[group] for group in ranked}, splits, fractions, split_of)
        filled = {split_of[group] for group in ranked}
        if missing := [split for split in splits if split not in filled]:
            raise UserError(
                f"label {label!r}: its look-alikes lie under another label and leave none for "
                f"{', '.join(missing)}; add pictures to it or decide about the shared ones in "
                "review.csv"
            )
    return {sha256: split_of[group] for sha256, _, group in items}


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
    sizes: Mapping[str, int],
    splits: list[str],
    fractions: Mapping[str, float],
    fixed: Mapping[str, str],
) -> dict[str, str]:
    """The splits of those groups that none of the labels before has `fixed`.

    The cuts lie at the sums of the fractions, not at the end of the split before: each moves by
    one picture at most when one is added, even where two fractions reach the next whole number at
    once.

    Args:
        sizes: of each group the number of pictures, in rank order.
    """
    total = sum(sizes.values())
    free = deque(group for group in sizes if group not in fixed)
    empty = [split for split in splits if split not in {fixed.get(group) for group in sizes}]
    chosen: dict[str, str] = {}
    cut = 0.0  # pictures up to the end of this split, as the fractions have it
    filled = 0  # pictures in the splits so far
    for split in splits[:-1]:
        cut += fractions[split] * total
        filled += sum(size for group, size in sizes.items() if fixed.get(group) == split)
        later = sum(other in empty for other in splits[splits.index(split) + 1 :])
        needed = split in empty
        # The splits to come need one group each.
        while len(free) > later and (needed or filled + sizes[free[0]] / 2 <= cut):
            group = free.popleft()
            chosen[group] = split
            filled += sizes[group]
            needed = False
    return chosen | dict.fromkeys(free, splits[-1])
