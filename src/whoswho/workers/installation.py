"""What machines that work together must have in common: the code, and the libraries behind it."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import whoswho

# Another version of one of these may give other bytes, or not understand what is sent.
LIBRARIES = (
    "dlib-bin", "distributed", "face-recognition-models", "facenet-pytorch", "numpy", "pillow",
    "pillow-heif", "safetensors", "scipy", "timm", "torch", "torchvision",
)  # fmt: skip


@dataclass(frozen=True)
class Installation:
    """The code and the versions that a process computes with.

    Attributes:
        code: digest of the package's source.
        versions: of Python and LIBRARIES; empty for one that is not installed.
    """

    code: str
    versions: tuple[tuple[str, str], ...]

    def difference(self, other: Installation) -> str:
        """What `other` has that this has not, with the cure; empty where both are the same."""
        for (name, here), (_, there) in zip(self.versions, other.versions, strict=False):
            if here != there:
                return (
                    f"has {name} {there or 'not installed'}, but here it is "
                    f"{here or 'not installed'}; install the same constraints.txt in both places"
                )
        if self.code != other.code:
            return (
                "runs other code of whoswho than this command; bring it to the same commit, and "
                "restart it"
            )
        return ""


@cache
def installation() -> Installation:
    """This process's own; its source is read once, as its modules are."""
    python = ".".join(map(str, sys.version_info[:3]))
    return Installation(
        _code(), (("Python", python), *((name, _version(name)) for name in LIBRARIES))
    )


def _code() -> str:
    source = Path(whoswho.__file__).parent
    whole = hashlib.sha256()
    for path in sorted(source.rglob("*.py")):
        content = path.read_bytes()
        whole.update(f"{path.relative_to(source).as_posix()}\0{len(content)}\0".encode())
        whole.update(content)
    return whole.hexdigest()


def _version(name: str) -> str:
    try:
        return version(name).partition("+")[0]  # "+cpu" computes the same on a processor
    except PackageNotFoundError:
        return ""
