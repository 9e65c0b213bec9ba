"""The house stays in order: no module grows too long, no test leans on another."""

from __future__ import annotations

import re

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
