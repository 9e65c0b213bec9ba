"""How two pictures are related, and which pictures belong together by that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
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


def families(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Union-find: of each of `count` pictures the smallest index among what pairs join it to."""
    parent = list(range(count))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for a, b in pairs:
        first, second = sorted((root(a), root(b)))
        parent[second] = first
    return [root(index) for index in range(count)]


def photographs(count: int, relations: Iterable[Relation]) -> list[int]:
    """The `families` that show one photograph each, however long the chain of its copies."""
    return families(
        count, [(relation.a, relation.b) for relation in relations if relation.kind != ALIKE]
    )


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
    photograph = photographs(len(contents), relations)
    smallest: dict[int, str] = {}
    for of, content in zip(photograph, contents, strict=True):
        smallest[of] = min(content, smallest.get(of, content))
    alike: dict[int, set[int]] = defaultdict(set)
    for relation in relations:
        a, b = photograph[relation.a], photograph[relation.b]
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
    return [group.get(of, of) for of in photograph]
