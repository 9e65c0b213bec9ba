"""What differs between Linux, macOS and Windows, tried on whichever this is."""

from __future__ import annotations

import ast
import multiprocessing
import pickle
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from functools import partial
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from support.repository import REPOSITORY

from whoswho import labels
from whoswho.cleaning import checks
from whoswho.crawl import keywords
from whoswho.errors import UserError
from whoswho.workers.pool import process_pool

# What Windows' Python lacks.
MODULES = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty")
NAMES = {
    "os": (
        "fork", "getpgid", "geteuid", "getuid", "killpg", "mkfifo", "sched_getaffinity", "setsid",
        "statvfs", "uname", "wait4",
    ),
    "signal": ("SIGALRM", "SIGHUP", "SIGKILL", "SIGUSR1", "alarm", "pthread_sigmask"),
    "select": ("poll",),
}  # fmt: skip
# All our modules are imported, which brings the libraries; then ours again, without those names.
WITHOUT = """
import importlib, json, pkgutil, sys
import whoswho
modules, names = json.loads(sys.argv[1])
ours = [each.name for each in pkgutil.walk_packages(whoswho.__path__, "whoswho.")]
# Programs of their own, which run.
ours = [name for name in ours if not name.endswith(("__main__", "onnx_example"))]
for name in ours:
    importlib.import_module(name)
for name in [name for name in sys.modules if name.partition(".")[0] == "whoswho"]:
    del sys.modules[name]
for name in modules:
    sys.modules[name] = None
for module, attributes in names.items():
    for attribute in attributes:
        delattr(sys.modules[module], attribute)
for name in ours:
    importlib.import_module(name)
print(len(ours))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the names are absent there in any case")
def test_every_module_is_imported_without_what_windows_lacks() -> None:
    import json

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, json.dumps([MODULES, NAMES])],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 150


def outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a module is imported: all but the bodies of its functions."""
    for field, value in ast.iter_fields(node):
        if field == "body" and isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        ):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child
                yield from outside_functions(child)


def windows_lacks(text: str) -> set[str]:
    """What a module uses while it is imported that Windows lacks."""
    lacking: set[str] = set()
    for node in outside_functions(ast.parse(text)):
        if isinstance(node, ast.Import):
            lacking |= {alias.name for alias in node.names} & set(MODULES)
        elif isinstance(node, ast.ImportFrom):
            lacking |= {node.module} & set(MODULES)  # type: ignore[arg-type]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            lacking |= {node.attr} & set(NAMES.get(node.value.id, ()))
    return lacking


def test_tests_can_be_collected_on_windows() -> None:
    assert windows_lacks("import os, pty\n@mark(os.killpg)\ndef f(x=os.uname()): os.fork()") == {
        "pty", "killpg", "uname",
    }  # fmt: skip
    files = [*(REPOSITORY / "tests").rglob("*.py"), *(REPOSITORY / "bench").glob("*.py")]
    lacking = {file.name: windows_lacks(file.read_text(encoding="utf-8")) for file in files}
    assert {name: what for name, what in lacking.items() if what} == {}


def squared(number: int) -> int:
    return number * number


def own_kind() -> type:
    return type(multiprocessing.current_process())


def test_processes_are_started_afresh_and_what_is_sent_to_them_can_be() -> None:
    """fork, which macOS and Windows do without, is nowhere asked for."""
    source = "".join(path.read_text("utf-8") for path in (REPOSITORY / "src").rglob("*.py"))
    assert not re.findall(r"get_context|set_start_method|os\.fork|Fork\w*Context", source)
    with process_pool(1) as processes:
        assert issubclass(processes.submit(own_kind).result(), SpawnProcess)
        assert list(processes.map(partial(squared), [2, 3])) == [4, 9]


def test_the_pictures_of_a_split_can_be_sent_to_a_process() -> None:
    from whoswho.artifacts.split import Example
    from whoswho.backbone.loading.loader import Pictures

    example = Example("a.jpg", "0" * 64, "g", 0, Path("a.webp"))
    sent = pickle.loads(pickle.dumps(Pictures([example])))
    assert sent.examples == [example]


def test_a_stage_runs_below_a_path_with_spaces_and_hangul(tmp_path: Path) -> None:
    """Spawned processes, relative paths and Git see it too."""
    from support.pictures import blocks

    root = tmp_path / "내 사진 (새 폴더) #1 100%"
    for label in ("장원영", "O'Neil & Co"):
        (root / "data" / label).mkdir(parents=True)
        for number in range(9):  # more than are opened in one process
            blocks(len(label) * 100 + number).save(root / "data" / label / f"사진 {number}.png")
    for name in ("params.yaml", "review.csv", "dvc.yaml"):
        (root / name).write_bytes((REPOSITORY / name).read_bytes())
    from bench.workspace import set_params

    set_params(root, clean={"faces": "any"}, picture={"size": 64})
    for stage in ("clean", "preprocess"):
        done = subprocess.run(
            [sys.executable, REPOSITORY / "src" / "stage.py", stage],
            cwd=root, capture_output=True, text=True, encoding="utf-8", check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{stage}: 18")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("CON", "is the name of a device on Windows"),
        ("nul", "is the name of a device on Windows"),
        ("aux.jpg", "is the name of a device on Windows"),
        ("Com1.people", "is the name of a device on Windows"),
        ("Jr.", "which Windows cuts off"),
        ("Mina ", "which Windows cuts off"),
        ("Who?", "which Windows refuses"),
        ("AC:DC", "which Windows refuses"),
    ],
)
def test_a_label_that_windows_cannot_hold(tmp_path: Path, name: str, says: str) -> None:
    """Asked for it is refused, with another; found in data/ it is named, and stays usable."""
    list_of_names = tmp_path / "keywords.txt"
    list_of_names.write_text(
        f"someone = {name}|\n" if name.endswith(" ") else f"someone = {name}\n"
    )
    if name == name.strip():  # a list of names ends lines where their letters end
        with pytest.raises(UserError, match=re.escape(says)):
            keywords.read(list_of_names)
    other = labels.other_label(name, set())
    assert labels.folder_problem(other) == ""
    if sys.platform == "win32":
        return
    for label in (name, "Other"):
        (tmp_path / "data" / label).mkdir(parents=True)
        (tmp_path / "data" / label / "a.jpg").touch()
    assert f"warning: the folder {name!r} " in checks.survey(tmp_path / "data")
    assert says in checks.survey(tmp_path / "data")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Kim", "KIM"),
        ("straße", "STRASSE"),
        ("가나", unicodedata.normalize("NFD", "가나")),
        ("É", unicodedata.normalize("NFD", "é")),
    ],
)
def test_labels_that_are_one_folder_on_another_system(
    tmp_path: Path, first: str, second: str
) -> None:
    for label in (first, second):
        (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / label / "a.jpg").touch()
    if len(list((tmp_path / "data").iterdir())) < 2:
        pytest.skip("one folder here: this system tells the names not apart")
    with pytest.raises(UserError, match="differ only in case or Unicode form"):
        checks.survey(tmp_path / "data")


def test_a_label_is_met_in_the_form_in_which_its_folder_lies(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "한가상")
    (tmp_path / decomposed).mkdir()
    assert labels.from_folder(decomposed) == "한가상"
    assert labels.folder_of(tmp_path, "한가상").samefile(tmp_path / decomposed)


def test_the_workflow_runs_the_fast_tests_on_three_systems() -> None:
    path = REPOSITORY / ".github" / "workflows" / "tests.yml"
    workflow = YAML(typ="safe").load(path)
    assert {"push", "pull_request"} <= set(workflow["on"])
    (job,) = workflow["jobs"].values()
    systems = job["strategy"]["matrix"]["os"]
    assert {each.partition("-")[0] for each in systems} == {"ubuntu", "macos", "windows"}
    assert job["runs-on"] == "${{ matrix.os }}"
    assert job["timeout-minutes"] <= 60
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands[-1] == 'pytest -m "not slow"'
    assert any('pip install -c constraints.txt -e ".[dev]"' in command for command in commands)
    assert "://" not in path.read_text(encoding="utf-8")
    assert all(
        re.fullmatch(r"[\w/-]+@v\d+", step["uses"]) for step in job["steps"] if "uses" in step
    )
    contributing = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "tests.yml" in contributing
    assert "unproven" in contributing
