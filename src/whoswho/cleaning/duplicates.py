"""Which pictures are the same photograph, and which merely look alike.

Same: equal pixels. Alike: pictures that agree, where one is laid over the other, in what tells
pictures apart (`agreement`). Near: those of them that correlate so much that they are the same
photograph saved again. Two ways lead to a pair: a perceptual hash of 63 bits close to the other's,
and small grey copies that correlate; or a landmark with a close hash (`landmarks`), by which
larger grey copies are laid over each other (`crops`): that finds crops, frames, captions, and
pictures squeezed into a site's frame. Either also with the other picture's mirror image.
Look-alikes are kept, but a split does not come between them.

Close hashes are found exactly and without comparing all pairs (`hamming`). A picture with more
than MOST_COPIES close ones is compared with the largest of them alone: what is told of a thousand
copies of one picture stays linear in their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import IO

import numpy as np

from whoswho.cleaning import hamming
from whoswho.cleaning.agreement import Common, Thresholds, correlations, related
from whoswho.cleaning.crops import CropSearch
from whoswho.cleaning.fingerprints import (
    AT_ONCE,
    Fingerprint,
    StoredPictures,
    on_one_thread,
)
from whoswho.cleaning.hamming import Pairs
from whoswho.cleaning.relations import ALIKE, DUPLICATE, NEAR_DUPLICATE, Relation

# How much further than those of near duplicates the hashes of look-alikes may be, and how far
# their grey copies correlate at least.
ALIKE_BITS = 4
ALIKE_CORRELATION = 0.80
MOST_COPIES = 32
# Correlation of the details from which pictures are the same photograph. Of crops, saved as small
# as may be, it is 0.96 and more, under a watermark across the middle 0.90; of shots of one burst
# it is at most 0.70, of portraits drawn by one hand 0.85.
_DETAIL = 0.88
# Of stretched crops under a caption 19 in 20 agree in 0.67 and more, of four sets each; different
# photographs, faces that fill the frame among them, in 0.42 at most; see docs/benchmarks.md.
_AGREEMENT = 0.60
_AT_ONCE = 8 * AT_ONCE  # of the small grey copies


def relations(
    fingerprints: Sequence[Fingerprint | None],
    store: IO[bytes],
    max_bits: int,
    min_correlation: float,
) -> list[Relation]:
    """How the pictures are related, one relation for each pair of different pixels, sorted.

    Of equal pixels the first picture stands for all; the others are related to it alone.

    Args:
        fingerprints: of each picture; None takes no part.
        store: a RECORD of each picture, one after the other.
        max_bits: the most that two perceptual hashes of near duplicates differ in.
        min_correlation: the least that their grey copies correlate, where they overlap.
    """
    result: list[Relation] = []
    first: dict[str, tuple[int, Fingerprint]] = {}
    for index, known in enumerate(fingerprints):
        if known is not None:
            same, _ = first.setdefault(known.pixels, (index, known))
            if same != index:
                result.append(Relation(same, index, DUPLICATE))
    # The largest first, as the best copies; then by content, so that names change nothing.
    chosen = sorted(first.values(), key=lambda item: (-item[1].area, item[1].pixels))
    if chosen:
        indices, different = zip(*chosen, strict=True)
        pictures = StoredPictures(indices, different, store)
        limits = Thresholds(_AGREEMENT, min_correlation, _DETAIL)
        with on_one_thread():
            candidates = {
                is_mirrored: _close_as_a_whole(pictures, max_bits, min_correlation, is_mirrored)
                for is_mirrored in (False, True)
            }
            common = Common(len(chosen), *candidates[False][:2], pictures.small)
            whole = [
                relation
                for is_mirrored, pairs in candidates.items()
                for relation in _alike(pictures, pairs, common, max_bits, limits, is_mirrored)
            ]
            settled = [(near.a, near.b) for near in whole if near.kind == NEAR_DUPLICATE]
            result += whole
            for is_mirrored in (False, True):
                search = CropSearch(pictures, common, limits, is_mirrored=is_mirrored)
                result += search.relations(settled)
    return _closest(result)


def _closest(relations: Iterable[Relation]) -> list[Relation]:
    """One relation a pair: a symmetric picture is close to another and to its mirror image."""
    order = (DUPLICATE, NEAR_DUPLICATE, ALIKE)
    best: dict[tuple[int, int], Relation] = {}
    for relation in sorted(relations, key=lambda relation: order.index(relation.kind)):
        best.setdefault((relation.a, relation.b), relation)
    return [best[pair] for pair in sorted(best)]


def _close_as_a_whole(
    pictures: StoredPictures, max_bits: int, min_correlation: float, is_mirrored: bool
) -> Pairs:
    """Pairs whose perceptual hashes are close and whose small grey copies correlate."""
    targets, count = pictures.mirrored if is_mirrored else pictures.bits, len(pictures.bits)
    nowhere = np.zeros(0, np.int32)
    parts = [(nowhere, nowhere, nowhere.astype(np.uint8))]
    for a, b, distance in hamming.unordered_pairs(
        pictures.bits, targets, max_bits + ALIKE_BITS, MOST_COPIES + 1, np.arange(count), _AT_ONCE
    ):
        # A mirrored pair may be found at two distances: the smaller comes first.
        fit = hamming.rank_in_run(a.astype(np.int64) * count + b) == 0
        for start in range(0, len(a), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            greys = pictures.small(a[part]), pictures.small(b[part], is_mirrored)
            fit[part] &= correlations(*greys) >= min(ALIKE_CORRELATION, min_correlation)
        parts.append((a[fit], b[fit], distance[fit]))
    first, second, distance = (np.concatenate(column) for column in zip(*parts, strict=True))
    return first, second, distance


def _alike(
    pictures: StoredPictures,
    pairs: Pairs,
    common: Common,
    max_bits: int,
    limits: Thresholds,
    is_mirrored: bool,
) -> Iterator[Relation]:
    """Relations of those pairs that agree in what they do not have in common with many."""
    first, second, distance = pairs
    for start in range(0, len(first), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        a, b = first[part], second[part]
        shared = np.maximum(common.parts(a), common.parts(b, mirrored=is_mirrored))
        greys = pictures.small(a), pictures.small(b, is_mirrored)
        near, alike, correlation = related(*greys, shared, limits)
        near &= distance[part] <= max_bits
        whole = np.ones(len(a))
        yield from pictures.relations((a, b), (near, alike, correlation), whole, is_mirrored)
