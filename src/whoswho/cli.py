"""The command `whoswho`: what a person types between two `dvc repro`.

Each command imports what it needs when it runs, so that `whoswho --help` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
import unicodedata
from collections.abc import Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING

from whoswho import __version__, params, paths
from whoswho.errors import UserError, one_line_errors

if TYPE_CHECKING:
    from whoswho.lifecycle.holders import Holder

CHAMPION = "models:/whoswho@champion"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; bad input ends with one line on stderr and exit code 2."""
    options = parser().parse_args(arguments)
    with one_line_errors():
        options.run(options)


def check(options: argparse.Namespace) -> None:
    """Say whether `dvc repro` can start: the params, the pictures, the review, the remote."""
    from whoswho.cleaning import checks
    from whoswho.dataset import review

    workspace = paths.workspace()
    params.load_params(workspace)
    pictures = checks.survey(workspace / paths.DATA)
    review.read(workspace / paths.REVIEW)
    _warn_of_a_remote_inside(workspace)
    print(f"check: params.yaml and {paths.REVIEW} are sound, {pictures}")


def crawl(options: argparse.Namespace) -> None:
    """Fetch pictures of the people in keywords.txt into data/, and note where each came from."""
    from whoswho.crawl import command, crawl
    from whoswho.lifecycle.signals import as_exceptions

    plan = command.plan(paths.workspace(), options)
    with as_exceptions():
        if options.check:
            crawl.check(plan.sources, plan.options)
        else:
            crawl.run(paths.root(), plan.data, plan.sources, plan.options)


def forget(options: argparse.Namespace) -> None:
    """Take pictures down with every trace, bar them from later crawls, name what holds them."""
    from whoswho.dataset import listing
    from whoswho.takedown import forget as removal
    from whoswho.takedown import traces, versioned, words

    workspace = paths.workspace()
    asked = traces.asked(options.url, options.sha256, options.label)
    found = traces.find(workspace, asked, with_copies=options.with_copies)
    repo = versioned.opened(workspace)
    objects, places = removal.held(repo, workspace, found)
    models = _holders(workspace, found.pictures, asked.labels)
    traces.check_known(found, elsewhere=bool(models))
    print("\n".join(words.before(found, workspace)))
    print("\n".join(words.held(objects, places, [str(model) for model in models], workspace)))
    if options.dry_run:
        print("dry run: nothing was changed, nothing is barred")
        return
    if found.any and not options.yes:
        _confirm("Remove them here?")
    changed = removal.remove(workspace, found)
    deletion = [line for model in models for line in model.deletion]
    push = "remote" in repo.config["core"]
    print("\n".join(words.after(places, deletion, changed=changed, push=push)))
    try:
        listing.scan(workspace / paths.DATA)
    except UserError as error:
        print(f"`whoswho check` will say: {error}")


def sample(options: argparse.Namespace) -> None:
    """Draw the invented people that the repository carries as its first set."""
    from whoswho import sample as drawing

    drawn = drawing.draw(options.out, options.seed)
    print(f"sample: {drawn} in {options.out}")


def summary(options: argparse.Namespace) -> None:
    """Print the ten lines that close `make repro`."""
    from whoswho.lifecycle import promotion
    from whoswho.reporting import summary as closing

    workspace = paths.workspace()
    standing = promotion.standing(workspace)
    print("\n".join(closing.lines(workspace, standing, activate=options.activate)))


def predict(options: argparse.Namespace) -> None:
    """Name the person on each picture; an unfit picture gets its reason and the rest go on."""
    from whoswho.inference import predictor

    answers = predictor.load(options.model).predict(
        options.pictures, keep_images=options.figure is not None
    )
    rows = [("picture", "name", "probability")]
    for answer in answers:
        said = f"({answer.problem})" if answer.problem else answer.title
        sure = "" if answer.probability is None else f"{answer.probability:.3f}"
        rows.append((answer.name, said, sure))
    print("\n".join(_aligned(rows)))
    if all(answer.problem for answer in answers):
        raise UserError("none of the pictures could be read; the table says why for each")
    if options.figure:
        from whoswho.reporting.plots import sheets

        shown = [
            (answer.image, answer.title, answer.probability)
            for answer in answers
            if answer.image and answer.probability is not None
        ]
        sheets.strip(shown, options.figure)
        print(f"figure: {options.figure}")


def models(options: argparse.Namespace) -> None:
    """List the registered versions, newest first, with their test metrics and aliases."""
    from whoswho.lifecycle import promotion

    for line in promotion.table():
        print(line)


def promote(options: argparse.Namespace) -> None:
    """Make a version the champion if the gate lets it through, and log who did it and why."""
    from whoswho.lifecycle import promotion

    for line in promotion.promote(
        options.version, params.load_params().promote, why=options.why, force=options.force
    ):
        print(line)


def rollback(options: argparse.Namespace) -> None:
    """Give the champion's place back to the version that held it before."""
    from whoswho.lifecycle import promotion

    for line in promotion.rollback(why=options.why):
        print(line)


def store(options: argparse.Namespace) -> None:
    """Print the tracking store's address, the MLFLOW_TRACKING_URI of MLflow's own commands."""
    from whoswho.lifecycle import tracking

    print(tracking.open_store().uri)


def review(options: argparse.Namespace) -> None:
    """Serve the page on which a person turns what the checks decided about single pictures."""
    from whoswho.reviewing import server

    server.serve(paths.workspace(), options.host, options.port)


def ui(options: argparse.Namespace) -> None:
    """Serve the MLflow pages of this repository's runs."""
    from whoswho.lifecycle import tracking

    tracking.serve_ui(paths.root(), options.host, options.port)


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
    from whoswho.lifecycle import store

    if not os.environ.get("MLFLOW_TRACKING_URI") and not (workspace / store.DATABASE).is_file():
        return []  # nothing was ever trained, and no store is made to look into
    from whoswho.lifecycle import holders

    try:
        return holders.holding(workspace, pictures, labels)
    except UserError as error:
        print(f"whoswho: warning: no run or version was looked into: {error}", file=sys.stderr)
        return []


def _count(text: str) -> int:
    """A whole number from 0 up, for argparse."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 up")
    return int(text)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of text as a terminal shows them, where a Hangul letter is two cells wide."""

    def width(text: str) -> int:
        return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)

    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell + " " * (wide - width(cell)) for cell, wide in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def _warn_of_a_remote_inside(workspace: Path) -> None:
    """A default remote inside the repository would put private pictures into Git on a push."""
    import configparser

    config = configparser.ConfigParser()
    config.read([workspace / ".dvc" / "config", workspace / ".dvc" / "config.local"])
    default = config.get("core", "remote", fallback=None)
    if default is None:
        return
    url = config.get(f"'remote \"{default}\"'", "url", fallback="")
    if "://" not in url and (workspace / ".dvc" / url).resolve().is_relative_to(workspace):
        print(
            f"whoswho: warning: the default remote {default!r} lies inside this repository; "
            "`dvc push` would put your pictures into Git: dvc remote default --unset",
            file=sys.stderr,
        )


def parser() -> argparse.ArgumentParser:
    """The command line: every command with its options."""
    program = argparse.ArgumentParser(
        prog="whoswho",
        description="From a list of names to a registered model that tells them apart.",
    )
    program.add_argument("--version", action="version", version=f"whoswho {__version__}")
    commands = program.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(run, **arguments: str) -> argparse.ArgumentParser:  # type: ignore[no-untyped-def]
        first_line = run.__doc__.splitlines()[0]
        added = commands.add_parser(run.__name__, help=first_line, description=first_line)
        added.set_defaults(run=run)
        return added

    command(check)

    added = command(crawl)
    added.add_argument(
        "--keywords", type=Path, metavar="FILE", help="what to search for (default: keywords.txt)"
    )
    added.add_argument(
        "--sites", metavar="NAMES",
        help="google, naver, commons; several with commas (default: google,naver)",
    )  # fmt: skip
    added.add_argument(
        "--limit", type=_count, metavar="N",
        help="pictures of a label from a site, 0: all (default: 100 of a search, a list whole)",
    )  # fmt: skip
    added.add_argument("--full", action="store_true", help="full pictures, not thumbnails (slow)")
    added.add_argument("--face", action="store_true", help="only pictures the site sees faces on")
    added.add_argument(
        "--threads", type=_count, default=2, metavar="N",
        help="searches side by side, each with a browser of its own (default: 2)",
    )  # fmt: skip
    added.add_argument(
        "--proxies", metavar="FILE", help="proxies, one a line; or a list with commas"
    )
    added.add_argument("--window", action="store_true", help="show the browser")
    added.add_argument(
        "--urls", type=Path, metavar="CSV", help="fetch a table of url,label instead of searching"
    )
    added.add_argument(
        "--folder", type=Path, metavar="DIR", help="take DIR/<label>/ instead of searching"
    )
    added.add_argument("--label", metavar="NAME", help="all of --folder is this one label's")
    added.add_argument("--link", action="store_true", help="hard links to --folder, no copies")
    added.add_argument("--again", action="store_true", help="ask also where a search is finished")
    added.add_argument("--out", type=Path, metavar="DIR", help="the set (default: data)")
    added.add_argument(
        "--allow-private", action="store_true",
        help="let addresses lead to this machine and its network",
    )  # fmt: skip
    added.add_argument(
        "--check", action="store_true", help="try each site once, keep nothing, say what works"
    )

    added = command(forget)
    for name, value, what in (
        ("--url", "URL", "address of a picture, or of the page it stood on"),
        ("--sha256", "HEX", "hash of a picture's file"),
        ("--label", "NAME", "a person: every picture of theirs"),
    ):
        added.add_argument(name, action="append", default=[], metavar=value, help=what)
    added.add_argument(
        "--with-copies", action="store_true", help="also the pictures that look like them"
    )
    added.add_argument("--yes", action="store_true", help="do not ask")
    added.add_argument("--dry-run", action="store_true", help="say what would go; change nothing")

    added = command(sample)
    added.add_argument("--out", type=Path, default=paths.DATA, metavar="DIR")
    added.add_argument("--seed", type=int, default=0, metavar="N")

    added = command(summary)
    added.add_argument(
        "--activate", metavar="COMMAND", help="what the printed commands need typed before them"
    )

    added = command(predict)
    added.add_argument("pictures", nargs="+", type=Path, metavar="PICTURE")
    added.add_argument(
        "--model", default=CHAMPION, metavar="MODEL",
        help=f"a registered model or a folder such as {paths.MODEL} (default: {CHAMPION})",
    )  # fmt: skip
    added.add_argument(
        "--figure", type=Path, metavar="FILE", help="draw the pictures titled with their names"
    )

    command(models)

    added = command(promote)
    added.add_argument("version", nargs="?", default="challenger", help="number or alias")
    added.add_argument("--force", action="store_true", help="overrule the gate; needs --why")
    added.add_argument("--why", default="", metavar="TEXT", help="goes into the promotion log")

    added = command(rollback)
    added.add_argument("--why", default="", metavar="TEXT", help="goes into the promotion log")

    command(store)

    added = command(review)
    added.add_argument("--host", default="127.0.0.1")
    added.add_argument("--port", type=int, default=5001)

    added = command(ui)
    added.add_argument("--host", default="127.0.0.1")
    added.add_argument("--port", type=int, default=5000)
    return program


if __name__ == "__main__":
    main()
