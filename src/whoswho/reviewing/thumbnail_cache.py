"""Small copies of the pictures in data/, made when the page asks for them and kept in memory.

None is written to disk: what a takedown must reach stays in data/ and in the stages' outputs.
"""

from __future__ import annotations

import hashlib
import threading
from functools import lru_cache
from pathlib import Path

from whoswho import paths
from whoswho.dataset import listing
from whoswho.pictures import opening, thumbnail

SIDE = 480  # pixels, the longest: twice what a card shows, for dense screens
LARGE_SIDE = 2048  # of the picture that fills the window
QUALITY = 82
MOST_KEPT = 2000  # about 25 KB each

# A picture of the largest size allowed takes half a gigabyte while it is opened.
_AT_ONCE = threading.Semaphore(2)


class Gone(Exception):  # noqa: N818 - an answer for the page, not a defect
    """The file is not there any more, or is another than the one asked for."""


def jpeg(path: Path, sha256: str, data: Path, *, large: bool = False) -> bytes:
    """A picture's thumbnail, upright; of an animated one its first frame.

    Args:
        large: LARGE_SIDE instead of SIDE; not kept in memory.

    Raises:
        Gone: the file is not there, leads out of `data`, or its bytes are others by now.
        opening.ImageOpenError: it gives no picture.
    """
    if listing.problem(path, data.resolve()):
        raise Gone
    if large:
        return _draw(path, sha256, LARGE_SIDE)
    return _kept(path, sha256, path.stat().st_mtime_ns)


def is_there(path: Path, sha256: str, data: Path) -> bool:
    """Whether the file is in `data` with the bytes it is known by."""
    return not listing.problem(path, data.resolve()) and paths.sha256(path) == sha256


@lru_cache(MOST_KEPT)
def _kept(path: Path, sha256: str, modified: int) -> bytes:
    return _draw(path, sha256, SIDE)


def _draw(path: Path, sha256: str, side: int) -> bytes:
    with _AT_ONCE:
        content = opening.read_bytes(path)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise Gone
        image = opening.open_picture(content, first_frame=True)
    return thumbnail.jpeg(image, side, QUALITY)
