"""Any file to an upright RGB picture of 8 bits, or the one reason why not.

The kind of a file is told by its bytes, never by its name. A picture is decoded completely: a
file that only starts well is `truncated`, whatever its header promises. What is wrong with the
metadata never costs the picture; what is wrong with the pixels always does.
"""

from __future__ import annotations

import io
import logging
import re
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

# A phone takes 108 megapixels; beyond that one picture would need a gigabyte while it is turned.
MOST_PIXELS = 120_000_000
# No picture of MOST_PIXELS needs more; what does is a film or a disk image.
MOST_BYTES = 512 * 2**20

UNREADABLE = "unreadable"
TRUNCATED = "truncated"
NOT_A_PICTURE = "not_a_picture"
ANIMATED = "animated"

# Picture formats with a signature. Left out: what is a program (EPS, PDF, WMF) and what is
# recognised by so little that any text could be taken for it (TGA, PCX, XBM).
FORMATS = (
    "JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIF", "TIFF", "BMP", "DIB", "ICO", "ICNS",
    "JPEG2000", "PPM", "PSD", "SGI", "QOI", "DDS",
)  # fmt: skip

# In these more than one frame is a film. In the others (MPO, TIFF, HEIF, ICO) the first one is
# the picture and the rest are its depth map, its pages, its smaller sizes.
_FILMS = {"GIF", "PNG", "WEBP", "AVIF"}

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112
_HEADERS = threading.Lock()  # what `_quiet` switches belongs to the whole process

# Pillow reports a damaged file through Python's logging; here it becomes the reason instead.
logging.getLogger("PIL").addHandler(logging.NullHandler())


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
    """An upright RGB picture and the format its file really has."""

    image: Image.Image
    format: str

    @property
    def width(self) -> int:
        """Pixels, upright."""
        return self.image.width

    @property
    def height(self) -> int:
        """Pixels, upright."""
        return self.image.height


def open_picture(source: Path | bytes) -> Image.Image:
    """The picture in a file or in bytes: decoded to its end, upright, RGB, 8 bits a channel.

    Raises:
        ImageOpenError: with `reason` unreadable, truncated, not_a_picture or animated.
    """
    return open_with_format(source).image


def open_with_format(source: Path | bytes) -> Opened:
    """`open_picture`, with the true format of the file (JPEG, PNG, WEBP …)."""
    data = source if isinstance(source, bytes) else read_bytes(source)
    if not data:
        raise ImageOpenError(UNREADABLE, "the file is empty")
    with _quiet():
        try:
            return _decode(data)
        except ImageOpenError:
            raise
        except MemoryError:
            raise ImageOpenError(UNREADABLE, "does not fit into memory") from None
        except Exception as error:  # noqa: BLE001 - decoders raise whatever they like
            # Malformed metadata makes some decoders refuse sound pixels: try without it.
            bare = _without_exif(data)
            if bare is not None:
                try:
                    return _decode(*bare)
                except Exception:  # noqa: BLE001 - the first error is the one to tell
                    pass
            raise _why(data, error) from None


@dataclass(frozen=True)
class Header:
    """What the start of a file says: its format, and pixels as they are stored."""

    format: str
    width: int
    height: int


def read_header(data: bytes) -> Header:
    """What a picture's first bytes say, without decoding a pixel; the rest may be broken.

    Raises:
        ImageOpenError: it is no picture, its header is broken, or it has more pixels than MOST_PIXELS.
    """
    kind = _signature(data)
    if kind is None:
        raise ImageOpenError(NOT_A_PICTURE, _describe(data) if data else "nothing at all")
    try:
        with _HEADERS, _quiet():
            if "HEIF" not in Image.OPEN:
                pillow_heif.register_heif_opener()
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                width, height = image.size
    except Exception as error:  # noqa: BLE001 - decoders raise whatever they like
        raise _why(data, error) from None
    if width * height > MOST_PIXELS:
        raise ImageOpenError(UNREADABLE, _too_many(width, height))
    return Header(kind, width, height)


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
    if _signature(head) is None:
        raise ImageOpenError(NOT_A_PICTURE, _describe(head))
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


def _decode(data: bytes, orientation: int | None = None) -> Opened:
    """Decode `data`; `orientation` replaces what the file itself says about it."""
    if "HEIF" not in Image.OPEN:
        pillow_heif.register_heif_opener()
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        kind = str(image.format)
        if image.width * image.height > MOST_PIXELS:
            raise ImageOpenError(UNREADABLE, _too_many(image.width, image.height))
        frames = getattr(image, "n_frames", 1) if kind in _FILMS else 1
        if frames > 1:
            raise ImageOpenError(ANIMATED, f"{kind} with {frames} frames")
        if kind == "TIFF":
            _plant_orientation(image)
        image.load()
        if orientation is None:
            orientation = 1 if kind in ("TIFF", "HEIF") else _orientation_of(image)
        picture = _to_rgb(image)
    turn = _UPRIGHT.get(orientation)
    return Opened(picture.transpose(turn) if turn is not None else picture, kind)


def _too_many(width: int, height: int) -> str:
    return (
        f"{width}x{height} is {width * height / 1e6:.0f} megapixels, "
        f"more than {MOST_PIXELS / 1e6:.0f}"
    )


# --- Upright ------------------------------------------------------------------------------------


def _orientation_of(image: Image.Image) -> int:
    """1 to 8 as the picture's metadata says, 1 where it says nothing that can be read."""
    blocks = [image.info.get("exif"), _raw_profile(image.info.get("Raw profile type exif"))]
    for block in blocks:
        if isinstance(block, bytes) and block:
            found = _exif_orientation(block)
            if found is not None:
                return found
    for name in ("xmp", "XML:com.adobe.xmp"):
        text = image.info.get(name)
        if isinstance(text, str):
            text = text.encode(errors="replace")
        if isinstance(text, bytes):
            match = re.search(rb"tiff:Orientation(?:=[\"']|>)\s*([1-8])\s*[\"'<]", text)
            if match:
                return int(match[1])
    return 1


def _exif_orientation(block: bytes) -> int | None:
    """The orientation in a block of Exif, read entry by entry, so that no other tag matters."""
    # The header may be doubled or missing: the block starts where the TIFF header is.
    match = re.search(rb"II\*\0|MM\0\*", block)
    if match is None:
        return None
    tiff = block[match.start() :]
    order = "<" if tiff[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for index in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHI4s", tiff, start + 2 + 12 * index)
            if tag == _ORIENTATION:
                layout = {1: "B", 3: "H", 4: "I"}.get(kind)
                if layout is None:
                    return None
                (orientation,) = struct.unpack_from(f"{order}{layout}", value)
                return int(orientation) if 1 <= orientation <= 8 else None
    except struct.error:
        pass
    return None


def _raw_profile(text: object) -> bytes | None:
    """The Exif that ImageMagick writes into a PNG as lines of hexadecimal digits."""
    if not isinstance(text, str):
        return None
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return None


def _plant_orientation(image: Image.Image) -> None:
    """Leave of a TIFF's metadata only its orientation, which Pillow obeys while it loads.

    Pillow parses all of it again for that, and a malformed tag would cost the picture.
    """
    image.info.pop("xmp", None)
    orientation = image.tag_v2.get(_ORIENTATION, 1)  # type: ignore[attr-defined]
    exif = Image.Exif()
    if orientation in _UPRIGHT:
        exif[_ORIENTATION] = orientation
    exif._loaded = True
    image._exif = exif


def _without_exif(data: bytes) -> tuple[bytes, int | None] | None:
    """`data` without its Exif, and the orientation that said; None where there is no Exif.

    Of an AVIF the container itself knows the orientation.
    """
    kind = _signature(data)
    if kind == "PNG":
        at = data.find(b"eXIf") - 4
        if at < 0:
            return None
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        return data[:at] + data[end:], _exif_orientation(data[at:end]) or 1
    header = b"\0\0\0\x06Exif\0\0"  # with its length before it; the item's name has none
    at = data.find(header) + len(header)
    if kind != "AVIF" or at < len(header):
        return None
    nothing = b"II*\0\x08\0\0\0\0\0\0\0\0\0"  # a directory without entries
    return data[:at] + nothing + data[at + len(nothing) :], None


# --- Colours ------------------------------------------------------------------------------------


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB of 8 bits from any mode, what is transparent laid over white."""
    mode = image.mode
    if mode == "I" or mode == "F" or mode.startswith("I;16"):
        return _scaled(image)
    transparency = image.info.get("transparency")
    if mode == "RGB" and isinstance(transparency, tuple) and max(transparency) > 255:
        # Pillow keeps the high byte of 16-bit channels, and tRNS as it was written.
        image.info["transparency"] = tuple(value >> 8 for value in transparency)
    if mode == "LAB":
        return _from_lab(image)
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or transparency is not None:
        if mode in ("La", "RGBa"):
            image = image.convert({"La": "LA", "RGBa": "RGBA"}[mode])
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB") if mode != "RGB" else image.copy()


def _from_lab(image: Image.Image) -> Image.Image:
    """CIE L*a*b* to sRGB."""
    turned = ImageCms.profileToProfile(
        image, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert turned is not None
    return turned


def _scaled(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits brought to 8 by the range its values have.

    16 bits are divided by 257, so that 65535 becomes 255. Wider modes carry anything, and say
    nothing about it: fractions from 0 to 1 are multiplied by 255; values within 0 to 255 stay;
    values within 0 to 65535 are taken for 16 bits; anything else is stretched from its smallest
    to its largest value.
    """
    values: NDArray[Any] = np.asarray(image)
    top = 65535.0
    clear: NDArray[np.bool_] | None = None
    if image.mode.startswith("I;16"):
        values = values.astype(np.float64)
        transparency = image.info.get("transparency")
        if isinstance(transparency, int):
            clear = values == transparency
        tags = getattr(image, "tag_v2", {})
        bits = tags.get(258, (16,))
        bits = bits[0] if isinstance(bits, tuple) else bits
        if isinstance(bits, int) and 8 < bits < 16:
            top = float(2**bits - 1)
        grey = values * (255 / top)
        if tags.get(262) == 0:  # white is zero
            grey = 255 - grey
    else:
        grey = _by_range(values.astype(np.float64), fractions=image.mode == "F")
    pixels = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    if clear is not None:
        pixels[clear] = 255
    return Image.fromarray(pixels).convert("RGB")


def _by_range(values: NDArray[np.float64], fractions: bool) -> NDArray[np.float64]:
    known = values[np.isfinite(values)]
    if known.size == 0:
        return np.zeros_like(values)
    low, high = float(known.min()), float(known.max())
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    if low >= 0 and fractions and high <= 1:
        return values * 255
    if low >= 0 and high <= 255:
        return values
    if low >= 0 and high <= 65535:
        return values / 257
    if low == high:
        return np.full_like(values, 127.0)
    return (values - low) * (255 / (high - low))


# --- Why not ------------------------------------------------------------------------------------


def _why(data: bytes, error: Exception) -> ImageOpenError:
    """The reason behind a decoder's error."""
    if isinstance(error, Image.DecompressionBombError):
        match = re.search(r"\((\d+) pixels\)", str(error))
        size = f"{int(match[1]) / 1e6:.0f} megapixels, " if match else ""
        return ImageOpenError(UNREADABLE, f"{size}more than {MOST_PIXELS / 1e6:.0f} megapixels")
    kind = _signature(data)
    if kind is None and isinstance(error, UnidentifiedImageError):
        return ImageOpenError(NOT_A_PICTURE, _describe(data))
    if _ends_early(data, kind) or re.search(r"truncat|not enough", str(error), re.IGNORECASE):
        return ImageOpenError(TRUNCATED, f"{kind or 'the'} data ends early ({len(data)} bytes)")
    if isinstance(error, UnidentifiedImageError):
        return ImageOpenError(UNREADABLE, f"starts like {kind}, but is none")
    return ImageOpenError(UNREADABLE, f"{kind or 'picture'}: {error or type(error).__name__}")


def _signature(head: bytes) -> str | None:
    """The picture format that the first bytes announce."""
    for start, kind in (
        (b"\xff\xd8\xff", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"GIF8", "GIF"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"II+\0", "TIFF"),
        (b"MM\0+", "TIFF"),
        (b"\xff\x4f\xff\x51", "JPEG2000"),
        (b"\0\0\0\x0cjP  ", "JPEG2000"),
        (b"8BPS", "PSD"),
        (b"qoif", "QOI"),
        (b"DDS ", "DDS"),
        (b"icns", "ICNS"),
    ):
        if head.startswith(start):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        brands = head[8 : int.from_bytes(head[:4], "big")][:64]
        if re.search(rb"avif|avis", brands):
            return "AVIF"
        if re.search(rb"heic|heix|heim|heis|hevc|hevx|mif1|msf1", brands):
            return "HEIF"
        return None
    if head[:2] == b"BM" and len(head) >= 26 and head[14:18] in (
        b"\x0c\0\0\0", b"\x28\0\0\0", b"\x34\0\0\0", b"\x38\0\0\0", b"\x40\0\0\0",
        b"\x6c\0\0\0", b"\x7c\0\0\0",
    ):  # fmt: skip
        return "BMP"
    if head[:4] == b"\0\0\1\0" and 0 < int.from_bytes(head[4:6], "little") < 256:
        return "ICO"
    if re.match(rb"P[1-7fFyY][\s#]", head):
        return "PPM"
    return None


def _ends_early(data: bytes, kind: str | None) -> bool:
    """Whether the file's own structure says that bytes are missing at its end."""
    if kind in ("JPEG", "JPEG2000"):
        return b"\xff\xd9" not in data[-65536 if kind == "JPEG" else -2 :]
    if kind == "PNG":
        at = 8
        if data[12:16] != b"IHDR" and len(data) >= 16:
            return False  # broken from its start, whatever the lengths in it say
        while at + 8 <= len(data):
            if data[at + 4 : at + 8] == b"IEND":
                return False
            at += 12 + int.from_bytes(data[at : at + 4], "big")
        return at != 8 or len(data) < 16
    if kind == "WEBP":
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if kind == "GIF":
        return b"\x3b" not in data[-16:]
    if kind in ("AVIF", "HEIF"):
        at = 0
        while at + 8 <= len(data):
            size = int.from_bytes(data[at : at + 4], "big")
            if size == 1:
                size = int.from_bytes(data[at + 8 : at + 16], "big")
            if size == 0:  # reaches to the end
                return False
            if size < 8:
                return False
            at += size
        return at != len(data)
    if kind == "TIFF" and data[2:3] in (b"*", b"\0"):
        order = "<" if data[:2] == b"II" else ">"
        return len(data) < 8 or struct.unpack_from(f"{order}I", data, 4)[0] + 2 > len(data)
    if kind == "BMP":
        return len(data) < 54 or int.from_bytes(data[10:14], "little") > len(data)
    return False


def _describe(head: bytes) -> str:
    """What a file that is no picture seems to be."""
    start = head[:4096]
    for signature, name in (
        (b"%PDF", "a PDF"),
        (b"%!PS", "PostScript"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"PK\x03\x04", "a zip archive"),
        (b"7z\xbc\xaf", "a 7z archive"),
        (b"Rar!", "a RAR archive"),
        (b"\x1aE\xdf\xa3", "a film (Matroska, WebM)"),
        (b"ID3", "sound"),
        (b"\x7fELF", "a program"),
        (b"MZ", "a program"),
        (b"SQLite format 3", "a database"),
    ):
        if start.startswith(signature):
            return name
    if start[4:8] == b"ftyp":
        return "a film (MP4)"
    if start[:4] == b"RIFF":
        return "sound or a film (RIFF)"
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = start.decode("utf-16", errors="replace")
    else:
        text = start.decode("utf-8", errors="replace")
    low = text.lstrip("\ufeff \t\r\n").lower()
    if re.search(r"<svg[\s>]", low[:2000]) and low.startswith(("<?xml", "<svg", "<!--", "<!doc")):
        return "an SVG drawing"
    if low.startswith("<!doctype html") or re.search(r"<(html|head|body)[\s>]", low[:2000]):
        return "a web page (HTML)"
    if low.startswith("<?xml"):
        return "XML"
    if low.startswith(("{", "[")) and '"' in low:
        return "text (JSON)"
    odd = sum(letter == "\ufffd" or (letter < " " and letter not in "\t\r\n\f") for letter in text)
    if odd <= len(text) // 100:
        return "text"
    return "no picture format known here"
