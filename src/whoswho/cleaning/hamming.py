"""Which of many hashes of 64 bits or fewer are close, exactly and without comparing all pairs.

Multi-index hashing (Norouzi, Punjani and Fleet, "Fast search in Hamming space with multi-index
hashing", CVPR 2012): the bits are dealt into m chunks. Two hashes that differ in at most r bits
differ, by the pigeonhole principle, in at most r_c bits of some chunk c, if the r_c add up to
r - m + 1. So for each chunk the hashes are sorted by it, every way to change up to r_c of its bits
leads to a run of candidates, and only those are compared. How many chunks are worth it depends on
how many hashes there are; for few hashes, or a wide radius, comparing all is the fastest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
# Places of a hash and of one close to it, and the bits they differ in.
Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]

BITS = 64
_AT_ONCE = 2**20  # comparisons at a time: some 30 MB
_HELD = 2**22  # pairs held before the worse ones are let go: some 100 MB
# What a step costs, beside comparing one pair where all are compared (0.8 ns on one core).
_LOOK_UP, _COMPARE_CANDIDATE = 30.0, 10.0
_CHUNKS = (2, 3, 4, 5, 6, 7, 8)
_WIDEST = 22  # bits of a chunk: its table of runs has 2 ** bits entries


def close(queries: Hashes, targets: Hashes, most: int, best: int) -> Pairs:
    """For each query the first `best` targets that differ from it in at most `most` bits.

    Exact. The targets come in order of preference: of a thousand copies of one picture only the
    first `best` stand for it, so that the answer stays linear in the number of queries.

    Returns:
        Sorted by query, then target. A query that is a target too is its own neighbour.
    """
    query_values, query_of = np.unique(queries, return_inverse=True)
    target_values, first, target_of = np.unique(targets, return_index=True, return_inverse=True)
    # Values by their most preferred target, and of each value its own targets in order.
    order = np.argsort(first, kind="stable")
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    members = _Groups(position[target_of], len(order), best)
    rows, values = _search(query_values, target_values[order], most, best)
    rows, columns = members.expand(rows, values)
    rows, columns = _first(rows, columns, best)
    queries_of = _Groups(rows, len(query_values), best)
    rows, at = queries_of.expand(np.arange(len(queries)), query_of.ravel())
    columns = columns[at]
    distance = np.bitwise_count(queries[rows] ^ targets[columns])
    return rows, columns, distance


def unordered(
    queries: NDArray[np.int64], targets: NDArray[np.int64], distance: NDArray[np.uint8]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The pairs of one set with itself, each once, the smaller index first, sorted."""
    pairs = [np.minimum(queries, targets), np.maximum(queries, targets), distance]
    smaller, larger, bits = np.unique(np.stack(pairs, axis=1), axis=0).T
    return smaller, larger, bits


def rank_in_run(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of sorted values from 0 up, how many equal ones stand before each."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    ranks: NDArray[np.int64] = np.arange(len(values)) - np.repeat(
        starts, np.diff(starts, append=len(values))
    )
    return ranks


class _Groups:
    """Places by the group they are in, the first few of each."""

    def __init__(self, group_of: NDArray[np.int64], groups: int, most: int) -> None:
        self._order = np.argsort(group_of, kind="stable")
        sizes = np.bincount(group_of, minlength=groups)
        self._start = np.cumsum(sizes) - sizes
        self._size = np.minimum(sizes, most)

    def expand(
        self, keys: NDArray[np.int64], groups: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Each key as often as its group has members, beside those members."""
        return np.repeat(keys, self._size[groups]), self._order[
            _runs(self._start[groups], self._size[groups])
        ]


def _runs(start: NDArray[np.int64], size: NDArray[np.int64]) -> NDArray[np.int64]:
    """start, start + 1, ... `size` numbers of each, one run after the other."""
    ends = np.cumsum(size)
    total = int(ends[-1]) if len(ends) else 0
    runs: NDArray[np.int64] = np.arange(total) + np.repeat(start - (ends - size), size)
    return runs


def _first(
    rows: NDArray[np.int64], columns: NDArray[np.int64], best: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The `best` smallest columns of each row, sorted."""
    order = np.lexsort((columns, rows))
    rows, columns = rows[order], columns[order]
    kept = rank_in_run(rows) < best
    return rows[kept], columns[kept]


def _search(
    queries: Hashes, targets: Hashes, most: int, best: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What `close` answers, for different values each."""
    plan = _plan(len(queries), len(targets), most)
    batches = _scan(queries, targets, most) if plan is None else plan.pairs(queries, targets)
    held = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    count, limit = 0, _HELD
    for batch in batches:
        held.append(batch)
        count += len(batch[0])
        if count > limit:
            held = [_first(*_joined(held), best)]
            count = len(held[0][0])
            limit = max(_HELD, 2 * count)
    return _first(*_joined(held), best)


def _joined(
    batches: list[tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.concatenate([rows for rows, _ in batches]), np.concatenate([c for _, c in batches])


def _scan(
    queries: Hashes, targets: Hashes, most: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """All pairs compared, block after block."""
    block = max(1, _AT_ONCE // max(1, len(targets)))
    for start in range(0, len(queries), block):
        distance = np.bitwise_count(queries[start : start + block, None] ^ targets)
        rows, columns = np.divmod(np.flatnonzero(distance <= most), max(1, len(targets)))
        yield start + rows, columns


@dataclass(frozen=True)
class _Chunks:
    """Bits dealt into chunks: bit b of a hash belongs to chunk b % `count`.

    Neighbouring bits of a perceptual hash tell of neighbouring frequencies; dealt out, each chunk
    has some of all, and its values are spread more evenly.
    """

    count: int
    most: int

    def width(self, chunk: int) -> int:
        return len(range(chunk, BITS, self.count))

    def radius(self, chunk: int) -> int:
        """How many bits of the chunk are changed; negative where none need be looked up."""
        total = self.most - self.count + 1
        return total // self.count + (chunk < total % self.count)

    def changes(self, chunk: int) -> int:
        """In how many ways."""
        return sum(comb(self.width(chunk), bits) for bits in range(self.radius(chunk) + 1))

    def cost(self, queries: int, targets: int) -> float:
        """Beside one comparison where all are compared, for evenly spread hashes."""
        ways = 0.0
        for chunk in range(self.count):
            run = targets / (1 << self.width(chunk))
            ways += self.changes(chunk) * (_LOOK_UP + _COMPARE_CANDIDATE * run)
        return queries * ways

    def pairs(
        self, queries: Hashes, targets: Hashes
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Each close pair once: in the first chunk that leads to it."""
        for chunk in range(self.count):
            if self.radius(chunk) < 0:
                continue
            query_keys, target_keys = self._keys(queries, chunk), self._keys(targets, chunk)
            query_order, target_order = np.argsort(query_keys), np.argsort(target_keys)
            sorted_queries, sorted_targets = queries[query_order], targets[target_order]
            query_keys = query_keys[query_order]
            sizes = np.bincount(target_keys, minlength=2 ** self.width(chunk))
            starts = np.cumsum(sizes) - sizes
            for change in _changes(self.width(chunk), self.radius(chunk)):
                keys = query_keys ^ change
                for rows, columns in _candidates(
                    sorted_queries, sorted_targets, starts[keys], sizes[keys], self.most
                ):
                    known = self._is_found_before(
                        sorted_queries[rows] ^ sorted_targets[columns], chunk
                    )
                    yield query_order[rows[~known]], target_order[columns[~known]]

    def _keys(self, hashes: Hashes, chunk: int) -> NDArray[np.int64]:
        keys = np.zeros(len(hashes), dtype=np.uint64)
        for position, bit in enumerate(range(chunk, BITS, self.count)):
            keys |= ((hashes >> np.uint64(bit)) & np.uint64(1)) << np.uint64(position)
        return keys.astype(np.int64)

    def _is_found_before(self, differences: Hashes, chunk: int) -> NDArray[np.bool_]:
        known = np.zeros(len(differences), dtype=bool)
        for earlier in range(chunk):
            mask = np.uint64(sum(1 << bit for bit in range(earlier, BITS, self.count)))
            known |= np.bitwise_count(differences & mask).astype(int) <= self.radius(earlier)
        return known


def _plan(queries: int, targets: int, most: int) -> _Chunks | None:
    """The cheapest way to deal the bits; None where comparing all is cheaper."""
    plans = [_Chunks(count, most) for count in _CHUNKS]
    plans = [plan for plan in plans if plan.width(0) <= _WIDEST]
    cheapest = min(plans, key=lambda plan: plan.cost(queries, targets))
    return cheapest if cheapest.cost(queries, targets) < queries * targets else None


def _changes(width: int, most: int) -> Iterator[int]:
    """Every number of `width` bits with at most `most` of them set."""
    for count in range(most + 1):
        for bits in combinations(range(width), count):
            yield sum(1 << bit for bit in bits)


def _candidates(
    queries: Hashes,
    targets: Hashes,
    starts: NDArray[np.int64],
    sizes: NDArray[np.int64],
    most: int,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Of each query's run of targets those that are close to it."""
    ends = np.cumsum(sizes)
    begin = 0
    while begin < len(queries):
        done = int(ends[begin - 1]) if begin else 0
        # At least one query at a time, however long its run.
        end = max(begin + 1, int(np.searchsorted(ends, done + _AT_ONCE, side="right")))
        part = slice(begin, end)
        columns = _runs(starts[part], sizes[part])
        distance = np.bitwise_count(np.repeat(queries[part], sizes[part]) ^ targets[columns])
        near = np.flatnonzero(distance <= most)
        rows = np.searchsorted(ends[part] - done, near, side="right")
        yield begin + rows, columns[near]
        begin = end
