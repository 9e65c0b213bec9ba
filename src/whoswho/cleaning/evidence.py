"""What the checks rest on: everything that is measured about all pictures before any is judged."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from whoswho import paths
from whoswho.cleaning import duplicates, quality, seconds
from whoswho.cleaning.fingerprints import RECORD, Fingerprint, fingerprint
from whoswho.cleaning.people import FaceEvidence
from whoswho.cleaning.quality import Quality
from whoswho.cleaning.reasons import BLANK, failed
from whoswho.cleaning.relations import Relation
from whoswho.cleaning.seconds import Seconds
from whoswho.dataset.listing import ListedFile
from whoswho.params import Clean
from whoswho.pictures import embedding, opening
from whoswho.workers import mapping


@dataclass(frozen=True, slots=True)
class PictureEvidence:
    """What one file says for itself.

    Attributes:
        reason, detail: why it gives no picture; empty where it gives one.
        quality, fingerprint: None where it gives none.
    """

    file: ListedFile
    sha256: str = ""
    reason: str = ""
    detail: str = ""
    format: str = ""
    quality: Quality | None = None
    fingerprint: Fingerprint | None = None

    def is_compared(self, params: Clean) -> bool:
        """Whether it is looked for among the other pictures: a blank one is like any other."""
        return (
            bool(self.file.label)
            and self.quality is not None
            and BLANK not in failed(self.quality, params)
        )


@dataclass(frozen=True)
class Evidence:
    """Everything about all pictures; the numbers in `relations` and `faces` are their indices.

    Attributes:
        faces: what was found in those pictures whose faces were looked at.
        can_embed: whether faces could be told apart (dlib is installed).
    """

    pictures: Sequence[PictureEvidence]
    relations: Sequence[Relation] = ()
    faces: Mapping[int, FaceEvidence] = field(default_factory=dict)
    can_embed: bool = False


def gather(files: Sequence[ListedFile], params: Clean, spent: Seconds) -> Evidence:
    """What all files say for themselves, and how their pictures are related; no faces yet.

    Args:
        spent: the seconds of processor are added to it.
    """
    with tempfile.TemporaryFile() as store:
        pictures = examine_all(files, store, spent)
        with seconds.on(seconds.RELATING, spent):
            relations = duplicates.relations(
                [each.fingerprint if each.is_compared(params) else None for each in pictures],
                store,
                params.near_duplicate_max_bits,
                params.near_duplicate_min_correlation,
            )
    return Evidence(pictures, relations, can_embed=embedding.available())


def examine_all(
    files: Sequence[ListedFile], store: IO[bytes], spent: Seconds
) -> list[PictureEvidence]:
    """`examine` of all files; their grey copies go to `store`, so that memory holds rows only."""
    pictures = []
    nothing = bytes(RECORD.itemsize)
    examined = mapping.each(examine, files, "clean")
    for file, (picture, own) in zip(files, examined, strict=True):
        spent.update(own)
        kept = picture.fingerprint
        store.write(nothing if kept is None else kept.copies)
        # What another process sent is equal to what is here already, and takes room beside it.
        pictures.append(
            replace(
                picture,
                file=file,
                format=sys.intern(picture.format),
                fingerprint=kept and kept.without_copies(),
            )
        )
    return pictures


def examine(file: ListedFile) -> tuple[PictureEvidence, Seconds]:
    """Open one file completely and measure it; runs in any process."""
    spent = Seconds()
    return _examined(file, spent), spent


def _examined(file: ListedFile, spent: Seconds) -> PictureEvidence:
    if file.problem:
        return PictureEvidence(file, reason=opening.UNREADABLE, detail=file.problem)
    with seconds.on(seconds.OPENING, spent):
        sha256 = ""
        try:
            data = opening.read_bytes(file.path)
            sha256 = hashlib.sha256(data).hexdigest()
            opened = opening.open_with_format(data)
        except opening.ImageOpenError as error:
            known = sha256 or _hash_of(file.path)
            return PictureEvidence(file, known, error.reason, error.detail)
    with seconds.on(seconds.FINGERPRINTS, spent):
        return PictureEvidence(
            file,
            sha256,
            format=opened.format,
            quality=quality.measure(opened.image, opened.opacity),
            fingerprint=fingerprint(opened.image),
        )


def _hash_of(path: Path) -> str:
    """The hash of a file too large to be read at once; empty where it cannot be read."""
    try:
        return paths.sha256(path)
    except OSError:
        return ""
