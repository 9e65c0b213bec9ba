"""`python bench/called.py FILE SCRIPT …`: run a script, and note whose functions it calls.

FILE gets, as JSON, every module loaded at the end and whether a function of it was called once its
import was done. What a module does while it is imported, and what is written in C, is not seen.
"""

from __future__ import annotations

import atexit
import json
import runpy
import sys
import threading
from pathlib import Path
from types import FrameType

_IMPORT = ("<frozen importlib._bootstrap>", "_find_and_load")


class Calls:
    """The files of the functions that are called while no import is going on."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self._here = threading.local()

    def watch(self, frame: FrameType, event: str, _argument: object) -> None:
        """What `sys.setprofile` calls."""
        if event not in ("call", "return"):
            return
        code = frame.f_code
        depth = getattr(self._here, "depth", 0)
        if (code.co_filename, code.co_name) == _IMPORT:
            self._here.depth = depth + (1 if event == "call" else -1)
        elif event == "call" and not depth:
            self.files.add(code.co_filename)

    def write(self, path: Path) -> None:
        """Write module -> called or not."""
        sys.setprofile(None)
        files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
        is_called = {name: file in self.files for name, file in files.items() if file}
        path.write_text(json.dumps(is_called), encoding="utf-8")


def main() -> None:
    """Run the script with the arguments that follow its name."""
    calls, out = Calls(), Path(sys.argv[1]).resolve()
    atexit.register(calls.write, out)
    del sys.argv[:2]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    threading.setprofile(calls.watch)
    sys.setprofile(calls.watch)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
