"""Which pictures are the same photograph, and which merely look alike.

Same: equal pixels. Near: the same photograph saved again. Two ways lead to one: a perceptual hash
of 63 bits close to the other's, and small grey copies that correlate; or a landmark with a close
hash (`landmarks`), and larger grey copies that correlate where they overlap when laid over each
other by it (`overlap`), which finds crops, frames and watermarks too. Either also with the other
picture's mirror image. Alike: a looser form of near, for shots of one burst and for what a logo
hides; such pictures are kept, but a split does not come between them.

Close hashes are found exactly and without comparing all pairs (`hamming`). A picture with more
than MOST_COPIES close ones is compared with the largest of them alone: what is told of a thousand
copies of one picture stays linear in their number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from threadpoolctl import ThreadpoolController

from whoswho.cleaning import hamming, landmarks, overlap
from whoswho.cleaning.cells import sums
from whoswho.cleaning.landmarks import LANDMARK, LONG
from whoswho.cleaning.overlap import Copies, Placements
from whoswho.cleaning.perceptual import hashes

DUPLICATE = "duplicate"
NEAR_DUPLICATE = "near_duplicate"
ALIKE = "alike"

SIDE = 32  # pixels of the small grey copy
# How much looser than near duplicates look-alikes are. Among 309 press and crawled photographs
# of two sets, no two that were taken apart came within 16 bits and a correlation of 0.71.
ALIKE_BITS = 4
ALIKE_CORRELATION = 0.80
MOST_COPIES = 32

# Of 28 landmarks 4 come back within these from a crop by 20 % on each side, 8 from one by 10 %;
# of landmarks of different photographs one pair in 200,000 is that close.
_LANDMARK_BITS = 10
# The corner of a white frame is a landmark that hundreds have; the largest of them will do.
_LANDMARK_COPIES = 8
# What lies over each other: nearly all of one picture, and of the other what a crop by 20 % on
# each side leaves (36 %), with some room for the landmark's error.
_LARGER_SHARE, _SMALLER_SHARE = 0.7, 0.25
_TRIED = 4  # placements of a pair, from its closest landmarks
_WORTH_FITTING = 0.45  # correlation before fitting; of crops it is from 0.5 up
# Correlation of the details, from which pictures are the same photograph, or alike. Of crops,
# saved as small as may be, it is 0.96 and more, under a watermark across the middle 0.90; under a
# large logo 0.82. Of shots of one burst it is at most 0.70, of portraits drawn by one hand 0.85.
_DETAIL, _ALIKE_DETAIL = 0.88, 0.82
_AT_ONCE = 128  # pairs laid over each other at a time: some 40 MB

# What of a picture goes to disk, where there is room for many: RECORD.itemsize bytes a picture.
RECORD = np.dtype(
    [
        ("small", "u1", (SIDE, SIDE)),
        ("grey", "u1", (LONG, LONG)),
        ("height", "<i8"),
        ("width", "<i8"),
    ]
)

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of a picture to compare it by.

    Attributes:
        pixels: hex digest of size and pixels.
        area: how many pixels there are.
        bits, mirrored: perceptual hashes of the picture and of its mirror image.
        landmarks: bytes of the landmarks found.
        copies: bytes of the grey copies, one RECORD.
    """

    pixels: str
    area: int
    bits: int
    mirrored: int
    landmarks: bytes
    copies: bytes

    def without_copies(self) -> Fingerprint:
        """The same without what `relations` reads from its store."""
        return replace(self, copies=b"")


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


def fingerprint(image: Image.Image) -> Fingerprint:
    """The print of an upright RGB picture."""
    with _one_thread():
        return _fingerprint(image)


def _fingerprint(image: Image.Image) -> Fingerprint:
    digest = hashlib.sha256(f"{image.width}x{image.height}\n".encode())
    digest.update(image.tobytes())
    grey = image.convert("L")
    small = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.uint8)
    shrunk = landmarks.shrink(grey)
    record = np.zeros((), dtype=RECORD)
    record["small"] = small
    record["height"], record["width"] = shrunk.shape
    record["grey"][: shrunk.shape[0], : shrunk.shape[1]] = shrunk
    bits, mirrored = hashes(np.stack([small, small[:, ::-1]]))
    return Fingerprint(
        digest.hexdigest(),
        image.width * image.height,
        int(bits),
        int(mirrored),
        landmarks.find(shrunk).tobytes(),
        record.tobytes(),
    )


def _one_thread() -> AbstractContextManager[object]:
    """Matrices this small are multiplied faster by one thread, on a busy machine ten times."""
    limit: AbstractContextManager[object] = _thread_pools().limit(limits=1, user_api="blas")
    return limit


@lru_cache(maxsize=1)
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()


def relations(
    prints: Sequence[Fingerprint | None],
    store: IO[bytes],
    bits: int,
    least_correlation: float,
) -> list[Relation]:
    """How the pictures are related, one for each pair of different pixels, sorted.

    Of equal pixels the first picture stands for all; the others are related to it alone.

    Args:
        prints: of each picture; None takes no part.
        store: a RECORD of each picture, one after the other.
        bits: the most that two perceptual hashes of near duplicates differ in.
        least_correlation: the least that their grey copies correlate, where they overlap.
    """
    found: list[Relation] = []
    first: dict[str, int] = {}
    for place, one in enumerate(prints):
        if one is None:
            continue
        if one.pixels in first:
            found.append(Relation(first[one.pixels], place, DUPLICATE))
        else:
            first[one.pixels] = place
    # The largest first, as the best copies; then by content, so that names change nothing.
    chosen = sorted(
        ((place, one) for place, one in enumerate(prints) if one and first[one.pixels] == place),
        key=lambda known: (-known[1].area, known[1].pixels),
    )
    if chosen:
        pictures = _Pictures([place for place, _ in chosen], [one for _, one in chosen], store)
        with _one_thread():
            whole = list(_close_as_a_whole(pictures, bits, least_correlation))
            settled = {(one.a, one.b) for one in whole if one.kind == NEAR_DUPLICATE}
            found += whole
            found += _overlapping(pictures, least_correlation, settled)
    return sorted(_closest(found), key=lambda one: (one.a, one.b))


def _closest(found: Iterable[Relation]) -> Iterator[Relation]:
    """One relation a pair: a symmetric picture is close to another and to its mirror image."""
    order = (DUPLICATE, NEAR_DUPLICATE, ALIKE)
    best: dict[tuple[int, int], Relation] = {}
    for one in found:
        known = best.get((one.a, one.b))
        if known is None or order.index(one.kind) < order.index(known.kind):
            best[one.a, one.b] = one
    return iter(best.values())


class _Pictures:
    """Pictures of different pixels in order of preference: `places` says which is which."""

    def __init__(self, places: list[int], prints: list[Fingerprint], store: IO[bytes]) -> None:
        self.places = places
        self.bits = np.array([one.bits for one in prints], dtype=np.uint64)
        self.mirrored = np.array([one.mirrored for one in prints], dtype=np.uint64)
        self.landmarks = np.frombuffer(b"".join(one.landmarks for one in prints), dtype=LANDMARK)
        counts = [len(one.landmarks) // LANDMARK.itemsize for one in prints]
        self.owner = np.repeat(np.arange(len(prints)), counts)
        self._store = store

    def records(self, which: Places) -> NDArray[Any]:
        """The pictures' records, read from disk."""
        read = []
        for picture in which:
            self._store.seek(self.places[picture] * RECORD.itemsize)
            read.append(self._store.read(RECORD.itemsize))
        return np.frombuffer(b"".join(read), dtype=RECORD)

    def small(self, which: Places, is_mirrored: bool = False) -> NDArray[np.uint8]:
        """The pictures' small grey copies, n x SIDE x SIDE."""
        wanted, back = np.unique(which, return_inverse=True)
        copies: NDArray[np.uint8] = self.records(wanted)["small"]
        if is_mirrored:
            copies = copies[:, :, ::-1]
        return copies[back.ravel()]

    def copies(self, which: Places, is_mirrored: bool = False) -> Copies:
        """The pictures' larger grey copies."""
        wanted, back = np.unique(which, return_inverse=True)
        records = self.records(wanted)
        grey, height, width = records["grey"], records["height"], records["width"]
        if is_mirrored:
            # The picture lies in the upper left corner: its columns are turned, not the array's.
            columns = (width[:, None] - 1 - np.arange(LONG)) % LONG
            grey = np.take_along_axis(grey, columns[:, None, :], axis=2)
        back = back.ravel()
        return Copies(sums(grey)[back], height[back], width[back])

    def sizes(self) -> tuple[Places, Places]:
        """Heights and widths of the shrunk copies of all pictures."""
        sizes = np.empty((2, len(self.places)), dtype=np.int64)
        for start in range(0, len(self.places), _AT_ONCE):
            part = np.arange(start, min(start + _AT_ONCE, len(self.places)))
            records = self.records(part)
            sizes[:, part] = records["height"], records["width"]
        return sizes[0], sizes[1]

    def relation(
        self,
        a: int,
        b: int,
        kind: str,
        correlation: float,
        is_mirrored: bool,
        overlap: float = 1.0,
    ) -> Relation:
        one, other = sorted((self.places[a], self.places[b]))
        return Relation(one, other, kind, round(correlation, 4), is_mirrored, overlap)


# --- Whole pictures ------------------------------------------------------------------------------


def _close_as_a_whole(
    pictures: _Pictures, bits: int, least_correlation: float
) -> Iterator[Relation]:
    for targets, is_mirrored in ((pictures.bits, False), (pictures.mirrored, True)):
        rows, places, distances = hamming.close(
            pictures.bits, targets, bits + ALIKE_BITS, MOST_COPIES + 1
        )
        # A pair may be found from either side, and mirrored at two distances.
        pairs = np.stack([np.minimum(rows, places), np.maximum(rows, places), distances], axis=1)
        pairs = np.unique(pairs[rows != places], axis=0)
        new = np.ones(len(pairs), dtype=bool)
        new[1:] = (pairs[1:, :2] != pairs[:-1, :2]).any(axis=1)
        pairs = pairs[new]
        for start in range(0, len(pairs), 8 * _AT_ONCE):
            part = pairs[start : start + 8 * _AT_ONCE]
            one = pictures.small(part[:, 0])
            other = pictures.small(part[:, 1], is_mirrored)
            correlation = overlap.correlations(one, other)
            detail = overlap.correlations(overlap.details(one), overlap.details(other))
            near = (part[:, 2] <= bits) & (correlation >= least_correlation) & (detail >= _DETAIL)
            alike = correlation >= min(ALIKE_CORRELATION, least_correlation)
            for row in np.flatnonzero(near | alike):
                a, b, _ = part[row].tolist()
                kind = NEAR_DUPLICATE if near[row] else ALIKE
                yield pictures.relation(a, b, kind, float(correlation[row]), is_mirrored)


# --- Parts of pictures ---------------------------------------------------------------------------


def _overlapping(
    pictures: _Pictures, least_correlation: float, settled: set[tuple[int, int]]
) -> Iterator[Relation]:
    """Relations of pictures that share a landmark, but for pairs of places that are settled."""
    sizes = pictures.sizes()
    for is_mirrored in (False, True):
        a, b, placed = _candidates(pictures, sizes, is_mirrored)
        new = np.array(
            [
                tuple(sorted((pictures.places[i], pictures.places[j]))) not in settled
                for i, j in zip(a.tolist(), b.tolist(), strict=True)
            ],
            dtype=bool,
        )
        a, b, placed = a[new], b[new], placed[new]
        best = _best(pictures, a, b, placed, is_mirrored)
        for start in range(0, len(best), _AT_ONCE):
            part = best[start : start + _AT_ONCE]
            yield from _fitting(
                pictures, a[part], b[part], placed[part], is_mirrored, least_correlation
            )


def _candidates(
    pictures: _Pictures, sizes: tuple[Places, Places], is_mirrored: bool
) -> tuple[Places, Places, Placements]:
    """Pairs with close landmarks, and how the second, mirrored maybe, lies under the first.

    The first is the one that lies more within the other, as a crop does: it is fitted best.
    """
    marks = pictures.landmarks
    rows, others, distance = hamming.close(
        marks["bits"],
        marks["mirrored" if is_mirrored else "bits"],
        _LANDMARK_BITS,
        _LANDMARK_COPIES + 1,
    )
    # The same two landmarks may have been found from either side.
    pairs = np.stack([np.minimum(rows, others), np.maximum(rows, others), distance], axis=1)
    rows, others, distance = np.unique(pairs, axis=0).T
    apart = pictures.owner[rows] != pictures.owner[others]
    rows, others, distance = rows[apart], others[apart], distance[apart]

    one, other = _shares(pictures, sizes, rows, others, is_mirrored)
    lies_over = (np.maximum(one, other) >= _LARGER_SHARE) & (
        np.minimum(one, other) >= _SMALLER_SHARE
    )
    rows, others = np.where(one < other, others, rows), np.where(one < other, rows, others)
    a, b = pictures.owner[rows], pictures.owner[others]
    order = np.lexsort((others, rows, distance, np.maximum(a, b), np.minimum(a, b)))
    order = order[lies_over[order]]
    pair = (np.minimum(a, b) * len(pictures.places) + np.maximum(a, b))[order]
    starts = np.flatnonzero(np.diff(pair, prepend=-1))
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    order = order[rank < _TRIED]
    placed = _placed(pictures, sizes, rows[order], others[order], is_mirrored)
    return a[order], b[order], placed


def _shares(
    pictures: _Pictures,
    sizes: tuple[Places, Places],
    rows: Places,
    others: Places,
    is_mirrored: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    heights, widths = sizes
    a, b = pictures.owner[rows], pictures.owner[others]
    placed = _placed(pictures, sizes, rows, others, is_mirrored)
    return overlap.shares((heights[a], widths[a]), (heights[b], widths[b]), placed)


def _placed(
    pictures: _Pictures,
    sizes: tuple[Places, Places],
    rows: Places,
    others: Places,
    is_mirrored: bool,
) -> Placements:
    """The placements at which one landmark of each pair lies over the other."""
    marks = pictures.landmarks
    x, y, side = (marks[name] / landmarks.UNIT for name in ("x", "y", "side"))
    scale = side[others] / side[rows]
    beside = x[others]
    if is_mirrored:
        beside = sizes[1][pictures.owner[others]] - beside
    return Placements(scale, beside - scale * x[rows], y[others] - scale * y[rows])


def _best(
    pictures: _Pictures, a: Places, b: Places, placed: Placements, is_mirrored: bool
) -> Places:
    """Which placements are worth fitting: of each pair the best, if it is any good."""
    quick = np.zeros(len(a))
    for start in range(0, len(a), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        one, other = pictures.copies(a[part]), pictures.copies(b[part], is_mirrored)
        quick[part] = overlap.coarse_correlations(one, other, placed[part])
    order = np.lexsort((-quick, np.maximum(a, b), np.minimum(a, b)))
    pair = (np.minimum(a, b) * len(pictures.places) + np.maximum(a, b))[order]
    first: Places = order[np.diff(pair, prepend=-1) != 0]
    return first[quick[first] >= _WORTH_FITTING]


def _fitting(
    pictures: _Pictures,
    a: Places,
    b: Places,
    placed: Placements,
    is_mirrored: bool,
    least_correlation: float,
) -> Iterator[Relation]:
    """Relations of the pairs that fit when laid over each other."""
    one, other = pictures.copies(a), pictures.copies(b, is_mirrored)
    fit = overlap.compare(one, other, overlap.align(one, other, placed))
    smaller, larger = np.minimum(fit.first, fit.second), np.maximum(fit.first, fit.second)
    over = (larger >= _LARGER_SHARE) & (smaller >= _SMALLER_SHARE)
    near = over & (fit.correlation >= least_correlation) & (fit.detail >= _DETAIL)
    alike = (
        over
        & (fit.correlation >= min(ALIKE_CORRELATION, least_correlation))
        & (fit.detail >= _ALIKE_DETAIL)
    )
    for row in np.flatnonzero(near | alike):
        kind = NEAR_DUPLICATE if near[row] else ALIKE
        correlation = float(fit.correlation[row])
        yield pictures.relation(
            int(a[row]), int(b[row]), kind, correlation, is_mirrored, float(smaller[row])
        )


class Families:
    """Union-find: which places belong together."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def join(self, a: int, b: int) -> None:
        """Put two places, and all that belong to them, into one family."""
        a, b = self.of(a), self.of(b)
        if a != b:
            self._parent[max(a, b)] = min(a, b)

    def of(self, place: int) -> int:
        """The smallest place of the family."""
        while self._parent[place] != place:
            self._parent[place] = self._parent[self._parent[place]]
            place = self._parent[place]
        return place
