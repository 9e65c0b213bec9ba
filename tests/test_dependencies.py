"""What is depended on: declared, explained, with a licence that is allowed, and installable."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from support.repository import REPOSITORY

from bench import audit, licences

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DOCUMENT = (REPOSITORY / "docs" / "dependencies.md").read_text(encoding="utf-8")


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    return {plain(re.match(r"[\w.-]+", text)[0]) for text in requirements}  # type: ignore[index]


def listed(heading: str, column: int) -> list[set[str]]:
    """The names in a column of the table that follows a heading, a set a row."""
    table = DOCUMENT.partition(heading)[2].lstrip().partition("\n\n")[0]
    rows = [row.split("|") for row in table.splitlines()[2:]]
    assert rows
    return [set(re.findall(r"`([^`]+)`", row[column])) for row in rows]


def test_every_dependency_is_explained_and_every_explained_one_is_asked_for() -> None:
    explained = [name for row in listed("## Each one", 1) for name in row]
    assert sorted(explained) == sorted(names(PROJECT["dependencies"]))
    extras = PROJECT["optional-dependencies"]
    rows = zip(listed("\nExtras:", 1), listed("\nExtras:", 2), strict=True)
    of_extras = {extra: packages for (extra,), packages in rows}
    assert of_extras == {
        extra: names(requirements) - {"whoswho"} for extra, requirements in extras.items()
    }


def test_what_the_code_imports_is_asked_for() -> None:
    extras = PROJECT["optional-dependencies"]
    required = names(PROJECT["dependencies"] + extras["export"] + extras["cluster"])
    owners = metadata.packages_distributions()
    for file in (REPOSITORY / "src").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
        whole = {a.name for node in nodes if isinstance(node, ast.Import) for a in node.names}
        parts = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
        for top in {name.partition(".")[0] for name in whole | parts}:
            if top in sys.stdlib_module_names or top in ("whoswho", "_typeshed"):
                continue
            # dlib-bin declares another module than it brings.
            brings = {plain(name) for name in owners.get(top, ())} | {f"{top}-bin"}
            assert brings & required, f"{file}: {top}"


def test_every_version_is_pinned() -> None:
    pinned = names((REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()[1:])
    extras = PROJECT["optional-dependencies"]
    required = names(
        [*PROJECT["dependencies"], *(name for part in extras.values() for name in part)]
    )
    assert required - pinned - {"whoswho"} == set()


def test_every_licence_installed_is_allowed() -> None:
    assert list(licences.refused(metadata.distributions(), DOCUMENT)) == []


@pytest.mark.parametrize(
    ("stated", "is_allowed"),
    [
        ("License-Expression: MIT", True),
        ("License-Expression: EPL-2.0 OR GPL-2.0-or-later", True),
        ("License-Expression: MIT AND GPL-3.0-only", False),
        ("License-Expression: AGPL-3.0-only", False),
        ("License: GPLv3", False),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: BSD License", True),
        ("Classifier: License :: Other/Proprietary License", False),
        ("", False),
    ],
)
def test_a_licence_is_told_from_what_a_package_states(
    tmp_path: Path, stated: str, is_allowed: bool
) -> None:
    folder = tmp_path / "thing-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: thing\nVersion: 1\n{stated}\n")
    refused = list(licences.refused(metadata.distributions(path=[str(tmp_path)]), DOCUMENT))
    assert bool(refused) != is_allowed


def test_a_licence_is_read_where_none_is_stated(tmp_path: Path) -> None:
    folder = tmp_path / "thing-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1\n")
    granted = "Permission is hereby granted, free\nof charge, to any person"
    (folder / "LICENSE").write_text(f"Copyright 1999 Somebody\n\n{granted}")
    (folder / "RECORD").write_text("thing-1.dist-info/LICENSE,,\nthing-1.dist-info/METADATA,,\n")
    (distribution,) = metadata.distributions(path=[str(tmp_path)])
    assert licences.offered(distribution) == [{"MIT"}]


def told(*dependencies: dict[str, Any]) -> str:
    """A program that prints what pip-audit does of these."""
    return f"import json; print(json.dumps({{'dependencies': {list(dependencies)!r}}}))"


SOUND = {"name": "a", "version": "1", "vulns": []}
HOLED = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3", "4"]}]}
UNKNOWN = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("program", "lines"),
    [
        (told(SOUND), ["1 versions audited: no known hole; 0 unknown to the service"]),
        (
            told(SOUND, HOLED, UNKNOWN) + "; raise SystemExit('Found 1 known vulnerability')",
            ["b 2: CVE-1, mended in 3, 4",
             "2 versions audited: 1 known holes; 1 unknown to the service"],
        ),
        (told(UNKNOWN), ["not audited: the service knows none of 1 packages"]),
        ("raise OSError('no route to host')", ["not audited: OSError: no route to host"]),
        ("import time; time.sleep(60)", ["not audited: no answer within 0.5 s"]),
        ("raise SystemExit(3)", ["not audited: pip-audit ended in code 3"]),
    ],
)  # fmt: skip
def test_what_cannot_be_audited_is_said_and_ends_nothing(program: str, lines: list[str]) -> None:
    within = 0.5 if "sleep" in program else 60
    assert audit.report([sys.executable, "-c", program], within) == lines


def wheel(folder: Path, version: str) -> None:
    folder.mkdir()
    about = f"torch-{version}.dist-info"
    with zipfile.ZipFile(folder / f"torch-{version}-py3-none-any.whl", "w") as file:
        for name, lines in {
            "METADATA": ("Metadata-Version: 2.1", "Name: torch", f"Version: {version}"),
            "WHEEL": ("Wheel-Version: 1.0", "Root-Is-Purelib: true", "Tag: py3-none-any"),
            "RECORD": (),
        }.items():
            file.writestr(f"{about}/{name}", "".join(f"{line}\n" for line in lines))


def test_pip_takes_the_build_without_gpu_packages_where_an_index_offers_it(tmp_path: Path) -> None:
    """As docs/dependencies.md says: an index more, and the constraint stays as it is."""
    pinned = re.search(r"^torch==(\S+)$", (REPOSITORY / "constraints.txt").read_text(), re.M)
    assert pinned is not None
    for index, version in (("common", pinned[1]), ("processor", f"{pinned[1]}+cpu")):
        wheel(tmp_path / index, version)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--isolated", "install", "--dry-run", "--ignore-installed",
         "--no-index", "--find-links", tmp_path / "common", "--find-links", tmp_path / "processor",
         "-c", REPOSITORY / "constraints.txt", "torch>=2.9"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert f"Would install torch-{pinned[1]}+cpu" in done.stdout, done.stderr
