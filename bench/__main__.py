"""`python -m bench [PART …]`: how good and how fast the parts are, on this machine.

Everything is timed as a whole process, imports and all. What is compared is printed as a ratio: a
single second says more about the machine than about the code. Each part is a module that runs by
itself (`python -m bench.learning --pictures 5000`), in a process of its own, so that none is
measured with what another left in memory.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from bench.workspace import REPOSITORY

PARTS = (
    "commands",
    "imports",
    "cleaning",
    "duplicates",
    "look_alikes",
    "backbone",
    "features",
    "int8",
    "learning",
    "predict",
    "quality",
    "recipe",
    "suspects",
    "misfiled",
    "unknown",
    "serving",
    "exporting",
    "sweep",
    "large",
    "scale",
)


def machine() -> str:
    """The machine in a line: processor, cores, system, versions that matter."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [ln for ln in cpuinfo.read_text().splitlines() if ln.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, torch {version('torch')}"
    )


def main() -> None:
    """Run the parts named, or all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"{unknown.pop()}: no such part; known are {', '.join(PARTS)}")
    print(f"machine: {machine()}", flush=True)
    for part in options.parts or PARTS:
        print(f"{part}:", flush=True)
        done = subprocess.run(
            [sys.executable, "-u", "-m", f"bench.{part}"], cwd=REPOSITORY, check=False
        )
        if done.returncode:
            sys.exit(f"bench: {part} failed")


if __name__ == "__main__":
    main()
