"""Which of many hashes of 64 bits or fewer are close, exactly and without comparing all pairs.

Multi-index hashing (Norouzi, Punjani and Fleet, "Fast search in Hamming space with multi-index
hashing", CVPR 2012): the bits are dealt into m chunks. Two hashes that differ in at most r bits
differ, by the pigeonhole principle, in at most r_c bits of some chunk c, if the r_c add up to
r - m + 1. So for each chunk the hashes are sorted by it, and those that have one value of it are
compared, all at once, with those that have a value up to r_c bits from that. How many chunks are
worth it depends on how many hashes there are; for few, or a wide radius, comparing all is fastest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Indices = NDArray[np.signedinteger[Any]]  # of 32 bits where there may be many
IndexPairs = tuple[Indices, Indices]  # of a hash and of one close to it
Pairs = tuple[Indices, Indices, NDArray[np.uint8]]  # the same and the bits they differ in
_NOWHERE: IndexPairs = (np.zeros(0, np.int32), np.zeros(0, np.int32))

BITS = 64
# A perceptual hash's bits from the lowest frequency, down and across, to the highest; its 64th is
# never set, and stands where it spoils the least.
_DEALT = sorted(range(BITS), key=lambda bit: (bit == BITS - 1, sum(divmod(bit + 1, 8)), bit))
_AT_ONCE = 2**16  # comparisons at a time: they fit into a processor's cache
_HELD = 2**21  # pairs held before the worse ones are let go, or as many as are kept: some 100 MB
# What the queries of one value of a chunk cost beside one comparison (1.4 ns on one core).
_BUCKET = 12_000.0
_CHUNKS = (2, 3, 4, 5, 6, 7, 8)
_WIDEST = 22  # bits of a chunk: its table of runs has 2 ** bits entries
# Targets searched first, how many times as many each time after that, and the most.
_FIRST_PART, _GROWTH, _LARGEST_PART = 2**10, 32, 2**20
_QUERIES_AT_ONCE = 2**20


def close(queries: Hashes, targets: Hashes, most: int, best: int) -> Iterator[Pairs]:
    """For each query the first `best` targets that differ from it in at most `most` bits.

    Exact. The targets come in order of preference: of a thousand copies of one picture only the
    first `best` stand for it, so that the answer stays linear in the number of queries.

    Returns:
        Some queries after the other, each part in any order. A query that is a target too is its
        own neighbour.
    """
    own = _Values(queries)
    others = own if targets is queries else _Values(targets)
    preferred = np.argsort(others.first()).astype(np.int32)
    values = others.values[preferred]
    for start in range(0, max(1, len(own.values)), _QUERIES_AT_ONCE):
        part = own.values[start : start + _QUERIES_AT_ONCE]
        rows, columns = _search(part, values, most, best)
        rows, columns = others.expand(rows, preferred[columns], best)
        rows, columns = _first(rows, columns, best)
        columns, rows = own.expand(columns, rows + np.int32(start))
        yield rows, columns, np.bitwise_count(queries[rows] ^ targets[columns])


def unordered_pairs(
    hashes: Hashes, targets: Hashes, most: int, best: int, group: Indices, at_once: int
) -> Iterator[Pairs]:
    """Things of different groups that are `close`, each pair once for each distance.

    Args:
        hashes, targets: two hashes of each thing; they may be the same.
        group: of each thing, growing.
        at_once: how many pairs, and more where the smaller ones are of one group.

    Returns:
        The smaller of each pair first, sorted, also by distance; some at a time.
    """
    count = len(hashes)
    parts = (_pair_keys(*pairs, group) for pairs in close(hashes, targets, most, best))
    keys = np.concatenate([np.zeros(0, np.int64), *parts])
    keys.sort()
    begin = 0
    while begin < len(keys):
        last = keys[min(begin + at_once, len(keys)) - 1] // (BITS + 1) // count
        after = int(np.searchsorted(group, group[last], side="right"))
        end = int(np.searchsorted(keys, after * count * (BITS + 1)))
        part = keys[begin:end]
        rest, distance = np.divmod(part[np.diff(part, prepend=-1) != 0], BITS + 1)
        smaller, larger = np.divmod(rest, count)
        yield smaller.astype(np.int32), larger.astype(np.int32), distance.astype(np.uint8)
        begin = end


def _pair_keys(
    rows: Indices, columns: Indices, distance: NDArray[np.uint8], group: Indices
) -> NDArray[np.int64]:
    """Pairs of different groups, each once, as numbers: smaller, then larger, then distance."""
    keys = np.minimum(rows, columns).astype(np.int64)
    keys *= len(group)
    keys += np.maximum(rows, columns)
    keys *= BITS + 1
    keys += distance
    keys = keys[group[rows] != group[columns]]
    keys.sort()
    once: NDArray[np.int64] = keys[np.diff(keys, prepend=-1) != 0]
    return once


def rank_in_run(values: Indices) -> NDArray[np.int64]:
    """Of sorted values from 0 up, how many equal ones stand before each."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    ranks: NDArray[np.int64] = np.arange(len(values)) - np.repeat(
        starts, np.diff(starts, append=len(values))
    )
    return ranks


class _Values:
    """The different values among hashes, and the places of each."""

    def __init__(self, hashes: Hashes) -> None:
        self._order = np.argsort(hashes, kind="stable").astype(np.int32)
        self.values, start = np.unique(hashes[self._order], return_index=True)
        self._start = np.append(start, len(hashes)).astype(np.int32)

    def first(self) -> Indices:
        """The first place of each value."""
        return self._order[self._start[:-1]]

    def expand(self, keys: Indices, values: Indices, most: int | None = None) -> IndexPairs:
        """Each key as often as its value has places, beside the first `most` of those."""
        start = self._start[values]
        size = self._start[values + 1] - start
        if most is not None:
            size = np.minimum(size, most)
        return np.repeat(keys, size), self._order[_runs(start, size)]


def _runs(start: Indices, size: Indices) -> NDArray[np.int32]:
    """start, start + 1, ... `size` numbers of each, one run after the other."""
    ends = np.cumsum(size, dtype=np.int32)
    total = int(ends[-1]) if len(ends) else 0
    runs: NDArray[np.int32] = np.arange(total, dtype=np.int32)
    runs += np.repeat((start - (ends - size)).astype(np.int32), size)
    return runs


def _first(rows: Indices, columns: Indices, best: int) -> IndexPairs:
    """The `best` smallest columns of each row, sorted."""
    order = np.lexsort((columns, rows))
    rows, columns = rows[order], columns[order]
    kept = rank_in_run(rows) < best
    return rows[kept], columns[kept]


def _search(queries: Hashes, targets: Hashes, most: int, best: int) -> IndexPairs:
    """What `close` answers, for different values each.

    The targets are searched part after part: what has its `best` is not sought any further, so
    that where many are close, a query costs the same however many there are.
    """
    pairs, sought = _NOWHERE, np.arange(len(queries), dtype=np.int32)
    begin, size = 0, _FIRST_PART
    while begin < len(targets) and len(sought):
        part, own = targets[begin : begin + size], queries[sought]
        plan = _plan(len(own), len(part), most)
        batches = _scan(own, part, most) if plan is None else plan.pairs(own, part)
        # Asked within this turn of the loop alone, of what is kept by then.
        for rows, columns in _gathered(batches, lambda: max(_HELD, len(pairs[0]))):  # noqa: B023
            new = sought[rows], columns + np.int32(begin)
            pairs = _first(*_joined([pairs, new]), best)
        few = np.bincount(pairs[0], minlength=len(queries)) < best
        sought = np.flatnonzero(few).astype(np.int32)
        begin += size
        size = min(_GROWTH * size, _LARGEST_PART)
    return pairs


def _gathered(batches: Iterator[IndexPairs], most: Callable[[], int]) -> Iterator[IndexPairs]:
    """The batches joined until they hold more pairs than `most` says by then; at least one."""
    held, count = [_NOWHERE], 0
    for batch in batches:
        held.append(batch)
        count += len(batch[0])
        if count > most():
            yield _joined(held)
            held, count = [_NOWHERE], 0
    yield _joined(held)


def _joined(batches: list[IndexPairs]) -> IndexPairs:
    return np.concatenate([rows for rows, _ in batches]), np.concatenate([c for _, c in batches])


def _scan(queries: Hashes, targets: Hashes, most: int) -> Iterator[IndexPairs]:
    """All pairs compared, block after block; a batch for each block that holds a close pair."""
    for begin in range(0, len(targets), _AT_ONCE):
        part = targets[begin : begin + _AT_ONCE]
        block = _AT_ONCE // len(part)
        for start in range(0, len(queries), block):
            distance = np.bitwise_count(queries[start : start + block, None] ^ part)
            near = np.flatnonzero(distance <= most)
            if len(near):
                rows, columns = np.divmod(near, len(part))
                yield (rows + start).astype(np.int32), (columns + begin).astype(np.int32)


@dataclass(frozen=True)
class _Chunks:
    """Bits dealt into chunks, in the order of _DEALT.

    Bits of a perceptual hash tell of frequencies; each chunk has some of all, and its values are
    spread more evenly than those of bits side by side.
    """

    count: int
    most: int

    def bits(self, chunk: int) -> list[int]:
        return _DEALT[chunk :: self.count]

    def width(self, chunk: int) -> int:
        return len(self.bits(chunk))

    def radius(self, chunk: int) -> int:
        """How many bits of the chunk are changed; negative where none need be looked up."""
        total = self.most - self.count + 1
        return total // self.count + (chunk < total % self.count)

    def changes(self, chunk: int) -> int:
        """In how many ways."""
        return sum(comb(self.width(chunk), bits) for bits in range(self.radius(chunk) + 1))

    def cost(self, queries: int, targets: int) -> float:
        """Beside one comparison, for evenly spread hashes."""
        cost = 0.0
        for chunk in range(self.count):
            if self.radius(chunk) >= 0:
                values = 1 << self.width(chunk)
                cost += _BUCKET * min(queries, values)
                cost += self.changes(chunk) * queries * targets / values
        return cost

    def pairs(self, queries: Hashes, targets: Hashes) -> Iterator[IndexPairs]:
        """Each close pair once: in the first chunk that leads to it."""
        for chunk in range(self.count):
            if self.radius(chunk) >= 0:
                for pairs in _gathered(self._pairs_by(chunk, queries, targets), lambda: _HELD):
                    yield self._new(chunk, queries, targets, *pairs)

    def _pairs_by(self, chunk: int, queries: Hashes, targets: Hashes) -> Iterator[IndexPairs]:
        """The close pairs that a chunk leads to, a few in each batch."""
        query_keys, target_keys = self._keys(queries, chunk), self._keys(targets, chunk)
        query_order = np.argsort(query_keys).astype(np.int32)
        target_order = np.argsort(target_keys).astype(np.int32)
        sorted_queries, sorted_targets = queries[query_order], targets[target_order]
        sizes = np.bincount(target_keys, minlength=1 << self.width(chunk))
        starts = (np.cumsum(sizes) - sizes).astype(np.int32)
        changes = np.array(list(_changes(self.width(chunk), self.radius(chunk))))
        keys, begins = np.unique(query_keys[query_order], return_index=True)
        ends = np.append(begins[1:], len(queries))
        for key, begin, end in zip(keys, begins, ends, strict=True):
            near = changes ^ key
            columns = _runs(starts[near], sizes[near])
            for rows, own in _scan(sorted_queries[begin:end], sorted_targets[columns], self.most):
                yield query_order[begin + rows], target_order[columns[own]]

    def _new(
        self, chunk: int, queries: Hashes, targets: Hashes, rows: Indices, columns: Indices
    ) -> IndexPairs:
        """Those that no earlier chunk led to."""
        differences = queries[rows] ^ targets[columns]
        new = np.ones(len(rows), dtype=bool)
        for earlier in range(chunk):
            mask = np.uint64(sum(1 << bit for bit in self.bits(earlier)))
            new &= np.bitwise_count(differences & mask).astype(int) > self.radius(earlier)
        return rows[new], columns[new]

    def _keys(self, hashes: Hashes, chunk: int) -> NDArray[np.int32]:
        keys = np.zeros(len(hashes), dtype=np.int32)
        for start in range(0, len(hashes), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            for position, bit in enumerate(self.bits(chunk)):
                own = (hashes[part] >> np.uint64(bit)) & np.uint64(1)
                keys[part] |= own.astype(np.int32) << position
        return keys


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
