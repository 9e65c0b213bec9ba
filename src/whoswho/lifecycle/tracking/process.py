"""Which process a run belongs to, and whether it is gone.

A number of a process says little: another process gets it later, a container has numbers of its
own, and machines or containers may share a name. So a run also keeps what the kernel tells: which
start of the machine it was (boot id), in which namespace the number counts, and how long after
that start the process began, which no clock that is set changes.
"""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Mapping
from pathlib import Path

import psutil

from whoswho import paths

_UNKNOWN = "unknown"


def tags() -> dict[str, str]:
    """Tags that find this process again, and tell it from every other one."""
    return {
        "host": platform.node(),
        "machine": _machine(),
        "boot": _boot(),
        "pid.namespace": _namespace(),
        "pid": str(os.getpid()),
        "pid.start": _started(os.getpid()) or _UNKNOWN,
        "start": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def is_orphan(run: Mapping[str, str]) -> bool:
    """Whether the process of a run with these tags was one of this machine's and is gone.

    No run of another namespace is: from outside nobody sees what lives in a container.
    """
    pid = run.get("pid", "")
    here = {"host": platform.node(), "machine": _machine(), "pid.namespace": _namespace()}
    if not pid.isdigit() or any(run.get(name) != value for name, value in here.items()):
        return False
    if run.get("boot") != _boot():
        return _machine() != _UNKNOWN  # it went down with the machine
    started, recorded = _started(int(pid)), run.get("pid.start", _UNKNOWN)
    if started is None:
        return True
    if _UNKNOWN in (started, recorded):
        return False
    # Where the kernel tells no ticks, a clock that is put right moves the start a little.
    return abs(int(started) - int(recorded)) > (0 if _boot() != _UNKNOWN else 2)


def _started(pid: int) -> str | None:
    """When a living process started; None where there is none, or only its corpse.

    In ticks after the machine's start where the kernel tells them, else in seconds of the clock.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        after_the_name = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        if _boot() != _UNKNOWN and after_the_name:
            return after_the_name[19]  # field 22 of proc(5); these begin with the third
        return str(round(process.create_time()))
    except psutil.AccessDenied:
        return _UNKNOWN
    except psutil.NoSuchProcess:
        return None


def _boot() -> str:
    return _read("/proc/sys/kernel/random/boot_id") or _UNKNOWN


def _machine() -> str:
    """A digest of the machine's id, which its manual page asks to keep to oneself."""
    name = _read("/etc/machine-id")
    return paths.digest(f"whoswho {name}")[:16] if name else _UNKNOWN


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return _UNKNOWN


def _read(name: str) -> str:
    """A file of the system's; empty where there is none or it may not be read."""
    try:
        return Path(name).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
