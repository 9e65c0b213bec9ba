"""The house stays in order: no module grows too long, no test leans on another."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.repository import REPOSITORY

from bench import lines


def test_no_function_module_or_pipeline_file_is_too_long() -> None:
    assert lines.too_long(REPOSITORY) == []


def test_lines_of_code_leave_out_blanks_comments_and_docstrings(tmp_path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        '"""Says\nwhat."""\n\nimport os  # why\n\n# A comment.\n\n\n'
        'def f(\n    a,\n):\n    """What."""\n    return """\n\n    text"""\n'
    )
    assert lines.code_lines(module) == 1 + 3 + 3
    page = tmp_path / "page.html"
    page.write_text("<p>\n\n</p>\n")
    assert lines.code_lines(page) == 2


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "tests").glob("test_*.py")), ids=lambda path: path.stem
)
def test_no_test_module_imports_from_another(path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"^\s*(from|import) (test_|conftest)", text, re.M)


def test_the_workflow_runs_what_ci_runs() -> None:
    workflow = (REPOSITORY / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert "bash .ci/run" in workflow
    assert "://" not in workflow


def bound(tree: ast.AST) -> Iterator[str]:
    """The names that a module gives: of variables, arguments, functions, classes and fields."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


@pytest.mark.parametrize("folder", ["src", "bench", "tests"])
def test_names_say_what_a_thing_is(folder: str) -> None:
    """Not that it was found or asked for."""
    vague = {"asked", "found", "one", "said"}
    assert [
        f"{path.relative_to(REPOSITORY)}: {name}"
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        for name in bound(ast.parse(path.read_text(encoding="utf-8")))
        if name.strip("_").lower() in vague
    ] == []


def test_no_two_classes_have_one_name() -> None:
    def classes(path: Path) -> Iterator[str]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name

    counts = Counter(name for path in (REPOSITORY / "src").rglob("*.py") for name in classes(path))
    assert [name for name, count in counts.items() if count > 1] == []
