"""What a file is, told by its bytes and never by its name."""

from __future__ import annotations

import re
import struct

import pillow_heif
from PIL import Image

# Picture formats with a signature. Left out: what is a program (EPS, PDF, WMF) and what is
# recognised by so little that any text could be taken for it (TGA, PCX, XBM).
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "AVIF", "HEIF", "TIFF", "BMP", "DIB", "ICO", "ICNS"),
    *("JPEG2000", "PPM", "PSD", "SGI", "QOI", "DDS"),
)

# Files that are often served in a picture's place, by their first bytes.
_OTHERS = (
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
)
# Sizes of the header that follows a BMP's first 14 bytes: `BM` alone starts many a text.
_BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)


def register_heif() -> None:
    """Let Pillow read HEIF, once a process."""
    if "HEIF" not in Image.OPEN:
        pillow_heif.register_heif_opener()


def announced_format(head: bytes) -> str | None:
    """The format of FORMATS whose signature a file starts with, as Pillow knows it.

    None where there is none, and for SGI and DIB, whose signatures are two bytes.
    """
    Image.init()
    register_heif()
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"  # also of a kind that Pillow does not know
    prefix = head[:16].ljust(16, b"\0")
    for name in FORMATS:
        accept = Image.OPEN[name][1]
        if accept is not None and accept(prefix) and not _is_doubtful(name, head):
            return name
    # Any brand may come first; what the file can be read as is among the compatible ones.
    if head[4:8] == b"ftyp" and re.search(rb"hei[cxms]|hev[cx]|mif1|msf1", _brands(head)):
        return "HEIF"
    return None


def _brands(head: bytes) -> bytes:
    """The brands in an ISO file's first box, the major one first."""
    return head[8 : int.from_bytes(head[:4], "big")][:64]


def _is_doubtful(name: str, head: bytes) -> bool:
    """Whether Pillow would ask for more than the signature of `name` before it believes it."""
    if name == "AVIF":  # its signature is HEIF's as well
        return not re.search(rb"avif|avis", _brands(head))
    if name == "BMP":
        return len(head) < 26 or int.from_bytes(head[14:18], "little") not in _BMP_HEADERS
    if name == "ICO":
        return not 0 < int.from_bytes(head[4:6], "little") < 256
    if name == "PPM":
        return not re.match(rb"P[1-7fFyY][\s#]", head)
    return name in ("SGI", "DIB")


def ends_early(data: bytes, kind: str | None) -> bool:
    """Whether the file's own structure says that bytes are missing at its end."""
    if kind in ("JPEG", "JPEG2000"):
        return b"\xff\xd9" not in data[-65536 if kind == "JPEG" else -2 :]
    if kind == "PNG":
        if data[12:16] != b"IHDR" and len(data) >= 16:
            return False  # broken from its start, whatever the lengths in it say
        at = 8
        while at + 8 <= len(data):
            if data[at + 4 : at + 8] == b"IEND":
                return False
            at += 12 + int.from_bytes(data[at : at + 4], "big")
        return True
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
            if size < 8:  # broken; one of 0 reaches to the end
                return False
            at += size
        return at != len(data)
    if kind == "TIFF" and data[2:3] in (b"*", b"\0"):
        order = "<" if data[:2] == b"II" else ">"
        return len(data) < 8 or struct.unpack_from(f"{order}I", data, 4)[0] + 2 > len(data)
    if kind == "BMP":
        return len(data) < 54 or int.from_bytes(data[10:14], "little") > len(data)
    return False


def describe(head: bytes) -> str:
    """What a file that is no picture seems to be."""
    start = head[:4096]
    for signature, name in _OTHERS:
        if start.startswith(signature):
            return name
    if start[4:8] == b"ftyp":
        return "a film (MP4)"
    if start[:4] == b"RIFF":
        return "sound or a film (RIFF)"
    encoding = "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    text = start.decode(encoding, errors="replace")
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


def has_many_scans(data: bytes) -> bool:
    """Whether a JPEG's pixels come in several passes, as those of a progressive one do."""
    at, layers = 2, 0
    while at + 9 < len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            layers = data[at + 9]
            if marker & 3 == 2:
                return True
        if marker == 0xDA:
            return data[at + 4] < layers
        at += 2 + length if marker != 0xFF else 1
    return True
