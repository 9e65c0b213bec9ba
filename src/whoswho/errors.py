"""The one-line errors: what is wrong, where, and what to do about it."""

from __future__ import annotations

import errno
import io
import os
import re
import select
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

BAD_INPUT = 2
INTERRUPTED = 130
NOBODY_READS = 141  # as the shell says of a program that a closed pipe ended
# A disk that is full or closed to us: the user can mend it.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DISK_ERRORS = (*FULL, errno.EACCES, errno.EROFS)


class UserError(Exception):
    """Something the user can mend; the message is one line saying what, where and how."""


def one_line(problem: object, longest: int = 200) -> str:
    """An error's text in one line of at most `longest` letters; its type where it has none."""
    text = " ".join(str(problem).split())
    if not text and isinstance(problem, BaseException):
        text = type(problem).__name__
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def disk_error(error: BaseException, writing: Path) -> OSError | None:
    """The system's error behind one of a library that wrote `writing`, where a disk is at fault.

    torch hides it behind a RuntimeError, safetensors names its number in an error of its own. Of a
    full disk the file that was written is named, not the one that was read.
    """
    if isinstance(error, UserError):  # it says what it is
        return None
    number = re.search(r"\(os error (\d+)\)", str(error))
    behind: BaseException | None = error
    while behind is not None and not isinstance(behind, OSError):
        behind = behind.__context__
    code = behind.errno if behind is not None else number and int(number[1])
    if code not in DISK_ERRORS:
        return None
    named = None if behind is None or code in FULL else behind.filename
    return OSError(code, os.strerror(code), named or str(writing))


def message(error: UserError, longest: int = 1200) -> str:
    """What is printed of a mendable error: one line, cut in its middle where a value is endless.

    The file stands at its beginning, what to do at its end.
    """
    text = " ".join(str(error).split())
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} … {text[-half:]}"


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the process with one line and exit code 2 where the block meets a mendable error.

    Ctrl-C ends it with 130, a reader that closed the pipe (`… | head`) quietly with 141. Any other
    exception is a defect of ours and keeps its traceback. Labels are said in any script: what the
    terminal or a pipe cannot write is written as its code.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError as error:
        if not _reader_is_gone(sys.stdout):
            raise error
        raise SystemExit(NOBODY_READS) from None
    except UserError as error:
        print(f"whoswho: {message(error)}", file=sys.stderr)
        raise SystemExit(BAD_INPUT) from None
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        where = error.filename or "a file"
        cure = "make room or give access, then run the same command again"
        print(f"whoswho: {where}: {error.strerror}; {cure}", file=sys.stderr)
        raise SystemExit(BAD_INPUT) from None
    except sqlite3.OperationalError as error:  # the tracking store's database, or one of DVC's
        cure = "make room on the disk, or end the program that holds it, then run it again"
        print(f"whoswho: a database of this repository: {error}; {cure}", file=sys.stderr)
        raise SystemExit(BAD_INPUT) from None
    except UnicodeEncodeError as error:
        encoding = sys.getfilesystemencoding()
        if encoding == "utf-8" or error.encoding != encoding:
            raise
        print(f"whoswho: this terminal's locale is not UTF-8 but {encoding}, so no file can be "
              f"called {error.object!a}; set PYTHONUTF8=1 (or LC_ALL=C.UTF-8), then run it again",
              file=sys.stderr)  # fmt: skip
        raise SystemExit(BAD_INPUT) from None
    except KeyboardInterrupt:
        print("whoswho: interrupted; the same command goes on from here", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    finally:
        _reader_is_gone(sys.stdout)


def _reader_is_gone(stream: TextIO) -> bool:
    """Whether nobody reads what is written any more; then Python's last attempt says nothing."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # no file of the system's
        return False
    try:
        stream.flush()
        poll = select.poll()
        poll.register(descriptor, 0)
        gone = any(event & select.POLLERR for _, event in poll.poll(0))
    except BrokenPipeError:
        gone = True
    except AttributeError:  # Windows has no poll, and says it while it flushes
        gone = False
    if gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
    return gone
