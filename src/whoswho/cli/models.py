"""Commands about what was trained: runs, versions, and their answers."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from whoswho import params, paths
from whoswho.cli.arguments import Commands, address, argument, flag, number, value, values

if TYPE_CHECKING:
    from whoswho.lifecycle.tracking.store import Store


def summary(options: argparse.Namespace) -> list[str]:
    """Print the lines that close `make repro`."""
    from whoswho.lifecycle import summary as closing
    from whoswho.lifecycle.registry import promotion

    workspace = paths.workspace()
    with open_store() as store:
        standing = promotion.standing(store, workspace)
    return closing.lines(workspace, standing, activate=options.activate)


def ui(options: argparse.Namespace) -> None:
    """Serve the MLflow pages of this repository's runs."""
    from whoswho.lifecycle import ui as pages

    pages.serve(paths.root(), options.host, options.port)


def models(_options: argparse.Namespace) -> list[str]:
    """List the registered versions, newest first, with their test metrics and aliases."""
    from whoswho.lifecycle.registry import promotion

    with open_store() as store:
        return promotion.table(store, paths.workspace())


def compare(options: argparse.Namespace) -> list[str]:
    """Say what differs between two models and which is better; draw where one alone is right."""
    from whoswho.lifecycle import comparison_page
    from whoswho.lifecycle.comparison import comparison_tables, paired, sides

    workspace = paths.workspace()
    with open_store() as store:
        first, second = (sides.side(store, workspace, each) for each in (options.a, options.b))
    compared = paired.compare(first, second)
    comparison_page.write(compared, workspace)
    return [*comparison_tables.lines(compared), "", f"page: {comparison_page.PAGE.as_posix()}"]


def predict(options: argparse.Namespace) -> None:
    """Name the person on each picture; a picture without an answer gets its reason, and code 1."""
    from whoswho.lifecycle import prediction

    files = prediction.pictures(options.pictures, sys.stdin)
    folder, version = _model_folder(options.model)
    workspace = paths.workspace() if options.why else None
    form = "csv" if options.csv else "json" if options.json else "table"
    request = prediction.Request(files, version, form, options.top, options.figure, workspace)
    prediction.answer(folder, request, sys.stdout)


def serve(options: argparse.Namespace) -> None:
    """Serve the champion: a page, an address for uploads, and MLflow's scoring addresses."""
    from whoswho.lifecycle.serving import server

    with open_store() as store:
        server.serve(store, paths.workspace(), options.host, options.port, options.allow_host)


def export(options: argparse.Namespace) -> list[str]:
    """Write a model into a folder that answers without this program."""
    from whoswho.exporting import export as exporting

    folder, version = _model_folder(options.model)
    return exporting.export(folder, version, options.folder, options.format, paths.workspace())


def promote(options: argparse.Namespace) -> list[str]:
    """Make a version the champion if the gate lets it through, and log who did it and why."""
    from whoswho.lifecycle.registry import promotion

    policy = params.load_params().promote
    with open_store() as store:
        if not options.dry_run:
            return promotion.promote(
                store, options.version, policy, why=options.why, force=options.force
            )
        allowed, lines = promotion.rehearse(store, options.version, policy)
    print("\n".join(lines))
    if not allowed:
        raise SystemExit(1)
    return []


def rollback(options: argparse.Namespace) -> list[str]:
    """Give the champion's place back to the version that held it before."""
    from whoswho.lifecycle.registry import promotion

    with open_store() as store:
        return promotion.rollback(store, why=options.why)


def trace(options: argparse.Namespace) -> list[str]:
    """Say where a version, a run or a picture came from, who decided what, how to rebuild it."""
    from whoswho.lifecycle.trace import picture, rebuild, training

    workspace = paths.workspace()
    with open_store() as store:
        shown = picture.picture(workspace, options.what)
        if shown:
            return picture.lines(store, workspace, shown)
        traced = training.find(store, options.what)
        if options.rebuild is None:
            return training.lines(store, workspace, traced, rebuild.commands(workspace, traced))
        lines, same = rebuild.rebuild(store, workspace, traced, options.rebuild)
    if not same:
        print("\n".join(lines))
        raise SystemExit(1)
    return lines


def store(_options: argparse.Namespace) -> list[str]:
    """Print the tracking store's address, the MLFLOW_TRACKING_URI of MLflow's own commands."""
    with open_store() as opened:
        return [opened.uri]


@contextmanager
def open_store() -> Iterator[Store]:
    """The tracking store, whose failure inside the block becomes one line."""
    from whoswho.lifecycle.tracking import store as tracking

    with tracking.answering(tracking.open_store()) as store:
        yield store


def _model_folder(reference: str | None) -> tuple[Path, str]:
    """The folder of a model, and what to call it.

    It is the folder itself, or that of a version or alias, fetched; by default the champion's.
    """
    if reference and not reference.startswith("models:"):
        return Path(reference), reference
    from whoswho.lifecycle.registry import version_files, versions

    with open_store() as store:
        number = versions.resolve(store, reference or versions.CHAMPION)
        folder = version_files.model_folder(store, str(number))
        return folder, f"models:/{store.project}/{number}"


_MODEL = value("--model", "MODEL", "a folder, or as models:/whoswho/3 (default: the champion)")
_WHY = value("--why", "TEXT", "goes into the promotion log", default="")
COMMANDS: Commands = {
    summary: (value("--activate", "COMMAND", "what the printed commands need typed before them"),),
    ui: address(5000),
    models: (),
    compare: (
        argument("a", metavar="A", help="a run, version, alias, DVC experiment, or workspace"),
        argument("b", metavar="B", help="the one to compare with it"),
    ),
    predict: (
        argument(
            "pictures",
            nargs="+",
            metavar="PICTURE",
            help="a file, a folder with all below it, a pattern, or - for a list on stdin",
        ),
        _MODEL,
        value("--figure", "FILE", "draw pictures, faces, names and probabilities", type=Path),
        number("--top", "name so many of the likeliest (default: 1; --json: all)", default=0),
        flag("--csv", "a row a picture with everything about the answer"),
        flag("--json", "a line of JSON a picture"),
        flag("--why", "also the training pictures of that person that are most like it"),
    ),
    serve: (
        *address(5002),
        values("--allow-host", "NAME", "another name it may be asked under, as behind a proxy"),
    ),
    export: (
        argument("folder", metavar="DIR", type=Path, help="absent or empty"),
        argument(
            "--format",
            required=True,
            choices=("onnx", "torchscript", "safetensors"),
            help="onnx: onnxruntime, with an example; torchscript: torch alone; safetensors",
        ),
        _MODEL,
    ),
    promote: (
        argument("version", nargs="?", default="challenger", help="(default: challenger)"),
        flag("--force", "overrule the gate; needs --why"),
        flag("--dry-run", "say every reason and note, move nothing; code 1 where it is refused"),
        _WHY,
    ),
    rollback: (_WHY,),
    trace: (
        argument("what", metavar="WHAT", help="version, alias, run; or a picture: file, sha256"),
        value("--rebuild", "DIR", "make the version again there; code 1 if it differs", type=Path),
    ),
    store: (),
}
