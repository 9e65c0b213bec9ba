"""`whoswho crawl --check`: does each site still give pictures? Nothing is kept."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from whoswho.crawl import download, progress
from whoswho.crawl.searching import NOTHING
from whoswho.crawl.site import CrawlOptions, CrawlSource, Hit, Search, Site, SiteError
from whoswho.crawl.transport import DownloadError, Transport
from whoswho.errors import UserError

HITS = 5  # asked of each site


def run(sources: Sequence[CrawlSource], options: CrawlOptions) -> None:
    """Try each source with its first search and say what works.

    Raises:
        UserError: nothing works.
    """
    proxy = options.proxies[0] if options.proxies else None
    works = 0
    with closing(options.transport()) as transport:
        for source in sources:
            search = source.searches[0]
            try:
                with closing(source.make(transport, proxy)) as site:
                    result = _try(site, search, transport, proxy)
                    works += 1
            except (SiteError, DownloadError) as error:
                result = str(error)
            progress.say(f"check: {source.site}, “{search.text}”: {result}")
    if not works:
        raise UserError("crawl --check: no site works; the lines above say why for each")


def _try(site: Site, search: Search, transport: Transport, proxy: str | None) -> str:
    """What a site gives for a search: how many hits at once, and what the first picture is.

    Raises:
        SiteError: no hit.
        DownloadError: hits, but none of their first pictures can be had.
    """
    hits: list[Hit] = []
    try:
        for hit in site.hits(search, HITS):
            hits.append(hit)
    except SiteError:
        if not hits:
            raise
    problem: Exception = SiteError(NOTHING)
    for hit in hits:
        try:
            picture = download.download(hit, transport, proxy)
        except DownloadError as error:
            if isinstance(problem, SiteError):
                problem = DownloadError(f"{len(hits)} hits, but no picture of them: {error}")
            continue
        note = f", {picture.note}" if picture.note else ""
        return (
            f"works ({len(hits)} hits tried; first picture: {picture.content_type}, "
            f"{picture.width}x{picture.height}, {len(picture.data)} bytes{note})"
        )
    raise problem
