"""What Git says of a repository, and what it leaves in a file that two sides changed."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from whoswho.errors import UserError

_MARKER = re.compile(r"^(?:(?:<{7}|>{7}|\|{7})(?: .*)?|={7})\r?$", re.MULTILINE)


def answer(folder: Path, *arguments: str) -> str | None:
    """What Git answers; None where it fails, as without Git, a repository or a commit."""
    done = _run(folder, *arguments)
    return done.stdout.decode(errors="replace").strip() if done and not done.returncode else None


def refusal(folder: Path) -> str:
    """That Git does not read a repository of another user's, with Git's own cure; else empty."""
    done = _run(folder, "rev-parse", "--git-dir")
    stderr = done.stderr.decode(errors="replace") if done else ""
    if "dubious ownership" not in stderr:
        return ""
    cure = re.search(r"git config --global --add safe\.directory .*", stderr)
    command = cure[0].strip() if cure else "git config --global --add safe.directory '*'"
    return f"{folder}: Git reads no repository of another user; if you trust this one: {command}"


def blobs(folder: Path, path: re.Pattern[str]) -> dict[str, str] | None:
    """Git's names of every file's content below `folder`, in any commit that a reference or its
    log leads to, each with its path, where `path` matches all of that. One that the repository
    lacks has an empty path. None where Git fails, and there is something to ask it about.
    """
    if not any((above / ".git").exists() for above in (folder, *folder.parents)):
        return {}
    # Git names them from the top, which may lie above.
    above = answer(folder, "rev-parse", "--show-prefix")
    every = ("--objects", "--all", "--reflog", "--missing=print")
    listed = answer(folder, "-c", "core.quotepath=off", "rev-list", *every)
    if above is None or listed is None:
        return None
    paths = {}
    for line in listed.splitlines():
        name, _, file = line.partition(" ")
        if name.startswith("?"):
            paths[name[1:]] = ""
        elif file.startswith(above) and path.fullmatch(file.removeprefix(above)):
            paths[name] = file.removeprefix(above)
    return paths


def contents(folder: Path, names: Iterable[str]) -> dict[str, bytes]:
    """What blobs of these names hold, by name; without those that Git does not give."""
    request = "".join(f"{name}\n" for name in names).encode()
    done = _run(folder, "cat-file", "--batch", stdin=request) if request else None
    rest, contents_by_name = done.stdout if done else b"", {}
    while rest:  # a line that ends in the size, then that many bytes and a line end
        header, _, rest = rest.partition(b"\n")
        name, *_, size = header.decode().split()
        if size.isdigit():  # else "missing", of a clone that has not all
            contents_by_name[name] = rest[: int(size)]
            rest = rest[int(size) + 1 :]
    return contents_by_name


def uncommitted(folder: Path, names: Sequence[str]) -> str | None:
    """How files below `folder` differ from the last commit, new ones included, as a patch that
    `git apply` takes; None where Git does not answer.
    """
    plain = ("-c", "core.quotepath=off", "diff", "--no-ext-diff", "--no-color", "--no-textconv")
    changed = _run(folder, *plain, "--relative", "HEAD", "--", *names)
    new = answer(folder, "ls-files", "-z", "--others", "--exclude-standard", "--", *names)
    if changed is None or changed.returncode or new is None:
        return None
    patch = changed.stdout
    for name in filter(None, new.split("\0")):
        added = _run(folder, *plain, "--no-index", "--", os.devnull, name)
        patch += added.stdout if added else b""
    return patch.decode(errors="replace")


def _run(
    folder: Path, *arguments: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes] | None:
    """None where there is no Git, or it does not end."""
    command = ["git", "-C", str(folder), *arguments]
    surroundings = os.environ | {"LC_ALL": "C"}
    try:
        return subprocess.run(
            command, input=stdin, capture_output=True, timeout=30, check=False, env=surroundings
        )
    except (OSError, subprocess.SubprocessError):
        return None


def marker_line(text: str) -> int:
    """The line of the first marker of an unfinished merge, from 1; 0 where there is none."""
    marker = _MARKER.search(text)
    return text.count("\n", 0, marker.start()) + 1 if marker else 0


def check_merged(file: Path, text: str | None = None) -> None:
    """See that `text`, by default what is in `file`, holds no markers of an unfinished merge.

    Raises:
        UserError: it does; the message names the first one's line.
    """
    if text is None:
        text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    if line := marker_line(text):
        raise UserError(
            f"{file}: holds merge markers of Git at line {line}; leave what is right of both "
            "sides and delete the markers (`<<<<<<<`, `=======`, `>>>>>>>`)"
        )
