"""What is kept of a picture to compare it by, in memory and on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from threadpoolctl import ThreadpoolController

from whoswho.cleaning import landmarks
from whoswho.cleaning.agreement import Numbers
from whoswho.cleaning.cells import sums
from whoswho.cleaning.hamming import Indices
from whoswho.cleaning.landmarks import LANDMARK, LONG, MOST
from whoswho.cleaning.overlap import Copies
from whoswho.cleaning.perceptual import hashes
from whoswho.cleaning.relations import ALIKE, NEAR_DUPLICATE, Relation

SIDE = 32  # pixels of the small grey copy
AT_ONCE = 128  # pairs laid over each other at a time: some 40 MB

# What of a picture goes to disk, where there is room for many: RECORD.itemsize bytes a picture.
RECORD = np.dtype(
    [
        ("small", "u1", (SIDE, SIDE)),
        ("grey", "u1", (LONG, LONG)),
        ("height", "<i8"),
        ("width", "<i8"),
        ("marks", LANDMARK, MOST),
        ("count", "<i8"),  # of the marks
    ]
)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What is kept of a picture to compare it by.

    Attributes:
        pixels: hex digest of size and pixels.
        area: how many pixels there are.
        bits, mirrored: perceptual hashes of the picture and of its mirror image.
        copies: bytes of its grey copies and landmarks, one RECORD.
    """

    pixels: str
    area: int
    bits: int
    mirrored: int
    copies: bytes

    def without_copies(self) -> Fingerprint:
        """The same without what `StoredPictures` reads from its store."""
        return replace(self, copies=b"")


def fingerprint(image: Image.Image) -> Fingerprint:
    """The fingerprint of an upright RGB picture."""
    digest = hashlib.sha256(f"{image.width}x{image.height}\n".encode())
    digest.update(image.tobytes())
    grey = image.convert("L")
    small = np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=np.uint8)
    shrunk = landmarks.shrink(grey)
    record = np.zeros((), dtype=RECORD)
    record["small"] = small
    record["height"], record["width"] = shrunk.shape
    record["grey"][: shrunk.shape[0], : shrunk.shape[1]] = shrunk
    with on_one_thread():
        bits, mirrored = hashes(np.stack([small, small[:, ::-1]]))
        marks = landmarks.find(shrunk)
    record["marks"][: len(marks)], record["count"] = marks, len(marks)
    area = image.width * image.height
    return Fingerprint(digest.hexdigest(), area, int(bits), int(mirrored), record.tobytes())


def on_one_thread() -> AbstractContextManager[object]:
    """Matrices this small are multiplied faster by one thread, on a busy machine ten times."""
    limit: AbstractContextManager[object] = _thread_pools().limit(limits=1, user_api="blas")
    return limit


@lru_cache(maxsize=1)
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()


class StoredPictures:
    """Pictures of different pixels in order of preference.

    Args:
        indices: which picture of the set each is; its record lies at that position of `store`.

    Attributes:
        heights, widths: of the shrunk copies.
        landmarks: of all, one picture's after the other's.
        owner: the picture each landmark is of.
    """

    def __init__(
        self, indices: Sequence[int], fingerprints: Sequence[Fingerprint], store: IO[bytes]
    ) -> None:
        self.indices = indices
        self.bits = np.array([each.bits for each in fingerprints], dtype=np.uint64)
        self.mirrored = np.array([each.mirrored for each in fingerprints], dtype=np.uint64)
        self._store = store
        self.heights, self.widths, counts = np.empty((3, len(indices)), dtype=np.int64)
        marks, count = np.empty(MOST * len(indices), dtype=LANDMARK), 0
        for start in range(0, len(indices), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            records = self.records(np.arange(len(indices))[part])
            self.heights[part], self.widths[part] = records["height"], records["width"]
            counts[part] = records["count"]
            own = records["marks"][np.arange(MOST) < records["count"][:, None]]
            marks[count : count + len(own)] = own
            count += len(own)
        self.landmarks = marks[:count]
        self.owner = np.repeat(np.arange(len(indices), dtype=np.int32), counts)

    def records(self, pictures: Indices) -> NDArray[Any]:
        """The pictures' records, read from disk."""
        read = []
        for picture in pictures:
            self._store.seek(self.indices[picture] * RECORD.itemsize)
            read.append(self._store.read(RECORD.itemsize))
        return np.frombuffer(b"".join(read), dtype=RECORD)

    def small(self, pictures: Indices, is_mirrored: bool = False) -> NDArray[np.uint8]:
        """The pictures' small grey copies, n x SIDE x SIDE."""
        different, back = np.unique(pictures, return_inverse=True)
        copies: NDArray[np.uint8] = self.records(different)["small"]
        if is_mirrored:
            copies = copies[:, :, ::-1]
        return copies[back.ravel()]

    def copies(self, pictures: Indices, is_mirrored: bool = False) -> Copies:
        """The pictures' larger grey copies."""
        different, back = np.unique(pictures, return_inverse=True)
        records = self.records(different)
        grey, height, width = records["grey"], records["height"], records["width"]
        if is_mirrored:
            # The picture lies in the upper left corner: its columns are turned, not the array's.
            columns = (width[:, None] - 1 - np.arange(LONG)) % LONG
            grey = np.take_along_axis(grey, columns[:, None, :], axis=2)
        back = back.ravel()
        return Copies(sums(grey), back, (height[back], width[back]))

    def relations(
        self,
        pairs: tuple[Indices, Indices],
        related: tuple[NDArray[np.bool_], NDArray[np.bool_], Numbers],
        overlap: Numbers,
        is_mirrored: bool,
    ) -> Iterator[Relation]:
        """The relations of those of n pairs that are alike, as `agreement.related` says."""
        near, alike, correlation = related
        for row in np.flatnonzero(alike):
            first, second = sorted(self.indices[side[row]] for side in pairs)
            kind = NEAR_DUPLICATE if near[row] else ALIKE
            shown = round(float(correlation[row]), 4)
            yield Relation(first, second, kind, shown, is_mirrored, float(overlap[row]))
