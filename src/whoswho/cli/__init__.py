"""The command `whoswho`: what a person types between two `dvc repro`.

Each command imports what it needs when it runs, so that `whoswho --help` answers at once.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Sequence

from whoswho import __version__
from whoswho.cli import data, models
from whoswho.errors import one_line_errors


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; bad input ends with one line on stderr and exit code 2."""
    gc.set_threshold(20_000, 100, 100)  # as in src/stage.py
    with one_line_errors():
        options = parser().parse_args(arguments)
        for line in options.run(options) or ():
            print(line)


def parser() -> argparse.ArgumentParser:
    """The command line: every command with its options."""
    program = argparse.ArgumentParser(
        prog="whoswho",
        description="From a list of names to a registered model that tells them apart.",
    )
    program.add_argument("--version", action="version", version=f"whoswho {__version__}")
    commands = program.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for run, arguments in (data.COMMANDS | models.COMMANDS).items():
        first_line = (run.__doc__ or "").splitlines()[0]
        command = commands.add_parser(run.__name__, help=first_line, description=first_line)
        command.set_defaults(run=run)
        for names, settings in arguments:
            command.add_argument(*names, **settings)
    return program
