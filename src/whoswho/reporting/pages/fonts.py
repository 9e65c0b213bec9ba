"""Fonts carried by packages, so that every label can be drawn on a machine with none installed.

They are data of four packages from PyPI: matplotlib's own DejaVu Sans; Noto Sans KR of
pylopdf-fonts-ko (Hangul, kana, hanja); Noto Sans SC of pylopdf-fonts-zh-cn (the other hanzi);
Noto Emoji and one Noto Sans a script of manimgx-fonts. No font of the machine is ever asked, so a
figure is the same everywhere. What no font has is written as its code, `U+1F9D1`.
"""

from __future__ import annotations

import functools
import importlib.resources
import io
import logging
import unicodedata
from pathlib import Path

from whoswho.errors import UserError

_SCRIPTS = (
    "Arabic Hebrew Thai Devanagari Bengali Tamil Telugu Gujarati Gurmukhi Kannada Malayalam Oriya "
    "Sinhala Khmer Lao Myanmar Armenian Georgian Ethiopic Symbols"
)
# In the order asked. The variable fonts' default weight is the regular one.
_FILES = (
    ("matplotlib", "mpl-data/fonts/ttf/DejaVuSans.ttf"),
    ("pylopdf_fonts_ko", "NotoSansKR-Regular.otf"),
    ("pylopdf_fonts_zh_cn", "NotoSansSC-Regular.otf"),
    ("manimgx_fonts", "NotoEmoji[wght].ttf"),
    ("manimgx_fonts", "NotoSans[wght].ttf"),
    *(("manimgx_fonts", f"NotoSans{script}[wght].ttf") for script in _SCRIPTS.split()),
)
_JOINERS = "\u200c\u200d"


@functools.cache
def files() -> tuple[Path, ...]:
    """The packaged font files, in the order they are asked for a character.

    Raises:
        UserError: a font package is not installed.
    """
    paths = []
    for package, name in _FILES:
        try:
            # The packages are pure data; `files` looks them up and runs at most an empty module.
            path = Path(str(importlib.resources.files(package))) / name
        except ModuleNotFoundError:
            path = Path(package)
        if not path.is_file():
            raise UserError(
                f"{package}: the font {name} is not installed; run "
                "`pip install -e . -c constraints.txt` again"
            )
        paths.append(path)
    return tuple(paths)


@functools.cache
def families() -> tuple[str, ...]:
    """Make the packaged fonts known to matplotlib; return their family names, in order.

    The names are ours alone: `DejaVu Sans` would also find the machine's own copy of another
    version, and the figure would have other bytes there.
    """
    # It says at length that it lists the machine's fonts, which are not used here.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    from matplotlib import font_manager

    names = []
    for number, path in enumerate(files()):
        name = f"whoswho {number}"
        entry = font_manager.FontEntry(fname=str(path), name=name, weight=400, size="scalable")
        font_manager.fontManager.ttflist.append(entry)
        names.append(name)
    return tuple(names)


@functools.cache
def _characters(path: Path) -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(path)).get_charmap())


def has(character: str) -> bool:
    """Whether a packaged font can draw a single character."""
    return any(ord(character) in _characters(path) for path in files())


def drawable(text: str) -> str:
    """`text` with what no packaged font has as its code, without control and bidi characters.

    Line breaks and tabs become spaces: a label is one line. A text of nothing but characters that
    show nothing is written as their codes, so that it does not vanish.
    """
    if text.isascii() and text.isprintable() and not text.isspace():
        return text  # as most names of files are, of which a page may have many
    shown = "".join(_shown(letter) for letter in text)
    if not shown.strip():
        shown = "".join(f"U+{ord(letter):04X}" for letter in text)
    return shown


@functools.lru_cache(maxsize=65536)
def _shown(letter: str) -> str:
    if letter.isspace():
        return " "
    category = unicodedata.category(letter)
    if category == "Cc" or (category == "Cf" and letter not in _JOINERS):
        return ""
    if has(letter):
        return letter
    if "\ufe00" <= letter <= "\ufe0f" or "\U000e0100" <= letter <= "\U000e01ef":
        return ""  # a variation selector asks for another form of the letter before it
    return f"U+{ord(letter):04X}"


def uncommon(text: str) -> str:
    """The letters of `text` that a machine may have no font for, sorted."""
    return "".join(
        letter
        for letter in sorted(set(text))
        if (letter >= "\u0370" and not "\u2000" <= letter <= "\u20cf") or letter in _JOINERS
    )


def clusters(text: str) -> list[str]:
    """`text` in pieces not to be cut apart: letters with their marks, joined emoji, flags."""
    pieces: list[str] = []
    for letter in text:
        if pieces and (
            unicodedata.category(letter).startswith("M")
            or letter in _JOINERS
            or pieces[-1][-1] == "\u200d"
            or "\U0001f3fb" <= letter <= "\U0001f3ff"
            or (_is_flag_half(letter) and len(pieces[-1]) == 1 and _is_flag_half(pieces[-1]))
        ):
            pieces[-1] += letter
        else:
            pieces.append(letter)
    return pieces


def _is_flag_half(letter: str) -> bool:
    return "\U0001f1e6" <= letter <= "\U0001f1ff"


@functools.lru_cache(maxsize=32)
def subsets(text: str) -> tuple[bytes, ...]:
    """Small WOFF fonts, in the order asked, that together draw every character of `text`.

    A page carries them inside itself, so that it too is readable where no font is installed.
    """
    from fontTools import subset, ttLib

    missing = {ord(letter) for letter in drawable(text)} | {ord(" ")}
    joiners = {ord(letter) for letter in _JOINERS + "\ufe0f"}
    cut = []
    for path in files():
        taken = (missing - joiners) & _characters(path)
        if not taken - {ord(" ")}:
            continue
        missing -= taken
        # Joined emoji are one glyph only where their joiners lie in the same font.
        taken |= joiners & _characters(path)
        options = subset.Options()
        options.layout_features = ["*"]
        options.hinting = False
        options.drop_tables += ["FFTM", "MATH", "BASE", "VORG", "vmtx", "vhea", "DSIG", "meta"]
        worker = subset.Subsetter(options)
        worker.populate(unicodes=taken)
        target = io.BytesIO()
        with ttLib.TTFont(path, lazy=True, recalcTimestamp=False) as font:
            worker.subset(font)
            font.flavor = "woff"
            font.save(target)
        cut.append(target.getvalue())
    return tuple(cut)
