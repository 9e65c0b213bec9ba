"""`python -m bench.licences`: the licence of everything installed, and what may not be.

docs/dependencies.md says what is allowed, and which packages are by name.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from importlib import metadata

from bench.workspace import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "dependencies.md"
# What people write for a licence, here or in its text -> what the document calls it.
_WRITTEN = {
    r"\bMIT\b|Permission is hereby granted, free of charge": "MIT",
    r"BSD\b|Redistribution and use in source and binary": "BSD",
    r"Apache": "Apache-2.0",
    r"\bISC\b": "ISC",
    r"PSF|Python Software Foundation": "PSF-2.0",
    r"MPL|Mozilla": "MPL-2.0",
    r"LGPL|Lesser General": "LGPL",
    r"(?<!L)GPL|GNU General Public": "GPL",
    r"\bEPL|Eclipse": "EPL",
    r"BSL|Boost": "BSL-1.0",
    r"ZPL|Zope": "ZPL-2.1",
    r"OFL|Open Font": "OFL-1.1",
    r"CC0": "CC0-1.0",
    r"\bZlib": "Zlib",
    r"NVIDIA|Proprietary": "proprietary",
}
_BEGINNING = 600  # letters of a licence's text that say which it is


def written(text: str) -> set[str]:
    """The licences that a text names."""
    return {name for pattern, name in _WRITTEN.items() if re.search(pattern, text)}


def offered(distribution: metadata.Distribution) -> list[set[str]]:
    """The licences that it can be had under, each a set that holds as a whole; none known: []."""
    about = distribution.metadata
    classifiers = [c for c in about.get_all("Classifier") or () if c.startswith("License")]
    first = (about.get("License") or "").strip().partition("\n")[0]
    for stated in (about.get("License-Expression"), first, " AND ".join(classifiers)):
        choices = [written(choice) for choice in re.split(r" OR |\|", stated or "")]
        if any(choices):
            return [choice for choice in choices if choice]
    texts = [file for file in distribution.files or () if "LICEN" in file.name.upper()]
    inside = [file for file in texts if ".dist-info" in file.parts[0]]
    return [names for file in inside if (names := written(_beginning(file)))][:1]


def _beginning(file: metadata.PackagePath) -> str:
    return " ".join(file.read_text(encoding="utf-8").split())[:_BEGINNING]


def allowed(document: str) -> tuple[set[str], list[str]]:
    """The licences, and the patterns of packages, that a document allows."""
    section = document.partition("\n## Licences\n")[2].partition("\n## ")[0]
    general = re.search(r"Allowed:\n?(.*?)\. ", section, re.S)
    assert general is not None, "the document names no allowed licence"
    named = re.findall(r"^\| `([^`]+)` \|", section, re.M)
    return set(re.findall(r"`([^`]+)`", general[1])), named


def refused(
    distributions: Iterable[metadata.Distribution], document: str
) -> Iterator[tuple[str, str]]:
    """Name and licence of each that the document does not allow."""
    licences, named = allowed(document)
    for distribution in distributions:
        choices = offered(distribution)
        by_name = any(fnmatch(distribution.name, pattern) for pattern in named)
        if not by_name and not any(choice <= licences for choice in choices):
            yield distribution.name, _shown(choices)


def _shown(choices: Iterable[set[str]]) -> str:
    return " or ".join(" and ".join(sorted(choice)) for choice in choices) or "states none"


def main() -> None:
    """Print licence: packages; end in code 1 where one is refused."""
    by_licence: dict[str, list[str]] = defaultdict(list)
    distributions = sorted(metadata.distributions(), key=lambda each: each.name.lower())
    for distribution in distributions:
        by_licence[_shown(offered(distribution))].append(distribution.name)
    for licence, names in sorted(by_licence.items(), key=lambda item: -len(item[1])):
        print(f"{licence} ({len(names)}): {', '.join(names)}")
    lines = [
        f"bench.licences: {name}: {licence}: not on the lists of docs/dependencies.md"
        for name, licence in refused(distributions, DOCUMENT.read_text(encoding="utf-8"))
    ]
    if lines:
        sys.exit("\n".join(lines))


if __name__ == "__main__":
    main()
