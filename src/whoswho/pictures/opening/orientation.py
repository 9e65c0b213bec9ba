"""Which way up a picture is, read so that no other part of its metadata can spoil the answer."""

from __future__ import annotations

import io
import re
import struct

from PIL import ExifTags, Image

_TAG = ExifTags.Base.Orientation
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
# Chunks of a PNG that a reader may pass over by their name, and that yet make its pixels.
_PNG_PIXELS = (b"tRNS", b"acTL", b"fcTL", b"fdAT")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation_of(image: Image.Image) -> int:
    """1 to 8 as Exif or XMP says, 1 where they say nothing that can be read."""
    block = image.info.get("exif")
    orientation = orientation_in(block) if isinstance(block, bytes) else None
    if orientation is not None:
        return orientation
    for name in ("xmp", "XML:com.adobe.xmp"):
        text = image.info.get(name, b"")
        text = text.encode(errors="replace") if isinstance(text, str) else text
        # Pillow reads one spelling of several, and none beside any Exif.
        if match := re.search(rb"tiff:Orientation(?:=[\"']|>)\s*([1-8])\s*[\"'<]", text):
            return int(match[1])
    try:  # Exif that stands in a PNG as text
        return _valid(image.getexif().get(_TAG)) or 1
    except Exception:  # noqa: BLE001 - what is wrong with the metadata never costs the picture
        return 1


def orientation_in(block: bytes) -> int | None:
    """The orientation in a block of Exif, None where it has none.

    It is read entry by entry: Pillow gives up at the first entry that points beyond the block.
    """
    # The header may be doubled or missing: the block starts where the TIFF header is.
    match = re.search(rb"II\*\0|MM\0\*", block)
    if match is None:
        return None
    tiff = block[match.start() :]
    order = "<" if tiff[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHI4s", tiff, entry)
            if tag == _TAG:
                layout = {1: "B", 3: "H", 4: "I"}.get(kind, "4s")
                return _valid(struct.unpack_from(f"{order}{layout}", value)[0])
    except struct.error:
        pass
    return None


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """`image`, turned or mirrored as its orientation (1 to 8) asks."""
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def leave_orientation_alone(image: Image.Image) -> None:
    """Leave of a TIFF's metadata only its orientation, which Pillow obeys while it loads.

    Pillow parses all of it again for that, and a malformed tag would cost the picture.
    """
    image.info.pop("xmp", None)
    exif = Image.Exif()
    exif[_TAG] = _valid(image.tag_v2.get(_TAG)) or 1  # type: ignore[attr-defined]
    exif._loaded = True
    image._exif = exif


def without_metadata(data: bytes, kind: str | None) -> tuple[bytes, int | None] | None:
    """`data` without its metadata, and the orientation that said; None where there is none.

    Of a PNG nothing is unpacked: a small file's text or colour profile may hold gigabytes. Of an
    AVIF the container itself knows the orientation, so None stands in its place.
    """
    if kind == "PNG":
        return _pixels_of_png(data)
    header = b"\0\0\0\x06Exif\0\0"  # with its length before it; the item's name has none
    start = data.find(header) + len(header)
    if kind != "AVIF" or start < len(header):
        return None
    nothing = b"II*\0\x08\0\0\0\0\0\0\0\0\0"  # a directory without entries
    return data[:start] + nothing + data[start + len(nothing) :], None


def _pixels_of_png(data: bytes) -> tuple[bytes, int] | None:
    """The chunks that make the pixels, and the orientation in the others; None without others.

    What is no chunk of metadata stays as it is, for a decoder to judge.
    """
    pixels, orientation, at = io.BytesIO(), None, 8
    pixels.write(data[:at])
    while at < len(data):
        name = data[at + 4 : at + 8]
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        # A small first letter says: may be left out. What is cut short stays, to be seen as such.
        optional = name.isalpha() and name[:1].islower() and name not in _PNG_PIXELS
        if optional and end <= len(data):
            if name == b"eXIf":
                orientation = orientation_in(data[at:end]) or orientation
            elif name == b"iTXt" and orientation is None:
                match = _XMP.search(data, at, end)
                orientation = match and _valid(int(match[1]))
        else:
            pixels.write(memoryview(data)[at:end])
        at = end
    left = pixels.getvalue()
    return (left, orientation or 1) if len(left) < len(data) else None


def _valid(orientation: object) -> int | None:
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else None
