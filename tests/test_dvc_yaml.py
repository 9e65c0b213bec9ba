"""dvc.yaml lists what each stage really uses: its modules, its params sections."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from support.repository import REPOSITORY

from whoswho.params import Params

SOURCE = REPOSITORY / "src"
# What every stage stands on; a change there is a change of the language, not of a stage.
GROUND_FLOOR = {
    "arches",
    "params",
    "trained_with",
    "paths",
    "errors",
    "tables",
    "labels",
    "wording",
    "timeouts",
    "data_urls",
    "git",
    "listening",
    "workers",
}
PIPELINE = YAML(typ="safe").load((REPOSITORY / "dvc.yaml").read_text())
STAGES = list(PIPELINE["stages"])


def module_file(name: str) -> Path | None:
    path = SOURCE / Path(*name.split("."))
    if path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    init = path / "__init__.py"
    return init if init.is_file() else None


def imports(file: Path) -> set[Path]:
    """The project's modules that `file` names in an import, at the top or inside a function."""
    modules: set[Path] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".") if name.split(".")[0] == "whoswho" else []
            # Importing a module runs the packages above it first.
            above = [".".join(parts[:end]) for end in range(2, len(parts) + 1)]
            modules.update(path for path in map(module_file, above) if path)
    return modules


def reached(files: Iterable[Path]) -> set[Path]:
    """The modules that importing `files` brings along, these included."""
    modules, todo = set(), list(files)
    while todo:
        file = todo.pop()
        if file not in modules:
            modules.add(file)
            todo.extend(imports(file))
    return modules


def room(path: Path) -> str:
    """The folder of the package that a module lies in; its own name where it lies in none."""
    return path.relative_to(SOURCE / "whoswho").parts[0].removesuffix(".py")


def closure(stage: str) -> set[str]:
    return {
        path.relative_to(REPOSITORY).as_posix()
        for path in reached([SOURCE / "whoswho" / "stages" / f"{stage}.py"])
        if room(path) not in GROUND_FLOOR
        and not (path.name == "__init__.py" and "import" not in path.read_text(encoding="utf-8"))
    }


def expected_deps(stage: str) -> list[str]:
    """The modules a stage uses as dvc.yaml lists them: a folder where it uses all of it."""
    used = closure(stage)
    listed = set()
    for module in used:
        folder = module.rpartition("/")[0]
        beside = {
            path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / folder).rglob("*.py")
        }
        whole = {path for path in beside if not path.endswith("__init__.py")} <= used
        listed.add(folder if whole and len(beside) > 2 else module)
    return sorted(
        path for path in listed if not any(path.startswith(f"{folder}/") for folder in listed)
    )


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lists_the_modules_it_uses(stage: str) -> None:
    listed = [dep for dep in PIPELINE["stages"][stage]["deps"] if dep.startswith("src/")]
    expected = expected_deps(stage)
    lines = "\n".join(f"      - {dep}" for dep in expected)
    assert listed == expected, f"dvc.yaml should list under {stage}:\n{lines}"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_reads_only_the_params_it_lists(stage: str) -> None:
    listed = set(PIPELINE["stages"][stage].get("params", []))
    script = (SOURCE / "whoswho" / "stages" / f"{stage}.py").read_text(encoding="utf-8")
    code = script.split('"""', 2)[2]  # the docstring names params.yaml
    assert "params = load_params()\n" in script or stage == "report"  # which only validates them
    used = {
        name if section == "backbone" or name in listed else section.rstrip("_")
        for section, key in re.findall(r"(?<![.\w])params\.(\w+)(?:\.(\w+))?", code)
        for name in [f"{section}.{key}"]
    }
    # The store's name is read where the store is opened: a new one registers, and trains nothing.
    assert used | ({"project"} if stage == "register" else set()) == listed


def test_every_stage_has_its_script_and_every_script_its_stage() -> None:
    scripts = {path.stem for path in (SOURCE / "whoswho" / "stages").glob("*.py")} - {"__init__"}
    assert scripts == set(STAGES)


def test_every_section_listed_is_a_section_of_params() -> None:
    known = {field.alias or name for name, field in Params.model_fields.items()}
    listed = {
        p.partition(".")[0] for s in PIPELINE["stages"].values() for p in s.get("params", [])
    }
    assert listed == known - {"promote"}  # the gate's section is read by a command, not a stage


def test_arrows_point_one_way() -> None:
    """cli and stages -> wings -> ground floor; mlflow only in the two rooms that keep it."""
    for file in sorted((SOURCE / "whoswho").rglob("*.py")):
        place = file.relative_to(SOURCE / "whoswho").parts
        reached = {path.relative_to(SOURCE / "whoswho").parts for path in imports(file)}
        if place[0] not in {"stages", "cli"}:
            assert not {"stages", "cli"} & {parts[0] for parts in reached}, file
        if room(file) in GROUND_FLOOR:
            assert {room(path) for path in imports(file)} <= {*GROUND_FLOOR, "__init__"}, file
        # What a person starts is reached from the command line alone.
        for started, guests in (
            ("crawl", {"crawl", "takedown"}),
            ("takedown", {"takedown"}),
            ("reviewing", {"reviewing"}),
        ):
            entered = started in {parts[0] for parts in reached}
            assert not entered or place[0] in {*guests, "cli"}, file


def test_inference_stands_on_the_network_and_on_pictures_alone() -> None:
    modules = reached((SOURCE / "whoswho" / "inference").glob("*.py"))
    rooms = {room(path) for path in modules} - {*GROUND_FLOOR, "__init__"}
    assert rooms == {"artifacts", "backbone", "inference", "pictures"}


def test_only_lifecycle_and_the_registered_model_import_mlflow() -> None:
    importing = {
        file.relative_to(SOURCE / "whoswho")
        for file in (SOURCE / "whoswho").rglob("*.py")
        if re.search(r"^\s*(import|from) mlflow\b", file.read_text(encoding="utf-8"), re.M)
    }
    elsewhere = {file for file in importing if file.parts[0] != "lifecycle"}
    # registered_model.py is the code file that MLflow itself loads.
    assert elsewhere == {Path("inference/registered_model.py")}


@pytest.mark.parametrize("command", ["--help", "check --help"])
def test_help_and_params_load_neither_torch_nor_mlflow(command: str) -> None:
    code = (
        "import sys\nfrom whoswho import cli, params\nparams.load_params()\n"
        f"try:\n    cli.main({command.split()!r})\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'mlflow', 'dvc', 'sklearn', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_dvc_passes_over_litter_and_over_no_label() -> None:
    labels = ("Icons", "Icon1", "Icon가", "Desktop", "Trashes", "~a")
    litter = ("Icon\r", ".DS_Store", "Desktop.ini", "a~", "._a.jpg")
    done = subprocess.run(
        ["dvc", "check-ignore", *(f"data/{name}" for name in (*labels, *litter))],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    # It prints the carriage return of the Finder's file as nothing.
    assert done.stdout.splitlines() == [f"data/{name.strip()}" for name in litter]
