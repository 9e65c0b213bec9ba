"""A version made again from its commit in a scratch clone, and whether it is the same model."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

from whoswho import git, paths
from whoswho.artifacts.model.description import WEIGHTS, read_weights
from whoswho.artifacts.predictions import PredictionRow, read_evaluation
from whoswho.errors import UserError
from whoswho.lifecycle.registry import version_files
from whoswho.lifecycle.trace.training import Traced
from whoswho.lifecycle.tracking import lineage
from whoswho.lifecycle.tracking.store import Store

PATCHES = Path(".whoswho/lineage")
# Left out of its surroundings, so that its run lands in a store of its own.
_OWN = ("MLFLOW_TRACKING_URI", "DVC_ROOT", "DVC_EXP_NAME", "DVC_STAGE")


def commands(workspace: Path, traced: Traced, folder: str = "DIR") -> list[str]:
    """The shell commands that make it again in `folder`; a line that says why where none do."""
    if not traced.commit:
        return ["# nobody can: it was trained outside Git"]
    if traced.tags.get("dirty") == "true" and not lineage.changed_files(traced.patch):
        return ["# nobody can: what was not committed was not kept"]
    there = shlex.quote(str(workspace))
    clone = ["git", "clone", "-q", "--no-checkout", str(workspace), folder]
    steps = [shlex.join(clone), f"cd {shlex.quote(folder)}", f"git checkout -q {traced.commit}"]
    if traced.patch:
        patch = workspace / PATCHES / f"{paths.digest(traced.patch)[:16]}.diff"
        paths.write_text(patch, traced.patch)
        steps.append(f"git apply {shlex.quote(str(patch))}")
    steps += [
        f"dvc remote add -q --local here {there}/.dvc/cache",
        "dvc pull -q -r here data.dvc || dvc pull -q data.dvc",
        f"env {' '.join(f'-u {name}' for name in _OWN)} dvc repro -q -f --no-run-cache evaluate",
    ]
    return steps


def rebuild(store: Store, workspace: Path, traced: Traced, folder: Path) -> tuple[list[str], bool]:
    """Make a version again in `folder`, an absent one; what came of it, and whether it is equal.

    Raises:
        UserError: it cannot be rebuilt, or a command failed.
    """
    if traced.version is None or traced.record is None:
        raise UserError("only a registered version that still has its files can be compared")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is there already; name a folder that is not")
    steps = commands(workspace, traced, str(folder.resolve()))
    if steps[0].startswith("#"):
        raise UserError(f"{traced.version}: {steps[0].removeprefix('# ')}")
    if git.answer(workspace, "cat-file", "-t", traced.commit) != "commit":
        raise UserError(f"commit {traced.commit} is not in this clone: git fetch brings it")
    # The programs of the Python that runs now, whatever the shell finds first.
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    script = "set -e\n" + "\n".join(steps)
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        ["sh", "-c", script], env=own | {"PATH": programs}, capture_output=True, text=True
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise UserError(f"{folder}: could not be rebuilt: {' '.join(last)}")
    lines, same = compare(store, traced, folder)
    return [f"rebuilt in {folder}", *lines], same


def compare(store: Store, traced: Traced, folder: Path) -> tuple[list[str], bool]:
    """How weights and answers of the workspace `folder` differ from a version's, and whether no
    answer does.
    """
    assert traced.record is not None
    answers, same = _answers(traced.record.evaluation.pictures, folder)
    return [_weights(store, traced, folder), answers], same


def _weights(store: Store, traced: Traced, folder: Path) -> str:
    """How far the weights are from the version's."""
    assert traced.version is not None
    before = version_files.model_folder(store, str(traced.version.number))
    after = folder / paths.MODEL
    if paths.sha256(before / WEIGHTS) == paths.sha256(after / WEIGHTS):
        return "weights: equal to the byte"
    old, new = read_weights(before), read_weights(after)
    if {name: value.shape for name, value in old.items()} != {n: v.shape for n, v in new.items()}:
        return "weights: of another network"
    distance = max(float((old[name] - new[name]).abs().max()) for name in old if old[name].numel())
    return f"weights: not equal, the largest difference is {distance:.3g}"


def _answers(before: tuple[PredictionRow, ...], folder: Path) -> tuple[str, bool]:
    """How many answers are the same, and whether all are."""
    after = {row.file: row for row in read_evaluation(folder / paths.EVALUATION).pictures}
    if len({len(row.probabilities) for row in (*before, *after.values())}) > 1:
        return "answers: of other people", False
    common = [(row, after[row.file]) for row in before if row.file in after]
    same = sum((a.predicted, a.unknown) == (b.predicted, b.unknown) for a, b in common)
    pairs = [zip(a.probabilities, b.probabilities, strict=True) for a, b in common]
    largest = max((abs(p - q) for pair in pairs for p, q in pair), default=0.0)
    text = f"answers: {same} of {len(before)} the same, largest difference of a probability "
    return f"{text}{largest:.3g}", same == len(before) == len(after)
