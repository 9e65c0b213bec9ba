"""What the options of `whoswho crawl` ask for."""

from __future__ import annotations

import difflib
import os
import re
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from whoswho import paths
from whoswho.crawl import keywords, listed, proxies, sites
from whoswho.crawl.progress import say
from whoswho.crawl.site import CrawlOptions, CrawlSource
from whoswho.errors import UserError

KEYWORDS = Path("keywords.txt")
CONTACT = "WHOSWHO_CONTACT"  # the environment's --contact
LIMIT = 100  # of a search; a list that somebody made is taken whole


def plan(
    workspace: Path, arguments: Namespace
) -> tuple[Path, Sequence[CrawlSource], CrawlOptions]:
    """Where to crawl into, from what and how, as the parsed options of the command line ask for.

    Raises:
        UserError: options that do not go together, or a file that cannot be used.
    """
    data = arguments.out or workspace / paths.DATA
    if workspace.is_relative_to(data.resolve()):
        raise UserError(f"--out {data}: holds the repository itself; give a folder of its own")
    tracked = data.with_name(f"{data.name}.dvc")
    if not data.exists() and tracked.exists():
        raise UserError(
            f"{data}: not there, but {tracked.name} is; `dvc pull {tracked.name}` brings the set "
            f"and what it bars, or delete {tracked.name} to begin a new one"
        )
    for folder in (data, *data.parents):
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder}: is a file; give a folder to --out")
    if (arguments.link or arguments.label is not None) and arguments.folder is None:
        raise UserError("--link and --label say how to take --folder; give --folder DIR")
    if arguments.threads < 1:
        raise UserError("--threads 0: nothing would be asked; give 1 or more")
    options = CrawlOptions(
        full=arguments.full,
        face=arguments.face,
        window=arguments.window,
        threads=arguments.threads,
        proxies=proxies.read(arguments.proxies) if arguments.proxies else (),
        again=arguments.again,
        allow_private=arguments.allow_private,
        contact=_contact(arguments.contact),
    )
    return data, _sources(workspace, data, arguments, options), options


def _sources(
    workspace: Path, data: Path, arguments: Namespace, options: CrawlOptions
) -> list[CrawlSource]:
    sources: list[CrawlSource] = []
    limit = arguments.limit or 0
    if arguments.urls is not None:
        sources.append(listed.from_table(arguments.urls).source(limit))
    if arguments.folder is not None:
        pictures = listed.from_tree(arguments.folder, arguments.label)
        if pictures.note:
            say(f"crawl: {pictures.note}", trouble=True)
        sources.append(pictures.source(limit, link=arguments.link))
    if not sources or arguments.sites is not None or arguments.keywords is not None:
        searches = keywords.read(arguments.keywords or workspace / KEYWORDS, data)
        usual = sites.NAMES if arguments.check else sites.USUAL
        names = _names(arguments.sites) if arguments.sites is not None else usual
        if options.face and "commons" in names:
            note = "crawl: commons cannot search for faces alone; --face is left out there"
            say(note, trouble=True)
        limit = arguments.limit if arguments.limit is not None else LIMIT
        for name in names:
            make = partial(sites.make, name, options)
            sources.append(CrawlSource(name, make, searches, limit, thumbnails=not options.full))
    return sources


def _contact(given: str | None) -> str:
    """The contact address of the command line, else of the environment; it goes into a header."""
    contact = (os.environ.get(CONTACT, "") if given is None else given).strip()
    tame = re.fullmatch(r"[!-~]+", contact) and not set(contact) & set("();")
    if contact and not (tame and ("@" in contact or "://" in contact)):
        where = CONTACT if given is None else "--contact"
        raise UserError(
            f"{where} {contact[:60]!r}: no mail address and no page; give one, in ASCII, "
            "such as name@example.org"
        )
    return contact


def _names(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in sites.NAMES:
            close = difflib.get_close_matches(name, sites.NAMES, 1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(sites.NAMES)}"
            raise UserError(f"--sites {name}: no such site; {hint}")
    if not names:
        raise UserError(f"--sites: names none; known are {', '.join(sites.NAMES)}")
    return names
