"""`python -m bench.lines [FOLDER]`: how much code there is, and where it has grown too dense.

Lines of src/ without blanks, comments and docstrings; templates, styles and scripts are counted
too (there only blank lines are left out). `tests/test_house.py` holds the limits.
"""

from __future__ import annotations

import argparse
import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

from bench.workspace import REPOSITORY

MOST_LINES_OF_A_FUNCTION = 60
MOST_LINES_OF_A_MODULE = 350
MOST_LINES_OF_DVC_YAML = 190
OTHER = {".js", ".css", ".html", ".md", ".j2", ".yaml"}


def sources(folder: Path) -> list[Path]:
    """The Python modules, templates, styles, scripts and data tables of src/, sorted."""
    return sorted(
        path
        for path in (folder / "src").rglob("*")
        if path.suffix in {".py", *OTHER} and "egg-info" not in str(path)
    )


def code_lines(path: Path) -> int:
    """Lines of a file that hold code; of what is not Python, every line that is not blank."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return sum(bool(line.strip()) for line in text.splitlines())
    held: set[int] = set()
    passed_over = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in {*passed_over, tokenize.DEDENT, tokenize.ENDMARKER}:
            held.update(range(token.start[0], token.end[0] + 1))
    for node in _documented(ast.parse(text)):
        docstring = node.body[0]
        held -= set(range(docstring.lineno, (docstring.end_lineno or docstring.lineno) + 1))
    return len(held)


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Name and length in lines of every function of a module, decorators left out."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def skipped(path: Path) -> int:
    """How often a module asks the formatter to leave its lines alone."""
    return path.read_text(encoding="utf-8").count("# fmt: skip")


def too_long(folder: Path) -> list[str]:
    """Every function, module and pipeline file beyond the limits, a line each."""
    beyond = []
    for path in sources(folder):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".py":
            length = len(path.read_text(encoding="utf-8").splitlines())
            if length > MOST_LINES_OF_A_MODULE:
                beyond.append(f"{name}: {length} lines")
            beyond += [
                f"{name}: {function}: {lines} lines"
                for function, lines in functions(path)
                if lines > MOST_LINES_OF_A_FUNCTION
            ]
    pipeline = len((folder / "dvc.yaml").read_text(encoding="utf-8").splitlines())
    if pipeline > MOST_LINES_OF_DVC_YAML:
        beyond.append(f"dvc.yaml: {pipeline} lines")
    return beyond


def _documented(tree: ast.AST) -> Iterator[ast.Module | ast.ClassDef | ast.FunctionDef]:
    for node in ast.walk(tree):
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, kinds) and ast.get_docstring(node, clean=False) is not None:
            yield node  # type: ignore[misc]


def main() -> None:
    """Print the figures of a checkout."""
    parser = argparse.ArgumentParser(prog="python -m bench.lines", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=REPOSITORY)
    folder = parser.parse_args().folder
    counts = {path: code_lines(path) for path in sources(folder)}
    rooms: dict[str, int] = {}
    for path, lines in counts.items():
        below = (
            path.relative_to(folder / "src" / "whoswho").parts if "whoswho" in str(path) else ()
        )
        room = below[0] if len(below) > 1 else "ground floor"
        rooms[room] = rooms.get(room, 0) + lines
    print(f"lines of code: {sum(counts.values())}")
    for room, lines in sorted(rooms.items(), key=lambda item: -item[1]):
        print(f"  {room}: {lines}")
    python = [path for path in counts if path.suffix == ".py"]
    print(f"fmt: skip: {sum(map(skipped, python))}")
    print(f"longest function: {max(lines for path in python for _, lines in functions(path))}")
    print(f"longest module: {max(len(p.read_text('utf-8').splitlines()) for p in python)}")
    print(f"dvc.yaml: {len((folder / 'dvc.yaml').read_text('utf-8').splitlines())}")
    for line in too_long(folder):
        print(f"beyond the limit: {line}")


if __name__ == "__main__":
    main()
