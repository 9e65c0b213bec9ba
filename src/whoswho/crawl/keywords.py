"""keywords.txt: what to search for, and the label its pictures get.

AutoCrawler's format: one search a line, which is also its label. Beyond it: `search = label`,
several searches for one label, and lines that start with # as comments. A `=` counts with spaces
on both sides, the last one where there are several.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from whoswho import labels
from whoswho.crawl.lists import read_lines
from whoswho.crawl.site import Search
from whoswho.errors import UserError

_EQUALS = re.compile(r"\s=(?=\s|$)")


def read(path: Path, data: Path | None = None) -> list[Search]:
    """The searches of a file, in its order, each once. The file is never written.

    `data` is the set they are for; where a label is refused, none of its folders is proposed.

    Raises:
        UserError: it is absent, empty or in another encoding, or a line gives no safe label; the
            message names the line and the cure.
    """
    lines = list(read_lines(path, "write one search a line into it"))
    folders = data.iterdir() if data is not None and data.is_dir() else ()
    taken = {*(_cut(line)[1] for _, line in lines), *(folder.name for folder in folders)}
    searches = list(dict.fromkeys(_search(line, where, taken) for where, line in lines))
    if not searches:
        raise UserError(f"{path}: names nobody; write one search a line, such as a name")
    labels.check_distinct(search.label for search in searches)
    return searches


def _search(line: str, where: str, taken: Collection[str]) -> Search:
    """The search and the label of a line without spaces around it."""
    if "\0" in line:
        raise UserError(f"{where}: has zero bytes, maybe UTF-16; save the file as UTF-8")
    if "\ufffd" in line:
        raise UserError(
            f"{where}: has broken letters ({line!r}), lost when the file was saved; "
            "write the name anew and save the file as UTF-8"
        )
    text, label, cut = _cut(line)
    if not text or line.startswith("= "):
        raise UserError(f"{where}: {line!r} lacks the search; write `search = label`")
    if not label:
        raise UserError(f"{where}: {line!r} lacks the label; write `search = label`")
    if not cut and "=" in line:
        raise UserError(
            f"{where}: {line!r} may be a search or `search = label`; for the latter put spaces "
            f"around the =, for the former write `{line} = label`"
        )
    # Of two people a proposal must not make one: it is no label that is there already.
    if problem := labels.folder_problem(label):
        raise UserError(
            f"{where}: the label {_short(label)!r} {problem}; write "
            f"`{_short(text)} = {labels.other_label(label, taken)}`"
        )
    return Search(text, label)


def _cut(line: str) -> tuple[str, str, bool]:
    """Search and label of a line, and whether a = parts them."""
    cuts = [match.start() for match in _EQUALS.finditer(line)]
    if not cuts:
        return line, line, False
    return line[: cuts[-1]].strip(), line[cuts[-1] + 2 :].strip(), True


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
