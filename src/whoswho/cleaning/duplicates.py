"""Which pictures are the same photograph, and which merely look alike.

Same: equal pixels. Near: the same photograph saved again. Two ways lead to one: a perceptual hash
of 63 bits close to the other's, and small grey copies that correlate; or a landmark with a close
hash (`landmarks`), and larger grey copies that correlate where they overlap when laid over each
other by it (`crops`), which finds crops, frames and watermarks too. Either also with the other
picture's mirror image. Alike: a looser form of near, for shots of one burst and for what a logo
hides; such pictures are kept, but a split does not come between them.

Close hashes are found exactly and without comparing all pairs (`hamming`). A picture with more
than MOST_COPIES close ones is compared with the largest of them alone: what is told of a thousand
copies of one picture stays linear in their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import IO

import numpy as np

from whoswho.cleaning import hamming, overlap
from whoswho.cleaning.crops import CropSearch
from whoswho.cleaning.fingerprints import AT_ONCE, Fingerprint, StoredPictures, on_one_thread
from whoswho.cleaning.relations import ALIKE, DUPLICATE, NEAR_DUPLICATE, Relation

# How much looser than near duplicates look-alikes are. Among 309 press and crawled photographs
# of two sets, no two that were taken apart came within 16 bits and a correlation of 0.71.
ALIKE_BITS = 4
ALIKE_CORRELATION = 0.80
MOST_COPIES = 32
# Correlation of the details, from which pictures are the same photograph, or alike. Of crops,
# saved as small as may be, it is 0.96 and more, under a watermark across the middle 0.90; under a
# large logo 0.82. Of shots of one burst it is at most 0.70, of portraits drawn by one hand 0.85.
_DETAIL, _ALIKE_DETAIL = 0.88, 0.82


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
    found: list[Relation] = []
    first: dict[str, int] = {}
    for index, fingerprint in enumerate(fingerprints):
        if fingerprint is None:
            continue
        if fingerprint.pixels in first:
            found.append(Relation(first[fingerprint.pixels], index, DUPLICATE))
        else:
            first[fingerprint.pixels] = index
    # The largest first, as the best copies; then by content, so that names change nothing.
    chosen = sorted(
        (-known.area, known.pixels, index, known)
        for index in first.values()
        if (known := fingerprints[index]) is not None
    )
    if chosen:
        pictures = StoredPictures(
            [index for *_, index, _ in chosen], [known for *_, known in chosen], store
        )
        alike = min(ALIKE_CORRELATION, min_correlation)
        with on_one_thread():
            whole = list(_close_as_a_whole(pictures, max_bits, min_correlation, alike))
            settled = {(near.a, near.b) for near in whole if near.kind == NEAR_DUPLICATE}
            found += whole
            for is_mirrored in (False, True):
                search = CropSearch(
                    pictures,
                    is_mirrored=is_mirrored,
                    near=(min_correlation, _DETAIL),
                    alike=(alike, _ALIKE_DETAIL),
                )
                found += search.relations(settled)
    return sorted(_closest(found), key=lambda relation: (relation.a, relation.b))


def _closest(found: Iterable[Relation]) -> Iterator[Relation]:
    """One relation a pair: a symmetric picture is close to another and to its mirror image."""
    order = (DUPLICATE, NEAR_DUPLICATE, ALIKE)
    best: dict[tuple[int, int], Relation] = {}
    for relation in found:
        known = best.get((relation.a, relation.b))
        if known is None or order.index(relation.kind) < order.index(known.kind):
            best[relation.a, relation.b] = relation
    return iter(best.values())


def _close_as_a_whole(
    pictures: StoredPictures, max_bits: int, min_correlation: float, alike_correlation: float
) -> Iterator[Relation]:
    """Relations of pictures whose perceptual hashes are close."""
    for targets, is_mirrored in ((pictures.bits, False), (pictures.mirrored, True)):
        close = hamming.close(pictures.bits, targets, max_bits + ALIKE_BITS, MOST_COPIES + 1)
        a, b, distance = hamming.unordered(*close)
        # A mirrored pair may be found at two distances: the smaller comes first.
        new = (a != b) & (hamming.rank_in_run(a * len(pictures.bits) + b) == 0)
        a, b, distance = a[new], b[new], distance[new]
        for start in range(0, len(a), 8 * AT_ONCE):
            part = slice(start, start + 8 * AT_ONCE)
            first = pictures.small(a[part])
            second = pictures.small(b[part], is_mirrored)
            correlation = overlap.correlations(first, second)
            detail = overlap.correlations(overlap.details(first), overlap.details(second))
            near = (distance[part] <= max_bits) & (correlation >= min_correlation)
            near &= detail >= _DETAIL
            for row in np.flatnonzero(near | (correlation >= alike_correlation)):
                yield pictures.relation(
                    int(a[part][row]),
                    int(b[part][row]),
                    NEAR_DUPLICATE if near[row] else ALIKE,
                    float(correlation[row]),
                    is_mirrored=is_mirrored,
                )
