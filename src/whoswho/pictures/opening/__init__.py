"""Any file to an upright RGB picture of 8 bits, or the one reason why not.

The kind of a file is told by its bytes, never by its name. A picture is decoded completely: a
file that only starts well is `truncated`, whatever its header promises. What is wrong with the
metadata never costs the picture; what is wrong with the pixels always does.
"""

from __future__ import annotations

import io
import logging
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from PIL import Image, ImageFile, UnidentifiedImageError

from whoswho.pictures.opening.file_kinds import (
    FORMATS,
    announced_format,
    describe,
    ends_early,
    has_many_scans,
    register_heif,
)
from whoswho.pictures.opening.orientation import (
    leave_orientation_alone,
    orientation_of,
    upright,
    without_metadata,
)
from whoswho.pictures.opening.rgb import opacity, to_rgb

# A phone takes 108 megapixels; beyond that one picture would need a gigabyte while it is turned.
MOST_PIXELS = 120_000_000
# What a picture may take while it is opened, its file's bytes included.
MOST_MEMORY = 2**30
# Bytes a pixel while a picture is decoded, converted and turned, measured (docs/security.md): two
# pictures of four bytes, and what some decoders have beside.
_BYTES_A_PIXEL = {"JPEG2000": 25, "AVIF": 19, "HEIF": 17, "WEBP": 17, "PPM": 11, "DDS": 10}
_USUAL_BYTES = 8.5
# No picture of MOST_PIXELS needs more; what does is a film or a disk image.
MOST_BYTES = 512 * 2**20

UNREADABLE = "unreadable"
TRUNCATED = "truncated"
NOT_A_PICTURE = "not_a_picture"
ANIMATED = "animated"

# In these more than one frame is a film. In the others (MPO, TIFF, HEIF, ICO) the first one is
# the picture and the rest are its depth map, its pages, its smaller sizes.
_FILMS = {"GIF", "PNG", "WEBP", "AVIF"}
_HEADERS = threading.Lock()  # what `_quiet` switches belongs to the whole process

# Pillow reports a damaged file through Python's logging; here it becomes the reason instead.
logging.getLogger("PIL").addHandler(logging.NullHandler())

Result = TypeVar("Result")


class ImageOpenError(Exception):
    """Why a file gives no picture: a reason of the cleaning table and one line of detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = " ".join(detail.split())

    def __reduce__(self) -> tuple[type[ImageOpenError], tuple[str, str]]:
        return ImageOpenError, (self.reason, self.detail)


@dataclass(frozen=True)
class Opened:
    """An upright RGB picture and the format its file really has.

    Attributes:
        opacity: a small grey copy, 255 where the file was opaque; None where it all was.
    """

    image: Image.Image
    format: str
    opacity: Image.Image | None = None


def open_picture(source: Path | bytes, *, first_frame: bool = False) -> Image.Image:
    """The picture in a file or in bytes: decoded to its end, upright, RGB, 8 bits a channel.

    Args:
        first_frame: take the first frame of an animated picture, for a person to look at.

    Raises:
        ImageOpenError: with `reason` unreadable, truncated, not_a_picture or animated.
    """
    return open_with_format(source, first_frame=first_frame).image


def open_with_format(source: Path | bytes, *, first_frame: bool = False) -> Opened:
    """`open_picture`, with the true format of the file (JPEG, PNG, WEBP …)."""
    data = source if isinstance(source, bytes) else read_bytes(source)
    if not data:
        raise ImageOpenError(UNREADABLE, "the file is empty")
    return _attempt(data, partial(_decode, first_frame=first_frame))


@dataclass(frozen=True)
class Header:
    """What the start of a file says: its format, and pixels as they are stored."""

    format: str
    width: int
    height: int


def read_header(data: bytes) -> Header:
    """What a picture's first bytes say, without decoding a pixel; the rest may be broken.

    Raises:
        ImageOpenError: it is no picture, its header is broken, or it has too many pixels.
    """
    kind = announced_format(data)
    if kind is None:
        raise ImageOpenError(NOT_A_PICTURE, describe(data) if data else "nothing at all")
    with _HEADERS:
        return Header(kind, *_attempt(data, _size_of))


def _size_of(data: bytes, _: int | None = None) -> tuple[int, int]:
    with _image_of(data) as image:
        return image.size


def _attempt(data: bytes, read: Callable[..., Result]) -> Result:
    """What `read` makes of a file's bytes, else of those without metadata and their orientation.

    Malformed or huge metadata makes decoders refuse sound pixels.
    """
    with _quiet():
        try:
            return read(data)
        except ImageOpenError:
            raise
        except MemoryError:
            raise ImageOpenError(UNREADABLE, "does not fit into memory") from None
        except Exception as error:  # noqa: BLE001 - decoders raise whatever they like
            bare = without_metadata(data, announced_format(data))
            if bare is not None:
                with suppress(Exception):  # the first error is the one to tell
                    return read(*bare)
            raise _why(data, error) from None


def read_bytes(path: Path) -> bytes:
    """The bytes of a file that may hold a picture.

    Raises:
        ImageOpenError: the file cannot be read, or is larger than any picture.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if size <= MOST_BYTES:
                return file.read()
            head = file.read(4096)
    except OSError as error:
        raise ImageOpenError(UNREADABLE, error.strerror or str(error)) from None
    if announced_format(head) is None:
        raise ImageOpenError(NOT_A_PICTURE, describe(head))
    raise ImageOpenError(
        UNREADABLE, f"{size / 2**20:.0f} MiB, more than {MOST_BYTES // 2**20} MiB"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Let no library warn, and let none fill up what a cut file lacks."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


@contextmanager
def _image_of(data: bytes) -> Iterator[Image.Image]:
    """The picture in `data`, its pixels not decoded yet; one of too many is refused."""
    register_heif()
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        kind, need = str(image.format), _USUAL_BYTES
        if kind in ("JPEG", "MPO") and has_many_scans(data):
            need = 2 * len(image.getbands()) + 4.5  # all coefficients are kept, of two bytes
        need = _BYTES_A_PIXEL.get(kind, need)
        most = min(MOST_PIXELS, (MOST_MEMORY - len(data)) / need)
        if width * height > most:
            size = f"{width}x{height} is {width * height / 1e6:.0f} megapixels"
            of_kind = "" if most == MOST_PIXELS else f" for such a {kind}"
            raise ImageOpenError(UNREADABLE, f"{size}, more than {most / 1e6:.0f}{of_kind}")
        yield image


def _decode(data: bytes, orientation: int | None = None, *, first_frame: bool = False) -> Opened:
    """Decode `data`; `orientation` replaces what the file itself says about it."""
    with _image_of(data) as image:
        kind = str(image.format)
        frames = getattr(image, "n_frames", 1) if kind in _FILMS else 1
        if frames > 1 and not first_frame:
            raise ImageOpenError(ANIMATED, f"{kind} with {frames} frames")
        if kind == "TIFF":
            leave_orientation_alone(image)
        image.load()
        if orientation is None:  # TIFF and HEIF are turned while they load
            orientation = 1 if kind in ("TIFF", "HEIF") else orientation_of(image)
        alpha = opacity(image)
        picture = to_rgb(image)
        image.close()  # before the picture is turned: three of them are too many in memory
        opaque = None if alpha is None else upright(alpha, orientation)
        return Opened(upright(picture, orientation), kind, opaque)


def _why(data: bytes, error: Exception) -> ImageOpenError:
    """The reason behind a decoder's error."""
    if isinstance(error, Image.DecompressionBombError):
        match = re.search(r"\((\d+) pixels\)", str(error))
        size = f"{int(match[1]) / 1e6:.0f} megapixels, " if match else ""
        return ImageOpenError(UNREADABLE, f"{size}more than {MOST_PIXELS / 1e6:.0f} megapixels")
    kind = announced_format(data)
    if kind is None and isinstance(error, UnidentifiedImageError):
        return ImageOpenError(NOT_A_PICTURE, describe(data))
    if ends_early(data, kind) or re.search(r"truncat|not enough", str(error), re.IGNORECASE):
        return ImageOpenError(TRUNCATED, f"{kind or 'the'} data ends early ({len(data)} bytes)")
    if isinstance(error, UnidentifiedImageError):
        return ImageOpenError(UNREADABLE, f"starts like {kind}, but is none")
    return ImageOpenError(UNREADABLE, f"{kind or 'picture'}: {error or type(error).__name__}")
