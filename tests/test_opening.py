"""Every file becomes an upright RGB picture, or says in one reason why not."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngInfo

from whoswho.pictures import opening
from whoswho.pictures.opening import ImageOpenError, open_picture, open_with_format


def picture(width: int = 120, height: int = 80, seed: int = 0) -> Image.Image:
    """Something photograph-like: smooth, no two corners alike."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def reason(source: Path | bytes) -> str:
    with pytest.raises(ImageOpenError) as caught:
        open_picture(source)
    assert caught.value.detail
    assert "\n" not in caught.value.detail
    return caught.value.reason


def difference(a: Image.Image, b: Image.Image) -> float:
    assert a.size == b.size
    return float(np.abs(np.asarray(a, int) - np.asarray(b, int)).mean())


# --- The real ones -------------------------------------------------------------------------------

AWKWARD: dict[str, tuple[str, int, int] | str] = {
    "1_trns.png": ("PNG", 64, 64),
    "200x32_la.png": ("PNG", 200, 32),
    "beautiful-serena-williams-smile-face-hd-mobile-desktop-background-free-wallpaper.jpg": (
        "JPEG", 2152, 1615,
    ),
    "broken.png": "unreadable",
    "broken_data_stream.png": "truncated",
    "decompression_bomb.gif": "unreadable",
    "flower.webp": ("WEBP", 480, 360),
    "frozenpond.mpo": ("MPO", 640, 480),
    "hopper.Lab.tif": ("TIFF", 128, 128),
    "hopper.avif": ("AVIF", 128, 128),
    "hopper.heif": ("HEIF", 128, 128),
    "hopper_bad_exif.jpg": ("JPEG", 500, 500),
    "hopper_orientation_6.jpg": ("JPEG", 128, 128),
    "hopper_orientation_8.webp": ("WEBP", 128, 128),
    "i_trns.png": ("PNG", 64, 64),
    "iss634.apng": "animated",
    "iss634.gif": "animated",
    "junk_jpeg_header.jpg": ("JPEG", 1024, 768),
    "landscape_5.jpg": ("JPEG", 600, 450),
    "p_trns_single.png": ("PNG", 64, 64),
    "pil123rgba.png": ("PNG", 162, 150),
    "pil_sample_cmyk.jpg": ("JPEG", 100, 100),
    "png_decompression_dos.png": ("PNG", 1, 1),  # one sound pixel under 3 MB of packed text
    "python.ico": ("ICO", 48, 48),
    "truncated_jpeg.jpg": "truncated",
    "ukbench00120.jpg": ("JPEG", 640, 480),
    "ukbench00120_hflip.jpg": ("JPEG", 640, 480),
    "ukbench00120_resize.jpg": ("JPEG", 300, 300),
    "ukbench09268_corrupt.jpg": "not_a_picture",
    "ukbench09380.png": ("JPEG", 640, 480),
}  # fmt: skip


def test_every_awkward_picture(cases: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = sorted((cases / "awkward").iterdir())
    assert {file.name for file in files} == set(AWKWARD)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for file in files:
            expected = AWKWARD[file.name]
            if isinstance(expected, str):
                assert reason(file) == expected, file.name
                continue
            opened = open_with_format(file)
            assert opened.image.mode == "RGB"
            assert (opened.format, *opened.image.size) == expected, file.name
            assert opened.image.tobytes() == open_picture(file.read_bytes()).tobytes()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "name",
    ["hopper.heif", "hopper.Lab.tif", "hopper_orientation_6.jpg", "hopper_orientation_8.webp"],
)
def test_the_same_portrait_in_every_dress(cases: Path, name: str) -> None:
    plain = open_picture(cases / "awkward" / "hopper.avif")
    assert difference(open_picture(cases / "awkward" / name), plain) < 12


def test_the_mirrored_orientation_turns_sky_up(cases: Path) -> None:
    rows = np.asarray(open_picture(cases / "awkward" / "landscape_5.jpg"), float).mean(axis=(1, 2))
    assert rows[:100].mean() > rows[-100:].mean()


# --- B3: decoded to the end ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}),
        ("WEBP", {"lossless": True}), ("GIF", {}), ("AVIF", {}), ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}), ("BMP", {}), ("JPEG2000", {}), ("PPM", {}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("share", [0.6, 0.9])
def test_a_cut_file_is_truncated(kind: str, options: dict[str, object], share: float) -> None:
    whole = saved(picture(300, 200), kind, **options)
    assert open_picture(whole).size == (300, 200)
    assert reason(whole[: int(len(whole) * share)]) == "truncated"


def test_a_cut_heic_is_truncated() -> None:
    pillow_heif.register_heif_opener()
    whole = saved(picture(), "HEIF")
    assert open_picture(whole).size == (120, 80)
    assert reason(whole[: int(len(whole) * 0.6)]) == "truncated"
    major = whole.index(b"ftyp") + 4
    other = whole[:major] + b"MiHE" + whole[major + 4 :]  # any brand may come first
    assert reason(b"".join([other[:40], bytes(40)])) != "not_a_picture"


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_last_two_bytes_is_truncated(progressive: bool) -> None:
    whole = saved(picture(300, 200), "JPEG", progressive=progressive)
    assert whole.endswith(b"\xff\xd9")
    with Image.open(io.BytesIO(whole[:-2])) as image:
        image.verify()  # the quick check sees nothing
    assert reason(whole[:-2]) == "truncated"


def test_what_is_cut_is_never_filled_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as other libraries set it
    assert reason(saved(picture(300, 200), "JPEG")[:-2]) == "truncated"
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


# --- B4: more than 8 bits ------------------------------------------------------------------------

RAMP = np.arange(65536).reshape(256, 256)


def png16(values: np.ndarray, colour: int, transparent: bytes = b"") -> bytes:
    """A PNG of 16 bits a channel; Pillow itself writes grey ones only."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    height, width = values.shape[:2]
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0))
        + (chunk(b"tRNS", transparent) if transparent else b"")
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def levels(source: bytes) -> int:
    """How many greys a ramp keeps; it must not fall anywhere."""
    grey = np.asarray(open_picture(source))[:, :, 0].ravel().astype(int)
    assert (np.diff(grey) >= 0).all()
    assert grey[0] == 0
    assert grey[-1] == 255
    return len(np.unique(grey))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("grey PNG", saved(Image.fromarray(RAMP.astype(np.uint16)), "PNG")),
        ("RGB PNG", png16(np.repeat(RAMP[:, :, None], 3, 2), 2)),
        ("grey TIFF", saved(Image.fromarray(RAMP.astype(np.uint16)), "TIFF")),
        (
            "compressed TIFF",
            saved(Image.fromarray(RAMP.astype(np.uint16)), "TIFF", compression="tiff_lzw"),
        ),
        ("int TIFF of 16-bit values", saved(Image.fromarray(RAMP.astype(np.int32)), "TIFF")),
        ("int TIFF", saved(Image.fromarray((RAMP * 32767).astype(np.int32)), "TIFF")),
        ("signed TIFF", saved(Image.fromarray((RAMP - 32768).astype(np.int32)), "TIFF")),
        ("float TIFF, 0 to 1", saved(Image.fromarray((RAMP / 65535).astype(np.float32)), "TIFF")),
        ("float TIFF, 0 to 65535", saved(Image.fromarray(RAMP.astype(np.float32)), "TIFF")),
        ("float TIFF, any", saved(Image.fromarray((RAMP - 3e4).astype(np.float32)), "TIFF")),
    ],
)
def test_a_ramp_keeps_its_greys(name: str, source: bytes) -> None:
    assert levels(source) == 256, name


def test_sixteen_bit_alpha_lies_over_white() -> None:
    values = np.zeros((4, 4, 2), int)
    values[:, 2:, 1] = 65535
    grey = np.asarray(open_picture(png16(values, 4)))
    assert (grey[:, :2] == 255).all()
    assert (grey[:, 2:] == 0).all()


@pytest.mark.parametrize("colour", [0, 2])
def test_sixteen_bit_transparent_colour_lies_over_white(colour: int) -> None:
    shape = (4, 4) if colour == 0 else (4, 4, 3)
    values = np.full(shape, 0x1234)
    values[:, 2:] = 0xC000
    clear = struct.pack(">H", 0x1234) * (1 if colour == 0 else 3)
    pixels = np.asarray(open_picture(png16(values, colour, clear)))
    assert (pixels[:, :2] == 255).all()
    assert set(np.unique(pixels[:, 2:])) <= {0xBF, 0xC0}


def test_a_dark_picture_in_wide_numbers_stays_dark() -> None:
    values = np.full((50, 50), 20, np.int32)
    assert np.asarray(open_picture(saved(Image.fromarray(values), "TIFF"))).max() == 20
    fractions = np.full((50, 50), 0.1, np.float32)
    assert np.asarray(open_picture(saved(Image.fromarray(fractions), "TIFF"))).max() == 26


def test_holes_in_a_float_picture_do_not_matter() -> None:
    values = (RAMP / 65535).astype(np.float32)
    values[0, 5] = np.nan
    values[0, 6] = np.inf
    pixels = np.asarray(open_picture(saved(Image.fromarray(values), "TIFF")))
    assert len(np.unique(pixels)) == 256


# --- B5: upright ---------------------------------------------------------------------------------


def exif(orientation: int, *more: tuple[int, int, int, bytes], order: str = "<") -> bytes:
    """A block of Exif with an orientation and entries (tag, type, count, value or data)."""
    entries = [(0x0112, 3, 1, struct.pack(f"{order}HH", orientation, 0)), *more]
    start = 8 + 2 + 12 * len(entries) + 4
    table, data = b"", b""
    for tag, kind, count, value in entries:
        if len(value) > 4:
            value, data = struct.pack(f"{order}I", start + len(data)), data + value
        table += struct.pack(f"{order}HHI", tag, kind, count) + value.ljust(4, b"\0")
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}I", 8)
    return b"Exif\0\0" + head + struct.pack(f"{order}H", len(entries)) + table + b"\0\0\0\0" + data


def jpeg_with(block: bytes) -> bytes:
    """A JPEG of 120 x 80 with this very block, which Pillow would not write."""
    plain = saved(picture(), "JPEG", quality=95)
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + plain[2:]


IMPOSSIBLE = (0x9204, 10, 1, struct.pack("<ii", -1, 0))  # exposure bias of -1/0
LOST = (0x8769, 4, 1, struct.pack("<I", 0xFFFFFFF0))  # more Exif, far beyond the end


@pytest.mark.parametrize(
    ("block", "size"),
    [
        (exif(6), (80, 120)),
        (exif(6, order=">"), (80, 120)),
        (exif(6, IMPOSSIBLE), (80, 120)),
        (exif(6, LOST), (80, 120)),
        (b"Exif\0\0" + exif(6), (80, 120)),
        (exif(6)[:28], (80, 120)),  # cut after the orientation
        (exif(6)[:20], (120, 80)),  # cut within it
        (b"Exif\0\0", (120, 80)),
        (b"", (120, 80)),
        (b"Exif\0\0II*\0\xff\xff\xff\xff", (120, 80)),
        (exif(9), (120, 80)),
        (exif(0), (120, 80)),
    ],
)
def test_bad_exif_never_costs_the_picture(block: bytes, size: tuple[int, int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_picture(jpeg_with(block)).size == size


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_every_orientation_of_every_format(kind: str, orientation: int) -> None:
    upright = picture()
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    lying = upright.transpose(undo[orientation]) if orientation > 1 else upright
    tags = Image.Exif()
    tags[0x0112] = orientation
    assert difference(open_picture(saved(lying, kind, exif=tags)), upright) < 6


def test_heic_is_turned_once() -> None:
    pillow_heif.register_heif_opener()
    lying = picture().transpose(Image.Transpose.ROTATE_90)
    assert difference(open_picture(saved(lying, "HEIF", exif=exif(6))), picture()) < 6


def test_bad_exif_in_other_formats_never_costs_the_picture() -> None:
    lying = picture().transpose(Image.Transpose.ROTATE_90)
    for kind in ("PNG", "WEBP"):
        for block in (exif(6, IMPOSSIBLE), exif(6, LOST), b"Exif\0\0" + exif(6)):
            assert open_picture(saved(lying, kind, exif=block)).size == (120, 80), kind


@pytest.mark.parametrize("kind", ["AVIF", "PNG", "WEBP"])
@pytest.mark.parametrize("bad", [b"XX*\0", b"", exif(6)[6:]])
def test_spoilt_exif_never_costs_the_picture(kind: str, bad: bytes) -> None:
    """Bytes gone wrong within the block: Pillow's AVIF reader refuses it, PNG's its checksum."""
    lying = picture().transpose(Image.Transpose.ROTATE_90)
    whole = saved(lying, kind, exif=exif(6, (0x010F, 2, 80, b"x" * 80)))
    start = whole.index(b"II*\0")
    room = whole.index(b"x" * 70) + 70 - start
    spoilt = whole[:start] + bad.ljust(room, b"\0") + whole[start + room :]
    image = open_picture(spoilt)
    if kind == "AVIF" or bad == exif(6)[6:]:  # the container or the block still knows it
        assert difference(image, picture()) < 6
    else:
        assert difference(image, lying) < 6


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize(
    ("tag", "pointer"), [(0x8769, 0xFFFFFFF0), (0x8769, 3), (0x02BC, 8), (0x02BC, 70_000)]
)
def test_a_tiff_with_bad_tags_is_still_turned(
    tag: int, pointer: int, compression: str | None
) -> None:
    """Exif that points nowhere, and XMP that is a number (raises in Pillow's own turning)."""
    lying = picture().transpose(Image.Transpose.ROTATE_90)
    tags = Image.Exif()
    tags[0x0112] = 6
    tags[0xFDE8] = 70_000
    whole = saved(lying, "TIFF", exif=tags, compression=compression)
    entry = struct.pack("<HHII", 0xFDE8, 4, 1, 70_000)
    assert entry in whole
    spoilt = whole.replace(entry, struct.pack("<HHII", tag, 4, 1, pointer))
    assert difference(open_picture(spoilt), picture()) < 6


def test_orientation_in_xmp() -> None:
    packet = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description '
        b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></x:xmpmeta>'
    )
    assert open_picture(saved(picture(), "WEBP", xmp=packet)).size == (80, 120)


@pytest.mark.parametrize(
    "text", [b"<x tiff:Orientation='6'/>", b"<tiff:Orientation> 6 </tiff:Orientation>"]
)
def test_other_spellings_of_the_orientation_in_xmp(text: bytes) -> None:
    assert open_picture(saved(picture(), "JPEG", xmp=text)).size == (80, 120)
    beside = saved(picture(), "JPEG", xmp=text, exif=exif(0))
    assert open_picture(beside).size == (80, 120)


# --- A5: the name lies ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jpg", "WEBP"), ("a.png", "AVIF"), ("a.JPG", "JPEG"), ("a.jfif", "JPEG"),
        ("a", "JPEG"), ("a.txt", "PNG"), ("a.jpg.html", "GIF"),
    ],
)  # fmt: skip
def test_the_bytes_tell_the_format(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_bytes(saved(picture(), kind))
    assert open_with_format(tmp_path / name).format == kind


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"<!DOCTYPE html><html><body>Not found</body></html>", "a web page (HTML)"),
        (b"\n <html lang='ko'>\xea\xb0\x80</html>", "a web page (HTML)"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"<?xml version='1.0'?><svg width='4'></svg>", "an SVG drawing"),
        (b"<?xml version='1.0'?><rss/>", "XML"),
        (b'{"error": "denied"}', "text (JSON)"),
        ("장원영\n".encode(), "text"),
        (b"\xff\xfea\0b\0c\0", "text"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF"),
        (gzip.compress(b"x" * 100, mtime=0), "a gzip archive"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2mp41", "a film (MP4)"),
        (b"\x1aE\xdf\xa3\x9fB\x86", "a film (Matroska, WebM)"),
        (bytes(range(256)) * 4, "no picture format known here"),
    ],
)
def test_what_is_no_picture_says_what_it_is(tmp_path: Path, data: bytes, detail: str) -> None:
    file = tmp_path / "google_0001.jpg"
    file.write_bytes(data)
    with pytest.raises(ImageOpenError) as caught:
        open_picture(file)
    assert (caught.value.reason, caught.value.detail) == ("not_a_picture", detail)


def test_postscript_is_never_run() -> None:
    assert (
        reason(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n") == "not_a_picture"
    )


def test_empty_absent_and_folder(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    for path in (tmp_path / "empty.jpg", tmp_path / "absent.jpg", tmp_path):
        assert reason(path) == "unreadable"


def test_a_film_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "MOST_BYTES", 10_000)
    (tmp_path / "film.jpg").write_bytes(b"\x1aE\xdf\xa3" + bytes(20_000))
    assert reason(tmp_path / "film.jpg") == "not_a_picture"
    (tmp_path / "large.bmp").write_bytes(saved(picture(200, 200), "BMP"))
    assert reason(tmp_path / "large.bmp") == "unreadable"


# --- Films and pages -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_several_frames_are_animated_and_one_is_not(kind: str) -> None:
    frames = [picture(seed=seed) for seed in range(3)]
    assert reason(saved(frames[0], kind, save_all=True, append_images=frames[1:])) == "animated"
    assert open_picture(saved(frames[0], kind, save_all=True)).size == (120, 80)


@pytest.mark.parametrize("kind", ["TIFF", "MPO"])
def test_the_first_page_is_the_picture(kind: str) -> None:
    pages = [picture(seed=seed) for seed in range(3)]
    source = saved(pages[0], kind, save_all=True, append_images=pages[1:])
    opened = open_with_format(source)
    assert opened.format == kind
    assert difference(opened.image, pages[0]) < 6


# --- Bombs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "megapixels"), [(12_000, "144"), (40_000, "1600")])
def test_bombs_are_refused_before_they_are_decoded(side: int, megapixels: str) -> None:
    bomb = bytearray(saved(Image.new("1", (8, 8)), "PNG"))
    bomb[16:24] = struct.pack(">II", side, side)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    with pytest.raises(ImageOpenError) as caught:
        open_picture(bytes(bomb))
    assert caught.value.reason == "unreadable"
    assert f"{megapixels} megapixels" in caught.value.detail


LARGE = """
import sys
from pathlib import Path
from whoswho.pictures import opening

def of(name):
    return int(Path("/proc/self/status").read_text().split(name + ":")[1].split()[0]) * 1024

for path in map(Path, sys.argv[1:]):
    before = of("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    try:
        said = opening.open_with_format(path).image.size
    except opening.ImageOpenError as error:
        said = error.detail
    print(path.name, (of("VmHWM") - before) // 2**20, said, sep="|")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is Linux's")
def test_a_picture_takes_a_gigabyte_at_most(tmp_path: Path) -> None:
    """Field report P1: each under the limit of pixels, in the modes that took the most."""
    size = 10_000, 11_900
    files = {"turned.jpg": Image.new("RGB", size, (9, 99, 199)),
             "grey.png": Image.fromarray(np.full(size[::-1], 777, np.uint16)),
             "alpha.png": Image.new("LA", size, (9, 50)),
             "float.tif": Image.fromarray(np.full(size[::-1], 0.5, np.float32))}  # fmt: skip
    options = {"turned.jpg": {"exif": exif(6)}, "float.tif": {"compression": "tiff_lzw"}}
    for name, image in files.items():
        image.save(tmp_path / name, **options.get(name, {"compress_level": 1}))
    # Their decoders keep more than a picture: no more than fits is let in.
    progressive = saved(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    at = progressive.index(b"\xff\xc2") + 5
    wide = progressive[:at] + struct.pack(">HH", *size[::-1]) + progressive[at + 4 :]
    (tmp_path / "progressive.jpg").write_bytes(wide)
    webp = bytearray(saved(Image.new("RGB", (8, 8)), "WEBP", lossless=True))
    webp[21:25] = struct.pack("<I", (size[0] - 1) | (size[1] - 1) << 14)
    (tmp_path / "lossless.webp").write_bytes(webp)
    names = [*files, "progressive.jpg", "lossless.webp"]
    done = subprocess.run(
        [sys.executable, "-c", LARGE, *names], cwd=tmp_path, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    rows = [line.split("|") for line in done.stdout.splitlines()]
    assert [name for name, _, _ in rows] == names
    assert all(int(peak) < 1024 for _, peak, _ in rows), rows
    assert [what for _, _, what in rows[:4]] == [str(size[::-1]), *[str(size)] * 3]
    assert "119 megapixels, more than 102 for such a JPEG" in rows[4][2]
    assert "119 megapixels, more than 63 for such a WEBP" in rows[5][2]


def packed(kind: str, after: bool = False) -> bytes:
    """A sound PNG of 120 x 80, turned, with megabytes packed into a few kilobytes beside it."""
    info = PngInfo()
    options: dict[str, object] = {"pnginfo": info, "exif": exif(6)}
    if kind == "profile":
        options["icc_profile"] = b"x" * 16 + bytes(2_000_000)
    elif kind == "zTXt":
        info.add_text("c", "a" * 2_000_000, zip=True)
    elif kind == "iTXt":
        info.add_itxt("c", "a" * 2_000_000, zip=True)
    elif kind == "many":
        for number in range(70):
            info.add_text(f"c{number}", "a" * 1_000_000, zip=True)
    elif kind == "after":
        info.add(b"zTXt", b"c\0\0" + zlib.compress(bytes(2_000_000)), after_idat=True)
    elif kind == "xmp":
        del options["exif"]
        info.add_text("c", "a" * 2_000_000, zip=True)
        info.add_itxt("XML:com.adobe.xmp", '<x:xmpmeta tiff:Orientation="6"/>')
    lying = picture().transpose(Image.Transpose.ROTATE_90)
    return saved(lying, "PNG", **options)


@pytest.mark.parametrize("kind", ["profile", "zTXt", "iTXt", "many", "after", "xmp"])
def test_a_large_text_or_profile_never_costs_the_picture(kind: str) -> None:
    source = packed(kind)
    assert len(source) < 200_000
    tracemalloc.start()
    opened = open_with_format(source)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert opened.format == "PNG"
    assert difference(opened.image, picture()) == 0
    assert most < 80 * 2**20
    assert opening.read_header(source) == opening.Header("PNG", 80, 120)


def test_what_is_wrong_beside_a_large_text_is_still_told() -> None:
    source = packed("zTXt")
    at = source.index(b"IDAT")
    assert reason(source[: at + 2000]) == "truncated"
    assert reason(source[: at + 99] + bytes(99) + source[at + 198 :]) == "unreadable"
    end = packed("after").index(b"zTXt")
    assert reason(packed("after")[: end + 1000]) == "truncated"


def test_a_damaged_comment_never_costs_the_picture() -> None:
    info = PngInfo()
    info.add_text("c", "a comment")
    source = saved(picture(), "PNG", pnginfo=info).replace(b"a comment", b"A comment")
    assert difference(open_picture(source), picture()) == 0


# --- Colours -------------------------------------------------------------------------------------


def test_what_is_transparent_is_white() -> None:
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    clear.paste((0, 0, 255, 255), (10, 0, 20, 20))
    palette = clear.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE)
    at = palette.getpixel((0, 0))
    rgb = clear.convert("RGB")
    for source in (
        saved(clear, "PNG"), saved(clear, "WEBP", lossless=True), saved(clear, "TIFF"),
        saved(palette, "PNG", transparency=at), saved(palette, "GIF", transparency=at),
        saved(rgb, "PNG", transparency=(255, 0, 0)),
        saved(clear.convert("LA"), "PNG"),
    ):  # fmt: skip
        image = open_picture(source)
        assert image.getpixel((2, 2)) == (255, 255, 255)
        assert image.getpixel((15, 5)) in {(0, 0, 255), (29, 29, 29)}


def test_half_transparent_is_half_white() -> None:
    image = open_picture(saved(Image.new("RGBA", (9, 9), (0, 0, 0, 128)), "PNG"))
    assert image.getpixel((4, 4)) == (127, 127, 127)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_keeps_its_colours(kind: str) -> None:
    red = Image.new("RGB", (40, 40), (200, 30, 40)).convert("CMYK")
    image = open_picture(saved(red, kind))
    assert difference(image, Image.new("RGB", (40, 40), (200, 30, 40))) < 4


def test_other_modes(tmp_path: Path) -> None:
    grey = picture().convert("L")
    for image, kind in (
        (grey, "JPEG"), (grey.convert("1"), "PNG"), (picture().convert("YCbCr"), "JPEG"),
        (picture().convert("P"), "BMP"), (picture(), "PPM"), (picture(), "QOI"),
        (picture(), "DDS"),
    ):  # fmt: skip
        try:
            source = saved(image, kind)
        except (KeyError, OSError):  # this Pillow does not write it
            continue
        assert open_picture(source).mode == "RGB"


def test_the_error_travels_between_processes() -> None:
    error = pickle.loads(pickle.dumps(ImageOpenError("truncated", "ends\nearly")))
    assert (error.reason, error.detail) == ("truncated", "ends early")
