"""Text files that a person writes with one entry a line."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from whoswho import git
from whoswho.errors import UserError

_BOMS = {  # the longer first: UTF-32's starts like UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
_LINE_END = r"\r\n|\r|\n"


def read_lines(path: Path, hint: str) -> Iterator[tuple[str, str]]:
    """Each entry in Unicode form NFC, after its file and line; not empty lines, nor comments (#).

    `hint` says what belongs into the file. The file is never written.

    Raises:
        UserError: it is absent, in another encoding, or half merged.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: not there; {hint}") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; name a file instead, and {hint}") from None
    encoding = next((name for bom, name in _BOMS.items() if data.startswith(bom)), "utf-8")
    try:
        content = data.decode(encoding)
    except UnicodeDecodeError as error:
        ends = re.findall(_LINE_END.encode(), data[: error.start])
        where = f", line {len(ends) + 1}" if encoding.startswith("utf-8") else ""
        raise UserError(
            f"{path}{where}: not {encoding.removesuffix('-sig').upper()}, maybe CP949; "
            "save the file as UTF-8 in your editor (Notepad: Save as, Encoding)"
        ) from None
    git.check_merged(path, content)
    for number, line in enumerate(re.split(_LINE_END, content), 1):
        # A mark of the byte order stands in the middle where two files were put together.
        text = unicodedata.normalize("NFC", line.replace("\ufeff", "")).strip()
        if text and not text.startswith("#"):
            yield f"{path}, line {number}", text
