"""The command `whoswho`: what a person types between two `dvc repro`.

Each command imports what it needs when it runs, so that `whoswho --help` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from whoswho import __version__, params, paths
from whoswho.errors import UserError, one_line_errors

if TYPE_CHECKING:
    from whoswho.lifecycle.holders import Holder
    from whoswho.lifecycle.tracking.store import Store

CHAMPION = "models:/whoswho@champion"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; bad input ends with one line on stderr and exit code 2."""
    options = parser().parse_args(arguments)
    with one_line_errors():
        for line in options.run(options) or ():
            print(line)


def check(options: argparse.Namespace) -> None:
    """Say whether `dvc repro` can start: the params, the pictures, the review, the merges."""
    from whoswho.cleaning import checks
    from whoswho.dataset import merging, remote, review

    workspace = paths.workspace()
    merging.check(workspace)
    params.load_params(workspace)
    pictures = checks.survey(workspace / paths.DATA)
    if not (workspace / paths.REVIEW).exists():
        raise UserError(
            f"{paths.REVIEW}: not there, and dvc.yaml needs it; `git checkout {paths.REVIEW}` "
            f"brings it back, or write its header into it: {','.join(review.COLUMNS)}"
        )
    review.read(workspace / paths.REVIEW)
    for warning in (remote.warning(workspace), merging.barred_again(workspace / paths.DATA)):
        if warning:
            print(f"whoswho: warning: {warning}", file=sys.stderr)
    print(f"check: params.yaml and {paths.REVIEW} are sound, {pictures}")
    print("".join(f"{line}\n" for line in merging.advice(workspace)), end="")


def crawl(options: argparse.Namespace) -> None:
    """Fetch pictures of the people in keywords.txt into data/, and note where each came from."""
    from whoswho.crawl import command, crawl, trial
    from whoswho.lifecycle.tracking.signals import as_exceptions

    plan = command.plan(paths.workspace(), options)
    with as_exceptions():
        if options.check:
            trial.run(plan.sources, plan.options)
        else:
            crawl.run(paths.root(), plan.data, plan.sources, plan.options)


def forget(options: argparse.Namespace) -> None:
    """Take pictures down with every trace, bar them from later crawls, name what holds them."""
    from whoswho.dataset import listing
    from whoswho.takedown import messages, removal, traces, versioned
    from whoswho.takedown.request import TakedownRequest

    workspace = paths.workspace()
    request = TakedownRequest.parse(options.url, options.sha256, options.label)
    found = traces.find(workspace, request, with_copies=options.with_copies)
    repo = versioned.opened(workspace)
    objects, stores = removal.held(repo, workspace, found)
    models = _holders(workspace, found.pictures, request.labels)
    traces.check_known(found, elsewhere=bool(models))
    print("\n".join(messages.before(found, workspace)))
    print("\n".join(messages.held(objects, stores, [str(model) for model in models], workspace)))
    if options.dry_run:
        print("dry run: nothing was changed, nothing is barred")
        return
    if found.any and not options.yes:
        _confirm("Remove them here?")
    changed = removal.remove(workspace, found)
    deletion = [line for model in models for line in model.deletion]
    push = "remote" in repo.config["core"]
    print("\n".join(messages.after(stores, deletion, changed=changed, push=push)))
    try:
        listing.scan(workspace / paths.DATA)
    except UserError as error:
        print(f"`whoswho check` will say: {error}")


def sample(options: argparse.Namespace) -> None:
    """Draw the invented people that the repository carries as its first set."""
    from whoswho import sample as drawing

    drawn = drawing.draw(options.out, options.seed)
    print(f"sample: {drawn} in {options.out}")


def summary(options: argparse.Namespace) -> list[str]:
    """Print the lines that close `make repro`."""
    from whoswho.lifecycle import promotion
    from whoswho.lifecycle import summary as closing

    workspace = paths.workspace()
    with _open_store() as store:
        standing = promotion.standing(store, workspace)
    return closing.lines(workspace, standing, activate=options.activate)


def predict(options: argparse.Namespace) -> None:
    """Name the person on each picture; a picture without an answer gets its reason, and code 1."""
    from whoswho.lifecycle import prediction

    files = prediction.pictures(options.pictures, sys.stdin)
    folder, version = _model_folder(options.model)
    workspace = paths.workspace() if options.why else None
    form = "csv" if options.csv else "json" if options.json else "table"
    request = prediction.Request(files, version, form, options.top, options.figure, workspace)
    prediction.answer(folder, request, sys.stdout)


def models(_options: argparse.Namespace) -> list[str]:
    """List the registered versions, newest first, with their test metrics and aliases."""
    from whoswho.lifecycle import promotion

    with _open_store() as store:
        return promotion.table(store)


def promote(options: argparse.Namespace) -> list[str]:
    """Make a version the champion if the gate lets it through, and log who did it and why."""
    from whoswho.lifecycle import promotion

    policy = params.load_params().promote
    with _open_store() as store:
        return promotion.promote(
            store, options.version, policy, why=options.why, force=options.force
        )


def rollback(options: argparse.Namespace) -> list[str]:
    """Give the champion's place back to the version that held it before."""
    from whoswho.lifecycle import promotion

    with _open_store() as store:
        return promotion.rollback(store, why=options.why)


def store(_options: argparse.Namespace) -> list[str]:
    """Print the tracking store's address, the MLFLOW_TRACKING_URI of MLflow's own commands."""
    with _open_store() as opened:
        return [opened.uri]


def review(options: argparse.Namespace) -> None:
    """Serve the page on which a person turns what the checks decided about single pictures."""
    from whoswho.reviewing import server

    server.serve(paths.workspace(), options.host, options.port)


def ui(options: argparse.Namespace) -> None:
    """Serve the MLflow pages of this repository's runs."""
    from whoswho.lifecycle import ui as pages

    pages.serve(paths.root(), options.host, options.port)


@contextmanager
def _open_store() -> Iterator[Store]:
    """The tracking store, whose failure inside the block becomes one line."""
    from whoswho.lifecycle.tracking.store import answering, open_store

    with answering(open_store()) as store:
        yield store


def _model_folder(reference: str) -> tuple[Path, str]:
    """The folder of a model, and what to call it.

    It is the folder itself, or that of `models:/whoswho@champion`, fetched.
    """
    if not reference.startswith("models:"):
        return Path(reference), reference
    from whoswho.lifecycle.registry import version_files, versions

    with _open_store() as store:
        folder = version_files.model_folder(store, reference)
        return folder, f"models:/{versions.NAME}/{versions.resolve(store, reference)}"


def _confirm(question: str) -> None:
    """Ask on the terminal; UserError where the answer is no, or where nobody can answer."""
    if not sys.stdin.isatty():
        raise UserError("nothing was changed: nobody can be asked here; --yes removes unasked")
    try:
        answer = input(f"{question} [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise UserError("nothing was changed")


def _holders(workspace: Path, pictures: Set[str], labels: Set[str]) -> Sequence[Holder]:
    """Runs and versions that hold pictures; a store that does not answer stops no takedown."""
    from whoswho.lifecycle.tracking import embedded_store

    if not embedded_store.exists(workspace):
        return []  # nothing was ever trained, and no store is made to look into
    from whoswho.lifecycle import holders

    try:
        with _open_store() as store:
            return holders.holding(store, pictures, labels)
    except UserError as error:
        print(f"whoswho: warning: no run or version was looked into: {error}", file=sys.stderr)
        return []


def _count(text: str) -> int:
    """A whole number from 0 up, for argparse."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 up")
    return int(text)


Argument = tuple[tuple[str, ...], dict[str, Any]]  # as argparse takes it


def _argument(*names: str, **settings: Any) -> Argument:
    return names, settings


def _value(name: str, metavar: str, what: str, **settings: Any) -> Argument:
    return _argument(name, metavar=metavar, help=what, **settings)


def _flag(name: str, what: str) -> Argument:
    return _argument(name, action="store_true", help=what)


def _number(name: str, what: str, **settings: Any) -> Argument:
    return _value(name, "N", what, type=_count, **settings)


def _list(name: str, metavar: str, what: str) -> Argument:
    return _value(name, metavar, what, action="append", default=[])


def _address(port: int) -> tuple[Argument, ...]:
    host = _argument("--host", default="127.0.0.1", help="listen here (default: 127.0.0.1)")
    return host, _argument("--port", type=int, default=port, help=f"(default: {port})")


_WHY = _value("--why", "TEXT", "goes into the promotion log", default="")
COMMANDS: dict[Callable[[argparse.Namespace], list[str] | None], tuple[Argument, ...]] = {
    check: (),
    crawl: (
        _value("--keywords", "FILE", "what to search for (default: keywords.txt)", type=Path),
        _value("--sites", "NAMES", "google, naver, commons, with commas (default: google,naver)"),
        _number("--limit", "pictures of a label from a site, 0: all (default 100, of a list all)"),
        _flag("--full", "full pictures, not thumbnails (slow)"),
        _flag("--face", "only pictures the site sees faces on"),
        _number("--threads", "searches side by side, a browser each (default: 2)", default=2),
        _value("--proxies", "FILE", "proxies, one a line; or a list with commas"),
        _flag("--window", "show the browser"),
        _value("--urls", "CSV", "fetch a table of url,label instead of searching", type=Path),
        _value("--folder", "DIR", "take DIR/<label>/ instead of searching", type=Path),
        _value("--label", "NAME", "all of --folder is this one label's"),
        _flag("--link", "hard links to --folder, no copies"),
        _flag("--again", "ask also where a search is finished"),
        _value("--out", "DIR", "the set (default: data)", type=Path),
        _flag("--allow-private", "let addresses lead to this machine and its network"),
        _value("--contact", "ADDRESS", "for the user agent (default: $WHOSWHO_CONTACT)"),
        _flag("--check", "try each site once, keep nothing, say what works"),
    ),
    forget: (
        _list("--url", "URL", "address of a picture, or of the page it stood on"),
        _list("--sha256", "HEX", "hash of a picture's file"),
        _list("--label", "NAME", "a person: every picture of theirs"),
        _flag("--with-copies", "also the pictures that look like them"),
        _flag("--yes", "do not ask"),
        _flag("--dry-run", "say what would go; change nothing"),
    ),
    sample: (
        _value("--out", "DIR", "absent or empty (default: data)", type=Path, default=paths.DATA),
        _number("--seed", "another one draws another set (default: 0)", default=0),
    ),
    summary: (
        _value("--activate", "COMMAND", "what the printed commands need typed before them"),
    ),
    predict: (
        _argument(
            "pictures",
            nargs="+",
            metavar="PICTURE",
            help="a file, a folder with all below it, a pattern, or - for a list on stdin",
        ),
        _value("--model", "MODEL", f"{CHAMPION} (default), or a folder", default=CHAMPION),
        _value("--figure", "FILE", "draw pictures, faces, names and probabilities", type=Path),
        _number("--top", "name so many of the likeliest (default: 1; --json: all)", default=0),
        _flag("--csv", "a row a picture with everything about the answer"),
        _flag("--json", "a line of JSON a picture"),
        _flag("--why", "also the training pictures of that person that are most like it"),
    ),
    models: (),
    promote: (
        _argument("version", nargs="?", default="challenger", help="(default: challenger)"),
        _flag("--force", "overrule the gate; needs --why"),
        _WHY,
    ),
    rollback: (_WHY,),
    store: (),
    review: _address(5001),
    ui: _address(5000),
}


def parser() -> argparse.ArgumentParser:
    """The command line: every command with its options."""
    program = argparse.ArgumentParser(
        prog="whoswho",
        description="From a list of names to a registered model that tells them apart.",
    )
    program.add_argument("--version", action="version", version=f"whoswho {__version__}")
    commands = program.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for run, arguments in COMMANDS.items():
        first_line = (run.__doc__ or "").splitlines()[0]
        command = commands.add_parser(run.__name__, help=first_line, description=first_line)
        command.set_defaults(run=run)
        for names, settings in arguments:
            command.add_argument(*names, **settings)
    return program


if __name__ == "__main__":
    main()
