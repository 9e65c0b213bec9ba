"""The arguments of a command, as argparse takes them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

Argument = tuple[tuple[str, ...], dict[str, Any]]
Run = Callable[[argparse.Namespace], list[str] | None]  # what a command does: the lines to print
Commands = dict[Run, tuple[Argument, ...]]


def argument(*names: str, **settings: Any) -> Argument:
    """What argparse takes for one argument."""
    return names, settings


def value(name: str, metavar: str, what: str, **settings: Any) -> Argument:
    """An option with a value."""
    return argument(name, metavar=metavar, help=what, **settings)


def flag(name: str, what: str) -> Argument:
    """An option without a value."""
    return argument(name, action="store_true", help=what)


def number(name: str, what: str, **settings: Any) -> Argument:
    """An option whose value is a whole number from 0 up."""
    return value(name, "N", what, type=count, **settings)


def values(name: str, metavar: str, what: str) -> Argument:
    """An option that may be given several times."""
    return value(name, metavar, what, action="append", default=[])


def address(port: int) -> tuple[Argument, ...]:
    """Where a page is served: --host and --port."""
    host = argument("--host", default="127.0.0.1", help="listen here (default: 127.0.0.1)")
    return host, argument("--port", type=int, default=port, help=f"(default: {port})")


def count(text: str) -> int:
    """A whole number from 0 up, for argparse."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 up")
    return int(text)
