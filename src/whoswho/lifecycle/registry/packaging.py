"""The code that a registered version carries: what inference needs, under a name of its own.

Two versions loaded in one process would share their modules under one name: the first one loaded
would answer for both.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from whoswho import paths

SOURCE = Path(__file__).parents[2]
ENTRY = "inference/registered_model.py"  # what MLflow runs where a version is loaded
_TOP = re.compile(r"^(\w+)(?:/__init__\.py|\.py|\.[\w.-]+\.so|\.pyd),", re.MULTILINE)
_IMPORT = re.compile(rf"^(\s*(?:from|import)\s+){SOURCE.name}\b", re.MULTILINE)


@dataclass(frozen=True)
class CarriedCode:
    """A package that answers pictures with nothing else of this repository.

    Attributes:
        folder: the package; its name is made from the digest of its code and of the model.
        requirements: the distributions it imports, each pinned to the installed version.
    """

    folder: Path
    requirements: tuple[str, ...]


@contextmanager
def carried_code(scratch: Path, model_digest: str, source: Path = SOURCE) -> Iterator[CarriedCode]:
    """Write the package into `scratch`; inside the block it can be imported."""
    modules, requirements = _closure(source, source / ENTRY)
    texts = {path.relative_to(source).as_posix(): path.read_text("utf-8") for path in modules}
    digest = paths.digest(model_digest, *(part for item in sorted(texts.items()) for part in item))
    name = f"{source.name}_{digest[:16]}"
    for path, text in texts.items():
        carried = _IMPORT.sub(rf"\g<1>{name}", text)
        assert not any(f"{i}.".startswith(f"{source.name}.") for i in _imports(carried))
        paths.write_text(scratch / name / path, carried)
    sys.path.insert(0, str(scratch))
    try:
        yield CarriedCode(scratch / name, tuple(map(_pinned, sorted(requirements))))
    finally:
        sys.path.remove(str(scratch))
        for module in [m for m in sys.modules if m.partition(".")[0] == name]:
            del sys.modules[module]


def _closure(source: Path, entry: Path) -> tuple[set[Path], set[str]]:
    """The package's modules that a module reaches through imports, and distributions they need."""
    distributions = _distributions()
    modules: set[Path] = set()
    requirements: set[str] = set()
    remaining = [entry]
    while remaining:
        path = remaining.pop()
        if path in modules:
            continue
        modules.add(path)
        for name in _imports(path.read_text("utf-8")):
            top, *below = name.split(".")
            if top == source.name:
                remaining += _files(source, below)
            elif top not in sys.stdlib_module_names:
                owners = distributions.get(top, set())  # optional where there is none
                # mlflow's parts, distributions too, bring modules of that name along.
                requirements.update({top} if top in owners else owners)
    return modules, requirements


@functools.cache
def _distributions() -> dict[str, set[str]]:
    """The installed distributions that bring each top-level module.

    metadata.packages_distributions() trusts top_level.txt, where dlib-bin declares another module
    than its own, and looks for every file on the disk where there is none (a second and more).
    """
    owners: dict[str, set[str]] = defaultdict(set)
    for distribution in metadata.distributions():
        declared = (distribution.read_text("top_level.txt") or "").split()
        for top in declared + _TOP.findall(distribution.read_text("RECORD") or ""):
            owners[top].add(distribution.name)
    return owners


@functools.cache
def _imports(code: str) -> tuple[str, ...]:
    """The dotted names that are imported when the code runs, in functions too."""
    return tuple(_imported(ast.parse(code)))


def _imported(node: ast.AST) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom) and child.module:
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        else:
            yield from _imported(child)


def _files(source: Path, names: list[str]) -> list[Path]:
    """The modules that importing `names` below the package runs; the last may be no module."""
    folders = [source.joinpath(*names[:depth]) for depth in range(len(names) + 1)]
    modules = [folder / "__init__.py" for folder in folders]
    modules += [folder.with_suffix(".py") for folder in folders[1:]]
    return [path for path in modules if path.is_file()]


def _pinned(distribution: str) -> str:
    """The installed version, as pip takes it from an index: "+cpu" is on none."""
    return f"{distribution}=={metadata.version(distribution).partition('+')[0]}"
