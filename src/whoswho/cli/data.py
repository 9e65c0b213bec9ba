"""Commands about the pictures: checked, fetched, reviewed, taken down, drawn."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING

from whoswho import git, params, paths
from whoswho.cli.arguments import Commands, address, flag, number, value, values
from whoswho.cli.models import open_store
from whoswho.errors import UserError

if TYPE_CHECKING:
    from whoswho.lifecycle.holders import Holder


def check(options: argparse.Namespace) -> None:
    """Say whether `dvc repro` can start: params, pictures, review, merges, what the store has."""
    from whoswho.cleaning import checks
    from whoswho.dataset import merging, pulled, remote, review, versions

    workspace = paths.workspace()
    merging.check(workspace)
    params.load_params(workspace)
    versions.check_locks(workspace)
    versions.check_links(workspace)
    pulled.check(workspace)
    pictures = checks.survey(workspace / paths.DATA)
    if not (workspace / paths.REVIEW).exists():
        raise UserError(
            f"{paths.REVIEW}: not there, and dvc.yaml needs it; `git checkout {paths.REVIEW}` "
            f"brings it back, or write its header into it: {','.join(review.COLUMNS)}"
        )
    review.read(workspace / paths.REVIEW)
    barred = merging.barred_again(workspace / paths.DATA)
    for warning in (remote.warning(workspace), barred, _store(workspace)):
        if warning:
            print(f"whoswho: warning: {warning}", file=sys.stderr)
    print(f"check: params.yaml and {paths.REVIEW} are sound, {pictures}")
    print("".join(f"{line}\n" for line in merging.advice(workspace)), end="")


def merge(options: argparse.Namespace) -> list[str]:
    """Bring into data/ what the pulled data.dvc names; what only you have stays."""
    from whoswho.crawl import collection
    from whoswho.dataset import pulled

    workspace = paths.workspace()
    with collection.alone(workspace):
        return pulled.merge(workspace)


def pull(_options: argparse.Namespace) -> list[str]:
    """Bring data/, where it is absent, from DVC's default remote, or else the sample's."""
    from whoswho.dataset import pulling

    return [pulling.pull(paths.workspace())]


def crawl(options: argparse.Namespace) -> None:
    """Fetch pictures of the people in keywords.txt into data/, and note where each came from."""
    from whoswho.crawl import command, crawl, trial
    from whoswho.lifecycle.tracking.signals import as_exceptions

    data, sources, how = command.plan(paths.workspace(), options)
    with as_exceptions():
        if options.check:
            trial.run(sources, how)
        else:
            crawl.run(paths.root(), data, sources, how)


def review(options: argparse.Namespace) -> None:
    """Serve the page on which a person turns what the checks decided about single pictures."""
    from whoswho.reviewing import server

    server.serve(paths.workspace(), options.host, options.port)


def forget(options: argparse.Namespace) -> None:
    """Take pictures down with every trace, bar them from later crawls, name what holds them."""
    from whoswho.dataset import listing, versions
    from whoswho.takedown import committed, messages, removal, same_face, traces
    from whoswho.takedown.request import TakedownRequest

    workspace = paths.workspace()
    request = TakedownRequest.parse(options.url, options.sha256, options.label)
    known = traces.find(workspace, request, with_copies=options.with_copies)
    repo = versions.opened(workspace)
    objects, stores = removal.held(repo, workspace, known)
    models, clear, served = _holders(workspace, known.pictures, request.labels)
    traces.check_known(known, elsewhere=bool(models))
    exports = removal.exports(workspace, {model.digest for model in models}, clear)
    commits = committed.find(
        workspace, removal.words(known), removal.labels_that_stay(known), objects.keys(),
        removal.left_to_people(known),
    )  # fmt: skip
    others = [line for model in models for line in model.lines]
    others += [*served, *exports.values(), *committed.lines(commits)]
    theirs = same_face.find(workspace, repo, known)
    print("\n".join(messages.before(known, theirs, workspace)))
    print("\n".join(messages.held(objects, stores, others, workspace)))
    if options.dry_run:
        print("dry run: nothing was changed, nothing is barred")
        return
    if known.any and not options.yes:
        _confirm("Remove them here?")
    changed = removal.remove(workspace, known)
    deletion = [line for model in models for line in model.deletion]
    steps = messages.Steps(
        rebuild=changed or not known.past.present.isdisjoint(objects),
        push="remote" in repo.config["core"],
        deletion=deletion,
        exports=list(exports),
        stripping=committed.stripping(workspace, commits),
        unsaved=bool(git.answer(workspace, "status", "--porcelain", "-uno")),
    )
    print("\n".join(messages.after(stores, steps)))
    try:
        listing.scan(workspace / paths.DATA)
    except UserError as error:
        print(f"`whoswho check` will say: {error}")


def sample(options: argparse.Namespace) -> None:
    """Draw the invented people that the repository carries as its first set."""
    from whoswho import sample as drawing

    drawn = drawing.draw(options.out, options.seed)
    print(f"sample: {drawn} in {options.out}")


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


def _holders(
    workspace: Path, pictures: Set[str], labels: Set[str]
) -> tuple[Sequence[Holder], Set[str], Sequence[str]]:
    """Runs and versions that hold pictures, digests of models that do not, what to say of servers;
    a store that does not answer stops no takedown.
    """
    from whoswho.lifecycle.tracking import embedded_store

    if not embedded_store.exists(workspace):
        return [], set(), []  # nothing was ever trained, and no store is made to look into
    from whoswho.lifecycle import holders

    try:
        with open_store() as store:
            holding = holders.holding(store, pictures, labels)
            clear = holders.digests(store) - {holder.digest for holder in holding}
            return holding, clear, holders.served(store, holding)
    except UserError as error:
        print(f"whoswho: warning: no run or version was looked into: {error}", file=sys.stderr)
        return [], set(), []


def _store(workspace: Path) -> str:
    """What the store lacks of the model at hand, or why it cannot be asked; else empty.

    A store that a person named is tried in any case, and where the runs go is printed.

    Raises:
        UserError: that store cannot be used.
    """
    from whoswho.lifecycle.tracking import embedded_store

    named = embedded_store.named_elsewhere(workspace)
    if not named and not (workspace / paths.REGISTERED).is_file():
        return ""  # and MLflow, which takes seconds to import, is not
    from whoswho.lifecycle.registry import lost
    from whoswho.lifecycle.tracking.store import public

    try:
        with open_store() as store:
            if named:
                print(f"check: runs go to {public(store.uri)}, experiment {store.project}")
            return lost.missing_here(store, workspace)
    except UserError as error:
        if not named:
            return str(error)
        raise UserError(f"{error}; to train all the same, untracked: dvc repro") from None


COMMANDS: Commands = {
    check: (),
    merge: (),
    pull: (),
    crawl: (
        value("--keywords", "FILE", "what to search for (default: keywords.txt)", type=Path),
        value("--sites", "NAMES", "google, naver, commons, with commas (default: google,naver)"),
        number("--limit", "pictures of a label from a site, 0: all (default 100, of a list all)"),
        flag("--full", "full pictures, not thumbnails (slow)"),
        flag("--face", "only pictures the site sees faces on"),
        number("--threads", "searches side by side, a browser each (default: 2)", default=2),
        value("--proxies", "FILE", "proxies, one a line; or a list with commas"),
        flag("--window", "show the browser"),
        value("--urls", "CSV", "fetch a table of url,label instead of searching", type=Path),
        value("--folder", "DIR", "take DIR/<label>/ instead of searching", type=Path),
        value("--label", "NAME", "all of --folder is this one label's"),
        flag("--link", "hard links to --folder, no copies"),
        flag("--again", "ask also where a search is finished"),
        value("--out", "DIR", "the set (default: data)", type=Path),
        flag("--allow-private", "let addresses lead to this machine and its network"),
        value("--contact", "ADDRESS", "for the user agent (default: $WHOSWHO_CONTACT)"),
        flag("--check", "try each site once, keep nothing, say what works"),
    ),
    review: address(5001),
    forget: (
        values("--url", "URL", "address of a picture, or of the page it stood on"),
        values("--sha256", "HEX", "hash of a picture's file"),
        values("--label", "NAME", "a person: every picture of theirs"),
        flag("--with-copies", "also the pictures that look like them"),
        flag("--yes", "do not ask"),
        flag("--dry-run", "say what would go; change nothing"),
    ),
    sample: (
        value("--out", "DIR", "absent or empty (default: data)", type=Path, default=paths.DATA),
        number("--seed", "another one draws another set (default: 0)", default=0),
    ),
}
