"""What Git says of a repository, and what it leaves in a file that two sides changed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from whoswho.errors import UserError

_MARKER = re.compile(r"^(?:(?:<{7}|>{7}|\|{7})(?: .*)?|={7})\r?$", re.MULTILINE)


def answer(folder: Path, *arguments: str) -> str | None:
    """What Git answers; None where it fails, as without Git, a repository or a commit."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip()


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
