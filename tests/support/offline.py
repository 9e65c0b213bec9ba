"""A workspace without a network, and the command that gets it a trained backbone all the same."""

from __future__ import annotations

from pathlib import Path

from support.pipeline import Workspace

# No connection and no look-up leaves a process; SQLite and pipes need none.
BLOCKED = """
import socket

def refuse(*_arguments, **_more):
    raise OSError("the network is blocked")

socket.getaddrinfo = socket.create_connection = refuse
socket.socket.connect = refuse
"""
# As summary, card and page print it.
COMMAND = "dvc exp run -S backbone.arch=dlib_resnet29"


def blocked(space: Workspace) -> Workspace:
    """The workspace, whose every process finds the network blocked from now on."""
    (space.path / "src" / "sitecustomize.py").write_text(BLOCKED)
    return space


def nowhere(scratch: Path) -> dict[str, str]:
    """Caches of weights in which nothing lies."""
    return {"TORCH_HOME": str(scratch / "torch"), "HF_HOME": str(scratch / "hub")}
