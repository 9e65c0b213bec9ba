"""Which version answers: the champion, as soon as it can, and the one before until then."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from mlflow.exceptions import MlflowException

from whoswho.errors import UserError
from whoswho.lifecycle.registry import versions
from whoswho.lifecycle.registry.versions import CHAMPION
from whoswho.lifecycle.serving import running
from whoswho.lifecycle.serving.version import ServedVersion, load
from whoswho.lifecycle.tracking.store import Store, error_line

AGAIN = 60.0  # seconds, before a version that could not answer is tried again


class Champion:
    """The version that the alias names.

    Attributes:
        version: what answers. It is replaced as a whole: who has it already ends on it.
        trouble: why another than the champion answers, empty where none does.

    Raises:
        UserError: there is no champion, or it cannot answer.
    """

    def __init__(self, store: Store, workspace: Path) -> None:
        self._store = store
        self._workspace = workspace
        self._broken = 0
        self._tried = 0.0
        self.trouble = ""
        self.version = self._load(versions.resolve(store, CHAMPION))

    def follow(self) -> None:
        """Take the version that is the champion now; say what came of it, once."""
        try:
            number = versions.resolve(self._store, CHAMPION)
        except (UserError, MlflowException) as error:
            self._say(f"the registry does not name a champion ({error_line(error)})")
            return
        if number == self.version.number:
            if self.trouble:
                print(f"version {number} is the champion", flush=True)
            self.trouble = ""
            return
        if number == self._broken and time.monotonic() < self._tried + AGAIN:
            return
        try:
            self.version = self._load(number)
        except (UserError, MlflowException) as error:
            self._broken, self._tried = number, time.monotonic()
            self._say(f"version {number} is the champion and cannot answer ({error_line(error)})")
            return
        self.trouble = ""
        print(f"version {number} is the champion and answers", flush=True)

    def _load(self, number: int) -> ServedVersion:
        version = load(self._store, number, self._workspace)
        running.note(self._store.root, number)
        return version

    def _say(self, trouble: str) -> None:
        trouble = f"{trouble}; version {self.version.number} goes on answering"
        if trouble != self.trouble:
            print(f"whoswho: warning: {trouble}", file=sys.stderr, flush=True)
        self.trouble = trouble
