"""Pictures of which one is a crop of the other, or framed or marked: found by their landmarks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from whoswho.cleaning import hamming, landmarks, overlap
from whoswho.cleaning.agreement import Common, Numbers, Thresholds, related
from whoswho.cleaning.fingerprints import AT_ONCE, StoredPictures
from whoswho.cleaning.hamming import Indices
from whoswho.cleaning.overlap import Placements
from whoswho.cleaning.relations import Relation

# Of 28 landmarks 4 come back within these from a crop by 20 % on each side, 8 from one by 10 %;
# of landmarks of different photographs one pair in 200,000 is that close.
_LANDMARK_BITS = 10
# The corner of a white frame is a landmark that hundreds have; the largest of them will do.
_LANDMARK_COPIES = 8
# What lies over each other: nearly all of one picture, and of the other what a crop by 20 % on
# each side leaves (36 %), with some room for the landmark's error.
_FITTED = 0.7, 0.25
_ROUGHLY = 0.5, 0.2  # the same before fitting, when the stretch is not known
_TRIED = 4  # placements of a pair, from its closest landmarks
_STRETCHES = (0.82, 1.0, 1.22)  # width to height, of the one to the other, from which it is fitted
_WORTH_FITTING = 0.5  # resemblance before fitting; of crops it is from 0.67 up
_MARKS_AT_ONCE = 2**14  # pairs of close landmarks, and those with the same picture: some 10 MB


class CropSearch:
    """The relations of pictures that share a landmark.

    Args:
        is_mirrored: whether the second picture of each pair is mirrored.
        common: what the pictures have in common with many.
        limits: from which two pictures are the same photograph, or alike.
    """

    def __init__(
        self, pictures: StoredPictures, common: Common, limits: Thresholds, *, is_mirrored: bool
    ) -> None:
        self.pictures = pictures
        self.common, self.limits = common, limits
        self.is_mirrored = is_mirrored
        self.heights, self.widths = pictures.heights, pictures.widths

    def relations(self, settled: Sequence[tuple[int, int]]) -> Iterator[Relation]:
        """All but those between pairs of indices that are `settled`."""
        known = self._settled(settled)
        for close in self._candidates():
            a, b, placed = self._best(*self._tries(*close, known))
            for start in range(0, len(a), AT_ONCE):
                part = slice(start, start + AT_ONCE)
                yield from self._fitting(a[part], b[part], placed[part])

    def _settled(self, pairs: Sequence[tuple[int, int]]) -> Indices:
        """Pairs of indices as `_pair` has them, sorted; at least one, of no pictures."""
        indices = np.array(self.pictures.indices)
        order = np.argsort(indices)
        first, second = np.array([(0, 0), *pairs]).T
        rows = (order[np.searchsorted(indices, side, sorter=order)] for side in (first, second))
        return np.sort(np.append(self._pair(*rows)[1:], -1))

    def _candidates(self) -> Iterator[tuple[Indices, Indices, NDArray[np.uint8]]]:
        """Landmarks that are close and of different pictures, and the bits they differ in.

        What belongs to one pair of pictures is together.
        """
        marks, owner = self.pictures.landmarks, self.pictures.owner
        targets = marks["mirrored" if self.is_mirrored else "bits"]
        return hamming.unordered_pairs(
            marks["bits"], targets, _LANDMARK_BITS, _LANDMARK_COPIES + 1, owner, _MARKS_AT_ONCE
        )

    def _tries(
        self, rows: Indices, others: Indices, distance: NDArray[np.uint8], known: Indices
    ) -> tuple[Indices, Indices, Placements]:
        """Pairs of pictures, and how the second may lie under the first.

        The first is the one that lies more within the other, as a crop does: it is fitted best.

        Args:
            rows, others: landmarks that may lie over each other.
            known: pairs of pictures that are passed over (`_pair`), sorted.
        """
        owner = self.pictures.owner
        fractions = self._fractions(owner[rows], owner[others], self._placed(rows, others))
        first, second = fractions
        lies_over = _lie_over(*fractions, _ROUGHLY)
        rows, others = (
            np.where(first < second, others, rows),
            np.where(first < second, rows, others),
        )
        pair = self._pair(owner[rows], owner[others])
        lies_over &= ~np.isin(pair, known)
        order = np.lexsort((others, rows, distance, pair))
        order = order[lies_over[order]]
        order = order[hamming.rank_in_run(pair[order]) < _TRIED]
        tries = len(_STRETCHES)
        # Those of one pair lie together, so that its copies are read once.
        stretch = np.tile(_STRETCHES, len(order))
        rows, others = np.repeat(rows[order], tries), np.repeat(others[order], tries)
        a, b, placed = owner[rows], owner[others], self._placed(rows, others, stretch)
        over = _lie_over(*self._fractions(a, b, placed), _ROUGHLY)
        return a[over], b[over], placed[over]

    def _pair(self, a: Indices, b: Indices) -> Indices:
        """One number for each unordered pair."""
        return np.minimum(a, b).astype(np.int64) * len(self.pictures.indices) + np.maximum(a, b)

    def _fractions(self, a: Indices, b: Indices, placed: Placements) -> tuple[Numbers, Numbers]:
        """How much of each picture lies in the overlaps."""
        sizes = (self.heights[a], self.widths[a]), (self.heights[b], self.widths[b])
        return overlap.fractions(*sizes, placed)

    def _placed(
        self, rows: Indices, others: Indices, stretch: Numbers | float = 1.0
    ) -> Placements:
        """The placements at which one landmark of each pair lies over the other.

        Args:
            stretch: of the second picture's width to its height, beside the first's.
        """
        base, other = self.pictures.landmarks[rows], self.pictures.landmarks[others]
        scale = other["side"] / base["side"]
        beside = other["x"] / landmarks.UNIT
        if self.is_mirrored:
            beside = self.widths[self.pictures.owner[others]] - beside
        wide, high = scale * np.sqrt(stretch), scale / np.sqrt(stretch)
        return Placements(
            wide,
            high,
            beside - wide * (base["x"] / landmarks.UNIT),
            other["y"] / landmarks.UNIT - high * (base["y"] / landmarks.UNIT),
        )

    def _best(
        self, a: Indices, b: Indices, placed: Placements
    ) -> tuple[Indices, Indices, Placements]:
        """The placements worth fitting: of each pair the best, if it is any good."""
        quick = np.zeros(len(a))
        for start in range(0, len(a), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            first = self.pictures.copies(a[part])
            second = self.pictures.copies(b[part], self.is_mirrored)
            quick[part] = overlap.resemblances(first, second, placed[part])
        pair = self._pair(a, b)
        order = np.lexsort((-quick, pair))
        best = order[np.diff(pair[order], prepend=-1) != 0]
        best = best[quick[best] >= _WORTH_FITTING]
        return a[best], b[best], placed[best]

    def _fitting(self, a: Indices, b: Indices, placed: Placements) -> Iterator[Relation]:
        """Relations of the pairs that fit when laid over each other."""
        first, second = self.pictures.copies(a), self.pictures.copies(b, self.is_mirrored)
        fit = overlap.overlaps(first, second, overlap.align(first, second, placed))
        common = np.maximum(
            self.common.parts(a, fit.base_corners),
            self.common.parts(b, fit.other_corners, self.is_mirrored),
        )
        near, alike, correlation = related(fit.base, fit.other, common, self.limits)
        alike &= _lie_over(fit.first, fit.second, _FITTED)
        shown = np.minimum(fit.first, fit.second)
        return self.pictures.relations((a, b), (near, alike, correlation), shown, self.is_mirrored)


def _lie_over(first: Numbers, second: Numbers, least: tuple[float, float]) -> NDArray[np.bool_]:
    """Whether enough of the two pictures lies over each other."""
    enough: NDArray[np.bool_] = np.maximum(first, second) >= least[0]
    return enough & (np.minimum(first, second) >= least[1])
