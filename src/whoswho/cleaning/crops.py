"""Pictures of which one is a crop of the other, or framed or marked: found by their landmarks."""

from __future__ import annotations

from collections.abc import Iterator, Set

import numpy as np
from numpy.typing import NDArray

from whoswho.cleaning import hamming, landmarks, overlap
from whoswho.cleaning.fingerprints import AT_ONCE, Indices, StoredPictures
from whoswho.cleaning.overlap import Placements
from whoswho.cleaning.relations import ALIKE, NEAR_DUPLICATE, Relation

# Of 28 landmarks 4 come back within these from a crop by 20 % on each side, 8 from one by 10 %;
# of landmarks of different photographs one pair in 200,000 is that close.
_LANDMARK_BITS = 10
# The corner of a white frame is a landmark that hundreds have; the largest of them will do.
_LANDMARK_COPIES = 8
# What lies over each other: nearly all of one picture, and of the other what a crop by 20 % on
# each side leaves (36 %), with some room for the landmark's error.
_LARGER_FRACTION, _SMALLER_FRACTION = 0.7, 0.25
_TRIED = 4  # placements of a pair, from its closest landmarks
_WORTH_FITTING = 0.45  # correlation before fitting; of crops it is from 0.5 up


class CropSearch:
    """The relations of pictures that share a landmark.

    Args:
        is_mirrored: whether the second picture of each pair is mirrored.
        near, alike: the correlations of the parts, and of their details, from which two pictures
            are the same photograph, or look alike.
    """

    def __init__(
        self,
        pictures: StoredPictures,
        *,
        is_mirrored: bool,
        near: tuple[float, float],
        alike: tuple[float, float],
    ) -> None:
        self.pictures = pictures
        self.is_mirrored = is_mirrored
        self.near, self.alike = near, alike
        self.heights, self.widths = pictures.sizes

    def relations(self, settled: Set[tuple[int, int]]) -> Iterator[Relation]:
        """All but those between pairs of indices that are `settled`."""
        a, b, placed = self._candidates()
        indices = self.pictures.indices
        new = np.array(
            [
                tuple(sorted((indices[i], indices[j]))) not in settled
                for i, j in zip(a.tolist(), b.tolist(), strict=True)
            ],
            dtype=bool,
        )
        a, b, placed = a[new], b[new], placed[new]
        best = self._best(a, b, placed)
        for start in range(0, len(best), AT_ONCE):
            part = best[start : start + AT_ONCE]
            yield from self._fitting(a[part], b[part], placed[part])

    def _candidates(self) -> tuple[Indices, Indices, Placements]:
        """Pairs with close landmarks, and how the second lies under the first.

        The first is the one that lies more within the other, as a crop does: it is fitted best.
        """
        marks, owner = self.pictures.landmarks, self.pictures.owner
        targets = marks["mirrored" if self.is_mirrored else "bits"]
        close = hamming.close(marks["bits"], targets, _LANDMARK_BITS, _LANDMARK_COPIES + 1)
        rows, others, distance = hamming.unordered(*close)
        apart = owner[rows] != owner[others]
        rows, others, distance = rows[apart], others[apart], distance[apart]

        first, second = self._fractions(rows, others)
        lies_over = np.maximum(first, second) >= _LARGER_FRACTION
        lies_over &= np.minimum(first, second) >= _SMALLER_FRACTION
        rows, others = (
            np.where(first < second, others, rows),
            np.where(first < second, rows, others),
        )
        a, b = owner[rows], owner[others]
        order = np.lexsort((others, rows, distance, np.maximum(a, b), np.minimum(a, b)))
        order = order[lies_over[order]]
        rank = hamming.rank_in_run(self._pair(a, b)[order])
        order = order[rank < _TRIED]
        return a[order], b[order], self._placed(rows[order], others[order])

    def _pair(self, a: Indices, b: Indices) -> Indices:
        """One number for each unordered pair."""
        return np.minimum(a, b) * len(self.pictures.indices) + np.maximum(a, b)

    def _fractions(
        self, rows: Indices, others: Indices
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How much of each picture lies in the overlap that two landmarks give."""
        a, b = self.pictures.owner[rows], self.pictures.owner[others]
        sizes = (self.heights[a], self.widths[a]), (self.heights[b], self.widths[b])
        return overlap.fractions(*sizes, self._placed(rows, others))

    def _placed(self, rows: Indices, others: Indices) -> Placements:
        """The placements at which one landmark of each pair lies over the other."""
        marks = self.pictures.landmarks
        x, y, side = (marks[name] / landmarks.UNIT for name in ("x", "y", "side"))
        scale = side[others] / side[rows]
        beside = x[others]
        if self.is_mirrored:
            beside = self.widths[self.pictures.owner[others]] - beside
        return Placements(scale, beside - scale * x[rows], y[others] - scale * y[rows])

    def _best(self, a: Indices, b: Indices, placed: Placements) -> Indices:
        """Which placements are worth fitting: of each pair the best, if it is any good."""
        quick = np.zeros(len(a))
        for start in range(0, len(a), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            first = self.pictures.copies(a[part])
            second = self.pictures.copies(b[part], self.is_mirrored)
            quick[part] = overlap.coarse_correlations(first, second, placed[part])
        order = np.lexsort((-quick, np.maximum(a, b), np.minimum(a, b)))
        best: Indices = order[np.diff(self._pair(a, b)[order], prepend=-1) != 0]
        return best[quick[best] >= _WORTH_FITTING]

    def _fitting(self, a: Indices, b: Indices, placed: Placements) -> Iterator[Relation]:
        """Relations of the pairs that fit when laid over each other."""
        first, second = self.pictures.copies(a), self.pictures.copies(b, self.is_mirrored)
        fit = overlap.compare(first, second, overlap.align(first, second, placed))
        smaller, larger = np.minimum(fit.first, fit.second), np.maximum(fit.first, fit.second)
        over = (larger >= _LARGER_FRACTION) & (smaller >= _SMALLER_FRACTION)
        near, alike = (
            over & (fit.correlation >= correlation) & (fit.detail >= detail)
            for correlation, detail in (self.near, self.alike)
        )
        for row in np.flatnonzero(near | alike):
            yield self.pictures.relation(
                int(a[row]),
                int(b[row]),
                NEAR_DUPLICATE if near[row] else ALIKE,
                float(fit.correlation[row]),
                is_mirrored=self.is_mirrored,
                overlap=float(smaller[row]),
            )
