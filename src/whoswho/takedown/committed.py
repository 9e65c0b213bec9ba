"""What Git's commits have of pictures: rows of tables, and objects of a remote inside Git."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from pathlib import Path

from whoswho import git, paths
from whoswho.wording import plural

# Git is told by their names what it takes out of every commit.
TO_STRIP = Path(".whoswho/git_blobs")
_KEYWORDS = "keywords.txt"
_TEXTS = re.compile(r"reports/[^/]+|review\.csv|" + re.escape(_KEYWORDS))
_OBJECTS = re.compile(r"(?:.*/)?files/md5/([0-9a-f]{2})/([0-9a-f]{30}(?:\.dir)?)")


def blobs(workspace: Path, words: Iterable[str], objects: Set[str]) -> dict[str, str]:
    """Git's names of the contents in any commit that hold one of `words` or are a DVC object of
    one of these names, each with its path. What keywords.txt is now stays a person's own matter.
    """
    forms = {unicodedata.normalize(form, word) for word in words for form in ("NFC", "NFD")}
    anywhere = "|".join(map(re.escape, sorted(forms)))
    pattern = re.compile(rf"(?<!\w)(?:{anywhere})(?!\w)") if forms else None
    present = git.answer(workspace, "hash-object", _KEYWORDS)
    texts = git.blobs(workspace, _TEXTS)
    texts.pop(present or "", None)
    contents = git.contents(workspace, texts) if pattern else []
    found = {
        name: path
        for (name, path), content in zip(texts.items(), contents, strict=False)
        if pattern and pattern.search(content.decode(errors="replace"))
    }
    for name, path in git.blobs(workspace, _OBJECTS).items():
        match = _OBJECTS.fullmatch(path)
        if match and "".join(match.groups()) in objects:
            found[name] = path
    return found


def lines(found: Mapping[str, str]) -> list[str]:
    """What to say of them: a line a path."""
    kept = sorted({path for path in found.values() if not _OBJECTS.fullmatch(path)})
    states = Counter(found.values())
    said = [f"Git's history: {path}, {plural(states[path], 'state')} of it" for path in kept]
    if objects := [path for path in found.values() if _OBJECTS.fullmatch(path)]:
        said.append(f"Git's history: {plural(len(objects), 'object')} of a DVC remote inside Git")
    return said


def stripping(workspace: Path, found: Mapping[str, str]) -> list[str]:
    """The commands that take them out of every commit; their names are written where Git reads."""
    if not found:
        return []
    paths.write_text(workspace / TO_STRIP, "".join(f"{name}\n" for name in sorted(found)))
    steps = [
        "pip install git-filter-repo",
        f"git filter-repo --force --strip-blobs-with-ids {TO_STRIP}   # after the commit",
    ]
    if origin := git.answer(workspace, "remote", "get-url", "origin"):
        # It removes the remote, so that nobody pushes unawares.
        steps.append(f"git remote add origin {origin}")
        steps.append("git push --force --all && git push --force --tags   # all clone anew")
    return steps
