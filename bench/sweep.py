"""Twenty heads through DVC's own queue: seconds a variant, and every run in the one store."""

from __future__ import annotations

import itertools
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.workspace import PROGRAMS, commit, copy_of_the_repository, environment

VARIANTS = [
    {"train.head": head, "train.lr": lr, **more}
    for (head, lr), more in itertools.product(
        [("[128]", 0.001), ("[]", 0.01), ("[256,64]", 0.001), ("[64]", 0.003), ("[512]", 0.0003)],
        [
            {"train.weight_decay": 0.01},
            {"train.dropout": 0.3},
            {"train.balance": "weights"},
            {"train.label_smoothing": 0.1},
        ],
    )
]


def measure(scratch: Path, jobs: int = 2) -> None:
    """Queue every variant in a fresh clone of the repository and run the queue to its end."""
    origin = copy_of_the_repository(
        scratch / "origin", register={"when": "never"}, backbone={"weights": ["random"]}
    )
    commit(origin)
    clone = scratch / "clone"
    subprocess.run(["git", "clone", "-q", str(origin), str(clone)], check=True)
    surroundings = environment(clone)

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=clone, env=surroundings, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"bench: {' '.join(command)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    dvc = str(PROGRAMS / "dvc")
    run(dvc, "pull", "-q", "-r", "sample", "data.dvc")
    run(dvc, "repro", "-q")
    commit(clone, "the first run")
    start = time.perf_counter()
    for number, variant in enumerate(VARIANTS):
        changes = [part for key, value in variant.items() for part in ("-S", f"{key}={value}")]
        run(dvc, "exp", "run", "--queue", "-q", "-n", f"variant-{number:02}", *changes)
    queued = time.perf_counter() - start
    start = time.perf_counter()
    run(dvc, "queue", "start", "-j", str(jobs))
    # The asking itself takes a second of a core.
    while {"Queued", "Running"} & set(run(dvc, "queue", "status").split()):
        time.sleep(3)
    seconds = time.perf_counter() - start
    status = run(dvc, "queue", "status")
    done = status.count("Success")
    with sqlite3.connect(clone / "mlflow.db") as store:
        logged = store.execute(
            "select count(*) from tags where key = 'dvc.experiment' and value like 'variant-%'"
        ).fetchone()[0]
    print(
        f"sweep of {len(VARIANTS)} heads, {jobs} at once: "
        f"{(queued + seconds) / len(VARIANTS):.1f} s a variant ({queued / len(VARIANTS):.1f} to "
        f"queue it, {seconds / len(VARIANTS):.1f} to run it); {done} succeeded, {logged} runs in "
        "the one store"
    )
    if not done == logged == len(VARIANTS):
        sys.exit(f"bench: {len(VARIANTS)} variants were queued:\n{status}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="whoswho-sweep-") as folder:
        measure(Path(folder))
