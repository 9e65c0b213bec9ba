"""What Git's commits have of pictures: rows of tables, and objects of a remote inside Git."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path

from whoswho import git, paths
from whoswho.wording import plural

# Git is told by their names what it takes out of every commit.
TO_STRIP = Path(".whoswho/git_blobs")
KEYWORDS = Path("keywords.txt")
_TEXTS = re.compile(r"reports/[^/]+|review\.csv|" + re.escape(KEYWORDS.name))
_OBJECTS = re.compile(r"(?:.*/)?files/md5/([0-9a-f]{2})/([0-9a-f]{30}(?:\.dir)?)")


@dataclass(frozen=True)
class Committed:
    """What commits hold.

    Attributes:
        paths: by Git's name of a content.
        unread: Git did not answer, or not about all.
    """

    paths: Mapping[str, str] = field(default_factory=dict)
    unread: bool = False


def find(
    workspace: Path, words: Set[str], longer: Iterable[str], objects: Set[str], own: Iterable[Path]
) -> Committed:
    """The contents in any commit that hold one of `words` or are a DVC object of one of these
    names.

    Args:
        longer: words that stay and may have one of `words` in them, as labels do; there it does
            not count.
        own: files whose present content is left to whoever wrote it.
    """
    texts = git.blobs(workspace, _TEXTS)
    stored = git.blobs(workspace, _OBJECTS)
    if texts is None or stored is None:
        return Committed(unread=True)
    lacking = "" in texts.values()
    texts = {name: path for name, path in texts.items() if path}
    for file in own:
        texts.pop(git.answer(workspace, "hash-object", file.as_posix()) or "", None)
    forms = _forms(words)
    longest_first = sorted(forms | _forms(longer), key=len, reverse=True)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
    contents = git.contents(workspace, texts)
    held = {
        name: texts[name]
        for name, content in contents.items()
        if any(match[0] in forms for match in pattern.finditer(content.decode(errors="replace")))
    }
    for name, path in stored.items():
        match = _OBJECTS.fullmatch(path)
        if match and "".join(match.groups()) in objects:
            held[name] = path
    return Committed(held, unread=lacking or contents.keys() != texts.keys())


def _forms(words: Iterable[str]) -> set[str]:
    return {unicodedata.normalize(form, word) for word in words for form in ("NFC", "NFD")}


def lines(committed: Committed) -> list[str]:
    """What to say of them: a line a path."""
    path_of = committed.paths
    kept = sorted({path for path in path_of.values() if not _OBJECTS.fullmatch(path)})
    states = Counter(path_of.values())
    output = [f"Git's history: {path}, {plural(states[path], 'state')} of it" for path in kept]
    if objects := [path for path in path_of.values() if _OBJECTS.fullmatch(path)]:
        output.append(
            f"Git's history: {plural(len(objects), 'object')} of a DVC remote inside Git"
        )
    if committed.unread:
        output.append("Git's history: perhaps; Git did not give all of it (`git fsck` says why)")
    return output


def stripping(workspace: Path, committed: Committed) -> list[str]:
    """The commands that take them out of every commit; their names are written where Git reads."""
    if not committed.paths:
        return []
    names = "".join(f"{name}\n" for name in sorted(committed.paths))
    paths.write_text(workspace / TO_STRIP, names)
    steps = [
        "pip install git-filter-repo",
        f"git filter-repo --force --strip-blobs-with-ids {TO_STRIP}   # after the commit",
    ]
    if origin := git.answer(workspace, "remote", "get-url", "origin"):
        # It removes the remote, so that nobody pushes unawares.
        steps.append(f"git remote add origin {shlex.quote(origin)}")
        steps.append("git push --force --all && git push --force --tags   # all clone anew")
    return steps
