"""`python -m bench.imports [NAME …]`: what each stage and each command imports, and how long.

After `make repro`, in a copy of what it left: each stage, and each command that ends by itself,
runs in a fresh process under Python's `-X importtime`; of a command that waits or changes things,
what its first lines import. With `--calls` a second run of each, ten times as long, notes packages
none of whose functions is called: they may still be read, but are worth a look.
`tests/test_imports.py` holds the result.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.workspace import REPOSITORY, commit, copy_of_the_repository, environment
from whoswho.cli import data, models

STAGES = (
    "clean", "preprocess", "backbone", "features", "suspects", "train", "evaluate", "report",
    "register",
)  # fmt: skip
# Commands that end by themselves and change nothing outside the copy, with their arguments.
ENDING = {
    "check": (),
    "summary": (),
    "models": (),
    "compare": ("challenger", "workspace"),
    "predict": ("PICTURE", "--model", "artifacts/model"),
    "export": ("exported", "--format", "safetensors", "--model", "artifacts/model"),
    "promote": ("--dry-run",),
    "trace": ("challenger",),
    "sample": ("--out", "drawn"),
    "store": (),
}
SHOWN, LEAST_S = 6, 0.05  # lines of each kind, and what is not worth one
_LINE = re.compile(r"^import time: +(\d+) \| +(\d+) \|( +)(\S+)$", re.MULTILINE)
# A process that the program starts is not to report its imports too.
_ALONE = "import sys; sys._xoptions.pop('importtime'); "
_RUN = f"{_ALONE}import runpy; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"


@dataclass(frozen=True)
class Import:
    """A module's import.

    Attributes:
        own: seconds of this module alone; `whole`: with all that it imports first.
        within: the import that it is part of, None where the program had begun to run.
    """

    name: str
    own: float
    whole: float
    within: Import | None

    @property
    def package(self) -> str:
        """Its top-level package."""
        return self.name.partition(".")[0]


def read(report: str) -> list[Import]:
    """The imports in what `-X importtime` wrote; it names a module after those within it."""
    modules: list[Import] = []
    open_at: dict[int, Import] = {}
    for own, whole, indent, name in reversed(_LINE.findall(report)):
        depth = len(indent) // 2
        module = Import(name, int(own) / 1e6, int(whole) / 1e6, open_at.get(depth - 1))
        open_at = {level: each for level, each in open_at.items() if level < depth}
        open_at[depth] = module
        modules.append(module)
    return modules[::-1]


def by_package(imports: Sequence[Import], depth: int = 1) -> dict[str, float]:
    """Seconds by package, or by the first parts of the names; Python's own library as one."""
    seconds: dict[str, float] = defaultdict(float)
    for module in imports:
        parts = module.name.split(".")
        python = parts[0].lstrip("_") in sys.stdlib_module_names or parts[0].startswith("_")
        seconds["Python" if python else ".".join(parts[:depth])] += module.own
    return seconds


def drawn_in(imports: Sequence[Import]) -> dict[str, float]:
    """`whose module: what it imports of others` -> seconds, with all that comes along."""
    seconds: dict[str, float] = defaultdict(float)
    for module in imports:
        inside = module.within
        if module.package == "whoswho" or (inside and inside.package != "whoswho"):
            continue
        seconds[f"{inside.name if inside else 'while it runs'}: {module.name}"] += module.whole
    return seconds


def never_called(imports: Sequence[Import], called: dict[str, bool]) -> dict[str, float]:
    """Packages, and parts of packages, whose functions are not called -> seconds."""
    unused: dict[str, float] = {}
    for depth in (1, 2):
        used: dict[str, bool] = defaultdict(bool)
        for name, was in called.items():
            used[".".join(name.split(".")[:depth])] |= was
        for name, seconds in by_package(imports, depth).items():
            whole = name.partition(".")[0] in unused
            if name in used and not used[name] and not whole:
                unused[name] = seconds
    return unused


def first_lines(name: str) -> str:
    """The imports that a command's function begins with, as a program."""
    run = {run.__name__: run for run in (data.COMMANDS | models.COMMANDS)}[name]
    body = ast.parse(textwrap.dedent(inspect.getsource(run)))
    kinds = (ast.Import, ast.ImportFrom)
    return "\n".join(ast.unparse(node) for node in ast.walk(body) if isinstance(node, kinds))


def measure(workspace: Path, name: str, *, calls: bool) -> None:
    """Run a stage or a command and print what it imports; with `calls`, and never calls."""
    surroundings = environment(workspace, DVC_STAGE=name) if name in STAGES else None
    program = workspace / "program.py"
    if name in STAGES:
        command = [str(workspace / "src" / "stage.py"), name]
    elif name in ENDING:
        program.write_text("from whoswho import cli\ncli.main()\n", encoding="utf-8")
        picture = str(next((workspace / "data").rglob("*.jpg")))
        words = [picture if word == "PICTURE" else word for word in ENDING[name]]
        command = [str(program), name, *words]
    else:
        program.write_text(f"import whoswho.cli\n{first_lines(name)}\n", encoding="utf-8")
        command = [str(program)]
    surroundings = surroundings or environment(workspace)

    def run(*python: str) -> str:
        for left in ("exported", "drawn"):
            shutil.rmtree(workspace / left, ignore_errors=True)
        done = subprocess.run(
            [sys.executable, *python, *command], cwd=workspace, env=surroundings,
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        if "Traceback" in done.stderr or done.returncode not in (0, 1):
            sys.exit(f"bench.imports: {name} failed:\n{done.stderr[-2000:]}")
        return done.stderr

    imports = read(run("-X", "importtime", "-c", _RUN))
    print(f"{name}: {sum(module.own for module in imports):.2f} s")
    by_title = {"packages": by_package(imports), "drawn in by": drawn_in(imports)}
    if calls:
        noted = workspace / "called.json"
        run(str(REPOSITORY / "bench" / "called.py"), str(noted))
        called = json.loads(noted.read_text(encoding="utf-8"))
        by_title["no function called"] = never_called(imports, called)
    for title, seconds in by_title.items():
        print("".join(f"  {title}: {line}\n" for line in lines(seconds)), end="", flush=True)


def lines(seconds: dict[str, float]) -> Iterator[str]:
    """The largest, in one line; nothing where all are small."""
    ranked = sorted(seconds.items(), key=lambda item: -item[1])[:SHOWN]
    if shown := [f"{name} {value:.2f}" for name, value in ranked if value >= LEAST_S]:
        yield ", ".join(shown)


def main() -> None:
    """Measure the stages and commands named, or all."""
    commands = [run.__name__ for run in (data.COMMANDS | models.COMMANDS)]
    parser = argparse.ArgumentParser(prog="python -m bench.imports", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*STAGES, *commands, []])
    parser.add_argument("--calls", action="store_true", help="also what is never called")
    options = parser.parse_args()
    if not (REPOSITORY / "artifacts" / "registered.json").exists():
        print("imports: not measured; run `make repro` first")
        return
    with tempfile.TemporaryDirectory() as folder:
        workspace = copy_of_the_repository(Path(folder) / "workspace")
        for left in ("data", "artifacts", "reports", ".whoswho", "mlartifacts"):
            if (REPOSITORY / left).is_dir():
                shutil.copytree(REPOSITORY / left, workspace / left, dirs_exist_ok=True)
        shutil.copy(REPOSITORY / "mlflow.db", workspace)
        commit(workspace)
        for name in options.names or [*STAGES, *commands]:
            measure(workspace, name, calls=options.calls)


if __name__ == "__main__":
    main()
