"""How two pictures are related, and which pictures belong together by that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

DUPLICATE = "duplicate"
NEAR_DUPLICATE = "near_duplicate"
ALIKE = "alike"
# A picture that shows less than this of another is a crop of it: somebody may have been cut away.
CROPPED = 0.97


@dataclass(frozen=True, slots=True)
class Relation:
    """Two pictures by their index, and how they are related.

    Attributes:
        kind: DUPLICATE, NEAR_DUPLICATE or ALIKE.
        correlation: of their grey copies where they overlap, -1 to 1.
        is_mirrored: whether one shows the mirror image of the other.
        overlap: fraction of the larger picture that the smaller shows: below 1 for a crop.
    """

    a: int
    b: int
    kind: str
    correlation: float = 1.0
    is_mirrored: bool = False
    overlap: float = 1.0


class Families:
    """Union-find: which of `count` pictures belong together."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def join(self, a: int, b: int) -> None:
        """Put two pictures, and all that belong to them, into one family."""
        a, b = self.of(a), self.of(b)
        if a != b:
            self._parent[max(a, b)] = min(a, b)

    def of(self, index: int) -> int:
        """The smallest index in the family."""
        while self._parent[index] != index:
            self._parent[index] = self._parent[self._parent[index]]
            index = self._parent[index]
        return index


def look_alike_groups(relations: Sequence[Relation], contents: Sequence[str]) -> list[int]:
    """Which group of look-alikes each picture is in, by the index of one of them.

    What shows one photograph is together however long the chain of its copies. Photographs that
    look alike are with a representative that each of them is alike, and what is alike to one
    photograph alone is with that: a chain of such links, each weak, does not grow. Those with most
    links represent first, then by content, so that neither order nor names of the pictures change
    anything.

    Args:
        contents: of each picture what tells its content, the same for equal pixels.
    """
    photographs = Families(len(contents))
    for relation in relations:
        if relation.kind != ALIKE:
            photographs.join(relation.a, relation.b)
    smallest: dict[int, str] = {}
    for index, content in enumerate(contents):
        of = photographs.of(index)
        smallest[of] = min(content, smallest.get(of, content))
    alike: dict[int, set[int]] = defaultdict(set)
    for relation in relations:
        a, b = photographs.of(relation.a), photographs.of(relation.b)
        if a != b:
            alike[a].add(b)
            alike[b].add(a)
    group: dict[int, int] = {}
    inner = {of for of, others in alike.items() if len(others) > 1}
    for leader in sorted(inner, key=lambda of: (-len(alike[of]), smallest[of])):
        if leader not in group:
            for member in {leader} | (alike[leader] & inner):
                group.setdefault(member, leader)
    for leaf in alike.keys() - inner:
        (other,) = alike[leaf]
        group[leaf] = group.get(other, min(leaf, other))
    families = [photographs.of(index) for index in range(len(contents))]
    return [group.get(of, of) for of in families]
