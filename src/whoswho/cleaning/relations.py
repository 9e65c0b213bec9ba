"""How two pictures are related, and which pictures belong together by that."""

from __future__ import annotations

from dataclasses import dataclass

DUPLICATE = "duplicate"
NEAR_DUPLICATE = "near_duplicate"
ALIKE = "alike"
# A picture that shows less than this of another is a crop of it: somebody may have been cut away.
CROPPED = 0.97


@dataclass(frozen=True)
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
