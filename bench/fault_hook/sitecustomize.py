"""Lets a fault happen at the n-th time that a process of a stage opens, renames or makes a file.

Python imports this module at its start where its folder is on the path. `bench/faults.py` says in
the environment what is to happen:

    FAULT         kill, kill-group, interrupt, interrupt-twice, terminate, full, read-only, or
                  count (nothing, but the number of writes goes to FAULT_COUNT)
    FAULT_IN      what stands on the command line of the process that is meant
    FAULT_UNDER   the folder whose files count
    FAULT_READS   set: files that are opened for reading count as well
    FAULT_AT      the number of the write, from 1
    FAULT_ONCE    a file that is made when the fault happens; where it is there, none happens
    FAULT_CLOCK   seconds that the clock is set back in every process
"""

import contextlib
import errno
import os
import signal
import sys
import time

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
HANDLED = {"interrupt": [signal.SIGINT], "terminate": [signal.SIGTERM]}
HANDLED["interrupt-twice"] = HANDLED["interrupt"] * 2
count = 0


def happen(kind: str, path: str) -> None:
    """Let the fault happen, but for one that happened before."""
    once = os.environ["FAULT_ONCE"]
    with contextlib.suppress(FileExistsError):
        os.close(os.open(once, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == "kill-group":
            os.killpg(0, signal.SIGKILL)
        elif kind == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        elif kind == "read-only":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        for number in HANDLED.get(kind, []):
            os.killpg(0, number)  # as the terminal does, to DVC and its stage
            time.sleep(0.1)


def written(event: str, arguments: tuple[object, ...]) -> str:
    """The path below FAULT_UNDER that an event is about to write; empty where it writes none."""
    if event == "open":
        path, _, flags = arguments
        if not isinstance(flags, int) or not (flags & WRITES or "FAULT_READS" in os.environ):
            return ""
    elif event in ("os.rename", "os.mkdir", "os.remove"):
        path = arguments[0]
    else:
        return ""
    path = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
    path = os.path.abspath(path)  # noqa: PTH100 - as early as this, and without following links
    below = path.startswith(os.environ["FAULT_UNDER"] + os.sep)
    return path if below and not path.endswith(".pyc") and "__pycache__" not in path else ""


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """Count the writes, and let the fault happen at its time."""
    global count
    if not (path := written(event, arguments)):
        return
    count += 1
    if count == int(os.environ["FAULT_AT"]):
        happen(os.environ["FAULT"], path)


def note() -> None:
    """Write down how many writes there were."""
    with open(os.environ["FAULT_COUNT"], "w") as file:  # noqa: PTH123 - pathlib counts as we do
        file.write(str(count))


if back := os.environ.get("FAULT_CLOCK"):
    now, now_ns = time.time, time.time_ns
    seconds = int(back)
    time.time = lambda: now() - seconds
    time.time_ns = lambda: now_ns() - seconds * 10**9
if os.environ.get("FAULT") and os.environ["FAULT_IN"] in " ".join(sys.orig_argv):
    if os.environ["FAULT"] == "count":
        import atexit

        atexit.register(note)
    sys.addaudithook(watch)
