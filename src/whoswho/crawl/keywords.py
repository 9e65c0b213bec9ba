"""keywords.txt: what to search for, and the label its pictures get.

AutoCrawler's format: one search a line, which is also its label. Beyond it: `search = label`,
several searches for one label, and lines that start with # as comments. A `=` counts with spaces
on both sides, the last one where there are several.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from pathlib import Path

from whoswho import labels
from whoswho.crawl.site import Search
from whoswho.errors import UserError

_BOMS = (  # the longer first: UTF-32's starts like UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)  # fmt: skip
_EQUALS = re.compile(r"\s=(?=\s|$)")


def read(path: Path) -> list[Search]:
    """The searches of a file, in its order, each once. The file is never written.

    Raises:
        UserError: it is absent, empty or in another encoding, or a line gives no safe label; the
            message names the line and the cure.
    """
    found: dict[Search, None] = {}
    for number, line in enumerate(re.split(r"\r\n|\r|\n", _text(path)), 1):
        # A mark of the byte order stands in the middle where two files were put together.
        text = unicodedata.normalize("NFC", line.replace("\ufeff", "")).strip()
        if text and not text.startswith("#"):
            found[_search(text, f"{path}, line {number}")] = None
    if not found:
        raise UserError(f"{path}: names nobody; write one search a line, such as a name")
    labels.check_distinct(search.label for search in found)
    return list(found)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: not there; write one search a line into it") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; name a file with one search a line") from None
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = len(re.findall(rb"\r\n|\r|\n", data[: error.start])) + 1
        where = f", line {line}" if encoding.startswith("utf-8") else ""
        raise UserError(
            f"{path}{where}: not {encoding.removesuffix('-sig').upper()}, maybe CP949; "
            "save the file as UTF-8 in your editor (Notepad: Save as, Encoding)"
        ) from None


def _search(line: str, where: str) -> Search:
    """The search and the label of a line without spaces around it."""
    if "\0" in line:
        raise UserError(f"{where}: has zero bytes, maybe UTF-16; save the file as UTF-8")
    if "\ufffd" in line:
        raise UserError(
            f"{where}: has broken letters ({line!r}), lost when the file was saved; "
            "write the name anew and save the file as UTF-8"
        )
    cuts = [match.start() for match in _EQUALS.finditer(line)]
    text = line[: cuts[-1]].strip() if cuts else line
    label = line[cuts[-1] + 2 :].strip() if cuts else line
    if not text or line.startswith("= "):
        raise UserError(f"{where}: {line!r} lacks the search; write `search = label`")
    if not label:
        raise UserError(f"{where}: {line!r} lacks the label; write `search = label`")
    if not cuts and "=" in line:
        raise UserError(
            f"{where}: {line!r} may be a search or `search = label`; for the latter put spaces "
            f"around the =, for the former write `{line} = label`"
        )
    if problem := labels.folder_problem(label):
        raise UserError(
            f"{where}: the label {_short(label)!r} {problem}; write "
            f"`{_short(text)} = {_suggested(label)}`"
        )
    return Search(text, label)


def _suggested(label: str) -> str:
    """A label like this one that can be a folder."""
    tame = " ".join(re.sub(r"[/\\:]|[^\S ]", " ", label).split()).strip("~. ")
    return "label" if labels.folder_problem(tame) else tame


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
