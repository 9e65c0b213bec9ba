"""The one-line errors: what is wrong, where, and what to do about it."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

BAD_INPUT = 2
INTERRUPTED = 130
NOBODY_READS = 141  # as the shell says of a program that a closed pipe ended
# A disk that is full or closed to us: the user can mend it.
DISK_ERRORS = (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT)


class UserError(Exception):
    """Something the user can mend; the message is one line saying what, where and how."""


def one_line(problem: object, longest: int = 200) -> str:
    """An error's text in one line of at most `longest` letters; its type where it has none."""
    text = " ".join(str(problem).split())
    if not text and isinstance(problem, BaseException):
        text = type(problem).__name__
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


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
        print(f"whoswho: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(BAD_INPUT) from None
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        where = error.filename or "a file"
        cure = "make room or give access, then run the same command again"
        print(f"whoswho: {where}: {error.strerror}; {cure}", file=sys.stderr)
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
