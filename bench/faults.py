"""What is left after a fault: injected, survived, lost. `make faults` tries them all.

Each hits one stage or command, in a copy of a workspace that was built undisturbed. Survived
means, after it and after the same once more: the same bytes as undisturbed, no process left, no
file that Git would take, none half-written, no run left open, no traceback, and one line where a
program can say one.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from bench.workspace import commit, copy_of_the_repository, environment
from whoswho.workers import pool

HOOK = Path(__file__).parent / "fault_hook"
STAGES = (
    "clean", "preprocess", "backbone", "features", "suspects", "train", "evaluate", "report",
    "register",
)  # fmt: skip
# Of which a program need not say anything; of the others it says one line.
ENDED = ("kill", "kill-group", "terminate")
COMMANDS = ("crawl", "promote")
OF_THE_MOMENT = ("reports/register.html", "data/manifest/")  # with times in them
SAVED = ("data.dvc", "dvc.lock")  # which a crawl changes
KINDS = (*ENDED, "interrupt", "interrupt-twice", "full", "read-only", "file-size")
PICTURES = pool.FEW + 2  # so many that processes of their own open them
SMALL: dict[str, dict[str, object]] = {
    "clean": {"faces": "any"},
    "picture": {"size": 64, "crop": "whole"},
    "backbone": {"arch": "resnet18", "weights": ["random"]},  # built without importing torchvision
    "augment": {"views": 1},
    "train": {"epochs": 2, "cv_repeats": 1},
    "evaluate": {"bootstrap": 200, "altered": 0},
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """A fault: its kind, the stage or command it hits, and at which of its writes (0 to 1)."""

    kind: str
    target: str
    when: float = 0.5

    def __str__(self) -> str:
        return f"{self.kind} in {self.target} at {self.when:.0%}"


class Undisturbed:
    """A workspace after one `dvc repro` that nothing disturbed."""

    def __init__(self, folder: Path, draw: Callable[[Path, int], None]) -> None:
        """`draw` makes the picture of a number."""
        self.path = copy_of_the_repository(folder, **SMALL)
        for name in ("data.dvc", "dvc.lock"):
            (self.path / name).unlink(missing_ok=True)
        shutil.rmtree(self.path / "sample", ignore_errors=True)
        for number in range(PICTURES):
            draw(self.path / "data" / ("down", "up")[number % 2] / f"{number}.png", number)
        for number in range(PICTURES, PICTURES + 4):
            draw(
                self.path.with_name("more") / ("down", "up")[number % 2] / f"{number}.png", number
            )
        commit(self.path, "code")
        for command in (["dvc", "add", "-q", "data"], ["dvc", "repro"]):
            done = run(self.path, command)
            assert done.returncode == 0, done.stderr
        commit(self.path, "built")
        self._writes: dict[str, int] = {}
        self._expected: dict[str, dict[str, str]] = {}

    def command(self, target: str) -> list[str]:
        """What a person types to run a stage once more, or the command of that name."""
        if target == "crawl":
            return ["whoswho", "crawl", "--folder", str(self.path.with_name("more"))]
        if target == "promote":
            return ["whoswho", "promote", "--force", "--why", "a trial"]
        return ["dvc", "repro", "-f", "-s", target]

    def writes(self, target: str) -> int:
        """How many files the target opens for writing, makes, renames or removes."""
        if target not in self._writes:
            told = self.path.with_name("count")
            self._after(target, hook(self.path, target, "count", FAULT_COUNT=told))
            self._writes[target] = int(told.read_text())
        return self._writes[target]

    def expected(self, target: str) -> dict[str, str]:
        """What lies there after the target undisturbed; a stage gives the same bytes again."""
        if target not in self._expected:
            self._expected[target] = (
                self._after(target) if target == "crawl" else content(self.path)
            )
        return self._expected[target]

    def _after(self, target: str, more: dict[str, str] | None = None) -> dict[str, str]:
        with tempfile.TemporaryDirectory() as scratch:
            copy = shutil.copytree(self.path, Path(scratch) / "copy", symlinks=True)
            if more:
                more = {**more, "FAULT_UNDER": str(copy)}
            done = run(copy, self.command(target), more)
            assert done.returncode == 0, done.stderr
            return content(copy)

    def lost(self, fault: Fault, folder: Path) -> list[str]:
        """What is not as it should be after the fault, in a copy at `folder`; empty: survived."""
        copy = shutil.copytree(self.path, folder, symlinks=True)
        command, limit = self.command(fault.target), None
        at = round(fault.when * self.writes(fault.target)) if fault.when else 0
        more = hook(copy, fault.target, fault.kind, max(1, at))
        if fault.kind == "worker killed":
            more |= {"FAULT": "kill", "FAULT_IN": "multiprocessing", "FAULT_READS": "1"}
            more |= {
                "FAULT_AT": "5",
                "FAULT_UNDER": str(copy / ("data", "artifacts")[fault.target != "clean"]),
            }
        elif fault.kind == "file-size":
            # DVC itself does not bear it.
            limit, more = 4096, {}
            if command[0] == "dvc":
                command = ["python", "src/stage.py", fault.target]
        elif fault.kind == "clock":
            more = {"PYTHONPATH": more["PYTHONPATH"], "FAULT_CLOCK": "86400"}
        hit = run(copy, command, more, limit)
        problems = []
        if "FAULT_ONCE" in more and hit.returncode == 0 and not Path(more["FAULT_ONCE"]).exists():
            problems.append("the fault did not happen")
        if "Traceback" in hit.stderr:
            problems.append(f"a traceback: {hit.stderr.splitlines()[-1]}")
        lines = [line for line in hit.stderr.splitlines() if line.startswith("whoswho: ")]
        lines = [line for line in lines if "goes on untracked" not in line]  # of another trouble
        if hit.returncode and fault.kind not in ENDED and len(lines) != 1:
            problems.append(f"not one line: {hit.stderr}")
        return problems + self.left(fault.target, copy)

    def left(self, target: str, copy: Path) -> list[str]:
        """What is wrong in a disturbed copy after the same command once more."""
        problems = [
            f"left running: {' '.join(each.cmdline())[:80]}" for each in processes_in(copy)
        ]
        command = self.command(target)  # forced: DVC has the stage's earlier result
        cured = run(copy, command)
        if cured.returncode:
            return [*problems, f"{' '.join(command)} fails: {cured.stderr[-300:]}"]
        now, expected = content(copy), self.expected(target)
        changed = {name for name in now.keys() | expected if now.get(name) != expected.get(name)}
        problems += [f"not the same bytes: {name}" for name in sorted(changed)]
        status = run(copy, ["git", "status", "--porcelain"]).stdout.splitlines()
        problems += [f"Git would take: {line}" for line in status if not line.endswith(SAVED)]
        problems += [f"left behind: {file}" for file in copy.rglob("*.partial")]
        running = "select count(*) from runs where status = 'RUNNING'"
        if query_store(copy, running):
            run(copy, ["whoswho", "models"])  # the next command that looks into the store
        if number := query_store(copy, running):
            problems.append(f"{number} runs left RUNNING")
        champions = "select count(*) from registered_model_aliases where alias = 'champion'"
        if target == "promote" and not query_store(copy, champions):
            problems.append("no champion")
        return problems


def query_store(workspace: Path, query: str) -> int:
    """The number that the workspace's store answers."""
    with closing(sqlite3.connect(workspace / "mlflow.db")) as store:
        return int(store.execute(query).fetchone()[0])


def hook(copy: Path, target: str, kind: str, at: int = 0, **more: object) -> dict[str, str]:
    """The environment in which a fault happens in a stage or command."""
    return {
        "PYTHONPATH": f"{HOOK}{os.pathsep}{copy / 'src'}",
        "FAULT": kind,
        "FAULT_IN": f"stage.py {target}" if target in STAGES else f"whoswho {target}",
        "FAULT_UNDER": str(copy),
        "FAULT_AT": str(at),
        "FAULT_ONCE": str(copy.with_name(f"{copy.name}.happened")),
        **{name: str(value) for name, value in more.items()},
    }


def run(
    workspace: Path,
    command: list[str],
    more: dict[str, str] | None = None,
    file_size: int | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command in a group of its own, as a terminal does.

    Args:
        file_size: bytes at which every file that it writes ends.
    """
    import resource  # Windows has none

    def begin() -> None:
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        if file_size:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))

    return subprocess.run(
        command, cwd=workspace, env=environment(workspace, OMP_NUM_THREADS="1", **(more or {})),
        capture_output=True, text=True, check=False, start_new_session=True, preexec_fn=begin,
    )  # fmt: skip


def content(workspace: Path) -> dict[str, str]:
    """The digest of every picture, of every file that stages made and DVC tracks, of dvc.lock."""
    files = [workspace / "dvc.lock"]
    for top in ("data", "artifacts", "reports"):
        files += (workspace / top).rglob("*")
    named = {file.relative_to(workspace).as_posix(): file for file in files if file.is_file()}
    return {
        name: hashlib.sha256(file.read_bytes()).hexdigest()
        for name, file in named.items()
        if not name.startswith(OF_THE_MOMENT)
    }


def processes_in(workspace: Path, seconds: float = 5) -> list[psutil.Process]:
    """The processes that still work in a workspace after so many seconds."""
    until = time.monotonic() + seconds
    while True:
        processes = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if Path(process.cwd()).is_relative_to(workspace):
                    processes.append(process)
        if not processes or time.monotonic() > until:
            return processes
        time.sleep(0.1)


def matrix() -> Iterator[Fault]:
    """Every kind of fault in every stage and command; kills before, during and after writes."""
    for target in (*STAGES, *COMMANDS):
        for kind in KINDS:
            for when in (0, 0.5, 1) if kind == "kill" else (0.5,):
                yield Fault(kind, target, when)
    yield Fault("worker killed", "clean")
    yield Fault("worker killed", "preprocess")
    yield from (Fault("clock", stage) for stage in STAGES)


def main() -> None:
    """Try the faults that the options choose, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.faults", description=__doc__)
    parser.add_argument("--kind", action="append", help="only this one (may be repeated)")
    parser.add_argument("--in", dest="targets", action="append", help="only in this one")
    options = parser.parse_args()
    chosen = [
        fault
        for fault in matrix()
        if fault.kind in (options.kind or [fault.kind])
        and fault.target in (options.targets or [fault.target])
    ]
    lost: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as scratch:
        undisturbed = Undisturbed(Path(scratch) / "undisturbed", draw)
        for number, fault in enumerate(chosen):
            folder = Path(scratch) / str(number)
            problems = undisturbed.lost(fault, folder)
            shutil.rmtree(folder)
            lost[fault.kind] += bool(problems)
            print(f"{fault}: {'; '.join(problems) or 'survived'}", flush=True)
    print("| fault | injected | survived | lost |\n| --- | --- | --- | --- |")
    injected = Counter(fault.kind for fault in chosen)
    for kind, number in injected.items():
        print(f"| {kind} | {number} | {number - lost[kind]} | {lost[kind]} |")
    print(f"| all | {len(chosen)} | {len(chosen) - lost.total()} | {lost.total()} |")
    sys.exit(lost.total() > 0)


def draw(path: Path, number: int) -> None:
    """A picture of noise in blocks that no other number gives."""
    dice = np.random.default_rng(number)
    blocks = Image.fromarray(dice.integers(0, 256, (8, 8, 3), np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks.resize((160, 160), Image.Resampling.BICUBIC).save(path)


if __name__ == "__main__":
    main()
