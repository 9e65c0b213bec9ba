"""keywords.txt: what to search for, and the label its pictures get.

AutoCrawler's format: one search a line, which is also its label. Beyond it: `search = label`,
several searches for one label, and lines that start with # as comments. A `=` counts with spaces
on both sides, the last one where there are several.
"""

from __future__ import annotations

import re
from pathlib import Path

from whoswho import labels
from whoswho.crawl.lists import read_lines
from whoswho.crawl.site import Search
from whoswho.errors import UserError

_EQUALS = re.compile(r"\s=(?=\s|$)")


def read(path: Path) -> list[Search]:
    """The searches of a file, in its order, each once. The file is never written.

    Raises:
        UserError: it is absent, empty or in another encoding, or a line gives no safe label; the
            message names the line and the cure.
    """
    lines = read_lines(path, "write one search a line into it")
    searches = list(dict.fromkeys(_search(line, where) for where, line in lines))
    if not searches:
        raise UserError(f"{path}: names nobody; write one search a line, such as a name")
    labels.check_distinct(search.label for search in searches)
    return searches


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
