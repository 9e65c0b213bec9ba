"""One search at one site, from its hits to pictures in the set.

They are fetched side by side and kept in the site's order, so that the same answers give the same
numbers.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace

from whoswho.crawl import addresses, download, progress
from whoswho.crawl.collection import Collection, is_thumbnail
from whoswho.crawl.download import THUMBNAIL, FetchedPicture
from whoswho.crawl.site import CrawlSource, Hit, Search, Site, SiteError
from whoswho.crawl.transport import DownloadError, Transport
from whoswho.dataset.forgotten import Forgotten
from whoswho.dataset.manifest import ManifestRow

AHEAD = 16  # pictures of one search fetched before the first of them is kept
REPEATS = 100  # results of a site in a row that bring nothing new: it goes round in circles
NOTHING = "the site gave no pictures and no reason; try another search"


@dataclass
class SearchOutcome:
    """What became of a search.

    Attributes:
        new: pictures kept. `known`: hits whose picture was there. `barred`: by data/forgotten/.
        failures: reasons, with how many pictures each cost.
        hits: what the site named.
        short: how many were found of how many asked for, empty where that is all or not known.
        error: why the search is not finished, empty where it is.
    """

    new: int = 0
    known: int = 0
    barred: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    hits: int = 0
    short: str = ""
    error: str = ""

    def __str__(self) -> str:
        parts = [f"{self.new} new"]
        parts += [f"{self.known} already there"] if self.known else []
        parts += [f"{self.barred} refused, data/forgotten/ bars them"] if self.barred else []
        if self.failures:
            most = self.failures.most_common(3)
            reasons = ", ".join(f"{count} {_briefly(why)}" for why, count in most)
            parts.append(f"{self.failures.total()} given up ({reasons})")
        parts += [self.short] if self.short else []
        return ", ".join(parts)


@dataclass(frozen=True)
class CrawlState:
    """What the searches of one crawl share; `stop` ends them all."""

    collection: Collection
    barred: Forgotten
    transport: Transport
    downloads: ThreadPoolExecutor
    stop: threading.Event = field(default_factory=threading.Event)


@dataclass
class SearchRun:
    """A search of a source under way; `counted` are the files that count towards its limit."""

    shared: CrawlState
    source: CrawlSource
    search: Search
    counted: set[str]
    proxy: str | None = None
    outcome: SearchOutcome = field(default_factory=SearchOutcome)
    _met: set[ManifestRow] = field(default_factory=set)  # rows of the pictures of this run's hits
    _fruitless: int = 0  # results in a row that brought none

    def run(self, site: Site) -> SearchOutcome:
        """Ask the site and keep what it finds, up to the limit."""
        limit, outcome = self.source.limit, self.outcome
        fetching: deque[tuple[Hit, Future[FetchedPicture]]] = deque()
        name = f"{self.search.label}, {self.source.site}"
        with (
            closing(self._hits(site)) as hits,
            progress.bar(name, len(self.counted), limit) as bar,
        ):
            while not self.shared.stop.is_set():
                enough = limit and len(self.counted) + len(fetching) >= limit
                enough = enough or self._fruitless >= REPEATS
                ready = bool(fetching) and fetching[0][1].done()
                more = not (enough or ready or len(fetching) >= AHEAD)
                if more and (hit := next(hits, None)):
                    if not self._needs_no_fetching(hit):
                        fetching.append((hit, self._fetch(hit)))
                elif fetching:
                    self._keep(*fetching.popleft())
                else:
                    break
                bar.update(len(self.counted) - bar.n)
        for _, future in fetching:
            future.cancel()
        if len(self.counted) < limit:
            outcome.short = f"{len(self.counted)} of {limit} found"
        if not (outcome.error or outcome.new or outcome.known or outcome.barred):
            outcome.error = NOTHING
            for reason, _ in outcome.failures.most_common(1):
                most = _briefly(reason)
                outcome.error = f"none of {outcome.hits} pictures could be had, most: {most}"
        return outcome

    def _hits(self, site: Site) -> Generator[Hit, None, None]:
        """What the site names; its failure is the outcome's."""
        try:
            for hit in site.hits(self.search, 0):
                self.outcome.hits += 1
                yield hit
        except SiteError as error:
            self.outcome.error = str(error)

    def _fetch(self, hit: Hit) -> Future[FetchedPicture]:
        shared = self.shared
        return shared.downloads.submit(download.download, hit, shared.transport, self.proxy)

    def _needs_no_fetching(self, hit: Hit) -> bool:
        """Whether a hit is barred, or its picture there."""
        if any(map(self.shared.barred.bars_address, (hit.image, hit.thumbnail, hit.page))):
            self.outcome.barred += 1
            self._count_fruitless()
            return True
        row = self.shared.collection.by_address(self.search.label, hit.image or hit.thumbnail)
        if row is None:
            return False
        if is_thumbnail(row) and not self.source.thumbnails and not hit.image:
            note = f"{THUMBNAIL}: the site shows no full picture"
            self.shared.collection.annotate(row, note)
        if row.file:
            self._drop_thumbnail(hit, row)  # left there by a kill
        self._count_known(row)
        return True

    def _keep(self, hit: Hit, future: Future[FetchedPicture]) -> None:
        """Take a fetched picture into the set, or write down why there is none."""
        collection, site = self.shared.collection, self.source.site
        try:
            picture = future.result()
        except DownloadError as reason:
            if not self.shared.stop.is_set():
                self.outcome.failures[str(reason)] += 1
                self._count_fruitless()
                name = f"{hit.file.name}: " if hit.file is not None else ""
                collection.note(self.search, site, hit, f"{name}{reason}")
            return
        if self.shared.barred.bars_picture(picture.sha256):
            self.outcome.barred += 1
            self._count_fruitless()
            return
        row = collection.by_picture(self.search.label, picture.sha256)
        if row is not None:
            if is_thumbnail(row) and not self.source.thumbnails:
                collection.annotate(row, picture.note)
            elif row.file and hit.file is None:
                note = f"the same picture as {row.file}"
                collection.note(self.search, site, hit, note, picture.sha256)
            self._count_known(row)
            return
        if self.source.thumbnails and not picture.note:
            picture = replace(picture, note=THUMBNAIL)
        elif hit.file is not None:
            picture = replace(picture, note=f"from {hit.file.name}")
        row = collection.save(self.search, site, hit, picture, link=self.source.link)
        self.counted.add(row.file)
        self.outcome.new += 1
        self._meet(row)
        self._drop_thumbnail(hit, row)

    def _drop_thumbnail(self, hit: Hit, row: ManifestRow) -> None:
        """Let the thumbnail that an earlier crawl kept of a hit give way to what it has now."""
        small = self.shared.collection.by_address(self.search.label, hit.thumbnail)
        if small is not None and small is not row and is_thumbnail(small) and small.file:
            self.shared.collection.drop(small)

    def _meet(self, row: ManifestRow) -> None:
        """Note that a hit's picture is this one, which is nothing new for the second hit of it."""
        if row in self._met:
            self._count_fruitless()
        else:
            self._met.add(row)
            self._fruitless = 0

    def _count_fruitless(self) -> None:
        if self.search not in self.source.contents:  # a list is read to its end
            self._fruitless += 1

    def _count_known(self, row: ManifestRow) -> None:
        self._meet(row)
        self.outcome.known += 1
        if row.file and row.site == self.source.site:
            self.counted.add(row.file)


def _briefly(why: str) -> str:
    """A reason without what the crawl says once, at its end."""
    return "at private addresses" if why.endswith(addresses.CURE) else why
