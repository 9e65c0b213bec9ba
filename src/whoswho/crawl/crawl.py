"""The crawl: every search at every site, its pictures into data/<label>/, and what became of it.

A search is one label, one site, one text. Searches of one label at one site run one after the
other, in the order of keywords.txt, until the label has as many pictures of the site as asked
for; different ones run side by side. Pictures of a search are fetched side by side and kept in
the site's order, so that the same answers give the same numbers.
"""

from __future__ import annotations

import queue
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from whoswho.crawl import collection, download, progress, sites
from whoswho.crawl.collection import Collection, is_thumbnail
from whoswho.crawl.download import THUMBNAIL, Picture
from whoswho.crawl.finished import Asked, Finished
from whoswho.crawl.site import Hit, Search, Site, SiteError
from whoswho.crawl.transport import DownloadError, Limits, Transport
from whoswho.dataset import forgotten
from whoswho.errors import UserError

DOWNLOADS = 16  # pictures fetched side by side
AHEAD = 16  # pictures of one search fetched before the first of them is kept
FEW = 0.5  # a label with less than this share of the mean is warned about
TRIED = 5  # hits a site is asked for by `check`
CAUSES = 3  # failed searches named in the last line

MakeSite = Callable[[Transport, str | None], Site]


@dataclass(frozen=True)
class Source:
    """A site and what it is asked.

    Attributes:
        site: its name.
        make: gives the site for a transport and a proxy.
        limit: pictures a label gets from it, 0: all.
        thumbnails: it is asked for thumbnails.
        link: its files are linked, not copied.
    """

    site: str
    make: MakeSite
    searches: Sequence[Search]
    limit: int = 0
    thumbnails: bool = False
    link: bool = False


@dataclass(frozen=True)
class Options:
    """How to crawl.

    Attributes:
        full, face: what sites are asked for; see `sites.SiteOptions`.
        threads: searches side by side.
        proxies: taken in turn by the threads.
        again: ask also where a search is finished.
        allow_private: let addresses lead to this machine and its network.
    """

    full: bool = False
    face: bool = False
    threads: int = 2
    proxies: Sequence[str] = ()
    again: bool = False
    allow_private: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass
class Outcome:
    """What became of a search.

    Attributes:
        new: pictures kept. `known`: hits whose picture was there. `barred`: by forgotten.csv.
        given_up: reasons, with how many pictures each cost.
        hits: what the site named.
        error: why the search is not finished, empty where it is.
    """

    new: int = 0
    known: int = 0
    barred: int = 0
    given_up: Counter[str] = field(default_factory=Counter)
    hits: int = 0
    error: str = ""

    def __str__(self) -> str:
        parts = [f"{self.new} new"]
        parts += [f"{self.known} already there"] if self.known else []
        parts += [f"{self.barred} refused, forgotten.csv bars them"] if self.barred else []
        if self.given_up:
            reasons = ", ".join(f"{count} {why}" for why, count in self.given_up.most_common(3))
            parts.append(f"{self.given_up.total()} given up ({reasons})")
        return ", ".join(parts)


def run(root: Path, data: Path, sources: Sequence[Source], options: Options) -> None:
    """Crawl `sources` into `data`. Marks of finished searches are kept under `root`.

    Raises:
        UserError: something to mend before it starts; or, at the end, searches that brought
            nothing or not all.
    """
    labels = {search.label for source in sources for search in source.searches}
    collection.check_labels(data, labels)
    barred = forgotten.load(data)
    with collection.alone(root):
        pictures = Collection(data)
        transport = Transport(options.limits, allow_private=options.allow_private)
        crawl = _Crawl(pictures, barred, Finished(root, data), transport, options)
        try:
            crawl.run(sources)
        finally:
            pictures.close()
            transport.close()
    crawl.report(labels)


@dataclass
class _Task:
    """The searches of one label at one site."""

    source: Source
    label: str
    searches: list[Search]

    @property
    def name(self) -> str:
        return f"{self.label}, {self.source.site}"


class _Crawl:
    """A crawl under way."""

    def __init__(
        self,
        pictures: Collection,
        barred: forgotten.Forgotten,
        finished: Finished,
        transport: Transport,
        options: Options,
    ) -> None:
        self._pictures = pictures
        self._barred = barred
        self._finished = finished
        self._transport = transport
        self._options = options
        self._stop = threading.Event()
        self._sites: list[Site] = []
        self._pool = ThreadPoolExecutor(DOWNLOADS, "download")
        self._defect: BaseException | None = None
        self.new = self.skipped = 0
        self.failed: list[str] = []
        self._lock = threading.Lock()

    # --- Threads ---------------------------------------------------------------------------------

    def run(self, sources: Sequence[Source]) -> None:
        tasks: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        count = 0
        for task in self._tasks(sources):
            tasks.put(task)
            count += 1
        threads = [
            threading.Thread(target=self._work, args=(tasks, number), daemon=True)
            for number in range(min(self._options.threads, count))
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(0.1)  # a join without end would hear no signal on Windows
        except BaseException as error:
            self._break_off(threads)
            if isinstance(error, SystemExit):
                print("crawl: told to end; the same command goes on from here", file=sys.stderr)
            raise
        finally:
            self._pool.shutdown(cancel_futures=True)
        if self._defect is not None:
            raise self._defect

    def _tasks(self, sources: Sequence[Source]) -> Iterator[_Task]:
        """Label by label, so that neighbours ask different sites."""
        tasks: dict[tuple[str, str], _Task] = {}
        for source in sources:
            for search in source.searches:
                key = (search.label, source.site)
                tasks.setdefault(key, _Task(source, search.label, [])).searches.append(search)
        labels = list(dict.fromkeys(label for label, _ in tasks))
        for label in labels:
            if self._barred.bars_label(label):
                progress.say(
                    f"crawl: {label}: data/forgotten.csv bars this label; take it out of the list",
                    trouble=True,
                )
                continue
            yield from (task for task in tasks.values() if task.label == label)

    def _work(self, tasks: queue.SimpleQueue[_Task], number: int) -> None:
        """Do one task after the other; each site is made once, and given back at the end."""
        proxies = self._options.proxies
        proxy = proxies[number % len(proxies)] if proxies else None
        made: dict[str, Site] = {}
        try:
            while not self._stop.is_set():
                task = tasks.get_nowait()
                self._label(task, made, proxy)
        except queue.Empty:
            pass
        except BaseException as error:  # noqa: BLE001 - handed to the main thread
            if not self._stop.is_set():
                self._defect = error
            self._stop.set()
        finally:
            for site in made.values():
                site.close()

    def _break_off(self, threads: Sequence[threading.Thread]) -> None:
        """End the threads: at once where they wait for a host, by force where for a browser."""
        self._stop.set()
        self._transport.stop()
        for thread in threads:
            if thread.ident is not None:
                thread.join(1)
        for site in self._sites:
            with suppress(Exception):
                site.close()
        for thread in threads:
            if thread.ident is not None:
                thread.join(10)

    # --- Searches --------------------------------------------------------------------------------

    def _label(self, task: _Task, made: dict[str, Site], proxy: str | None) -> None:
        """All searches of a label at a site."""
        options, limit = self._options, task.source.limit
        asked = Asked(limit, not task.source.thumbnails, options.face)
        for search in task.searches:
            if self._stop.is_set():
                return
            there = self._counted(task)
            if not options.again and self._is_done(task, search, asked, len(there)):
                self.skipped += 1
                continue
            if limit and len(there) >= limit:
                return  # the searches before this one brought enough
            if task.source.site not in made:
                made[task.source.site] = task.source.make(self._transport, proxy)
                self._sites.append(made[task.source.site])
            outcome = self._search(task, search, made[task.source.site], there, proxy)
            if self._stop.is_set():
                return
            if not outcome.error:
                self._finished.add(search, task.source.site, asked)
            self._tell(task, search, outcome)

    def _counted(self, task: _Task) -> set[str]:
        """The files that count towards the limit before anything is asked."""
        if self._options.again:
            return set()
        return {
            row["file"]
            for row in self._pictures.files(task.label, task.source.site)
            if task.source.thumbnails or not is_thumbnail(row)
        }

    def _is_done(self, task: _Task, search: Search, asked: Asked, there: int) -> bool:
        if asked.limit and there >= asked.limit:
            return True
        return self._finished.covers(search, task.source.site, asked) and self._pictures.has(
            task.label, task.source.site
        )

    def _search(
        self, task: _Task, search: Search, site: Site, there: set[str], proxy: str | None
    ) -> Outcome:
        """Ask one site for one search and keep what it finds."""
        limit = task.source.limit
        outcome = Outcome()
        fetching: deque[tuple[Hit, Future[Picture]]] = deque()
        more = True
        with (
            closing(_closable(site.hits(search, 0))) as hits,
            progress.bar(task.name, len(there), limit) as bar,
        ):
            while (more or fetching) and not self._stop.is_set():
                first = fetching[0] if fetching else None
                full = len(fetching) >= AHEAD or (limit and len(there) + len(fetching) >= limit)
                if more and not full and not (first and first[1].done()):
                    try:
                        hit = next(hits)
                    except StopIteration:
                        more = False
                    except SiteError as error:
                        outcome.error, more = str(error), False
                    else:
                        outcome.hits += 1
                        if not self._at_once(task, hit, there, outcome):
                            fetching.append((hit, self._pool.submit(
                                download.download, hit, self._transport, proxy
                            )))  # fmt: skip
                elif fetching:
                    hit, future = fetching.popleft()
                    self._keep(task, search, hit, future, there, outcome)
                else:
                    more = False  # the limit is reached
                bar.update(len(there) - bar.n)
        for _, future in fetching:
            future.cancel()
        if not outcome.error and not (outcome.new or outcome.known or outcome.barred):
            outcome.error = _nothing(outcome)
        return outcome

    def _at_once(self, task: _Task, hit: Hit, there: set[str], outcome: Outcome) -> bool:
        """Whether a hit needs no fetching: it is barred, or its picture is there."""
        if any(map(self._barred.bars_address, (hit.image, hit.thumbnail, hit.page))):
            outcome.barred += 1
            return True
        row = self._pictures.by_address(task.label, hit.image or hit.thumbnail)
        if row is None:
            return False
        if is_thumbnail(row) and not task.source.thumbnails and not hit.image:
            self._pictures.annotate(row, f"{THUMBNAIL}: the site shows no full picture")
        if row["file"]:
            self._drop_thumbnail(task, hit, row)  # left there by a kill
        self._count_known(task, row, there, outcome)
        return True

    def _keep(
        self,
        task: _Task,
        search: Search,
        hit: Hit,
        future: Future[Picture],
        there: set[str],
        outcome: Outcome,
    ) -> None:
        """Take a fetched picture into the set, or write down why there is none."""
        site = task.source.site
        try:
            picture = future.result()
        except DownloadError as reason:
            if not self._stop.is_set():
                outcome.given_up[str(reason)] += 1
                name = f"{hit.file.name}: " if hit.file is not None else ""
                self._pictures.note(search, site, hit, f"{name}{reason}")
            return
        if self._barred.bars_picture(picture.sha256):
            outcome.barred += 1
            return
        row = self._pictures.by_picture(task.label, picture.sha256)
        if row is not None:
            if is_thumbnail(row) and not task.source.thumbnails:
                self._pictures.annotate(row, picture.note)
            elif row["file"] and hit.file is None:
                self._pictures.note(
                    search, site, hit, f"the same picture as {row['file']}", picture.sha256
                )
            self._count_known(task, row, there, outcome)
            return
        if task.source.thumbnails and not picture.note:
            picture = picture.noted(THUMBNAIL)
        elif hit.file is not None:
            picture = picture.noted(f"from {hit.file.name}")
        row = self._pictures.save(search, site, hit, picture, link=task.source.link)
        there.add(row["file"])
        outcome.new += 1
        self._drop_thumbnail(task, hit, row)

    def _drop_thumbnail(self, task: _Task, hit: Hit, row: dict[str, str]) -> None:
        """Let the thumbnail that an earlier crawl kept of a hit give way to what it has now."""
        small = self._pictures.by_address(task.label, hit.thumbnail)
        if small is not None and small is not row and is_thumbnail(small) and small["file"]:
            self._pictures.drop(small)

    def _count_known(
        self, task: _Task, row: dict[str, str], there: set[str], outcome: Outcome
    ) -> None:
        outcome.known += 1
        if row["file"] and row["site"] == task.source.site:
            there.add(row["file"])

    # --- Saying it -------------------------------------------------------------------------------

    def _tell(self, task: _Task, search: Search, outcome: Outcome) -> None:
        name = f"{task.label}, {task.source.site}, “{search.text}”"
        with self._lock:
            self.new += outcome.new
            if outcome.error:
                self.failed.append(f"{task.source.site} “{search.text}”: {outcome.error}")
        if outcome.error:
            got = f"{outcome}, then: " if outcome.new or outcome.known else ""
            progress.say(f"crawl: {name}: {got}{outcome.error}", trouble=True)
        else:
            progress.say(f"crawl: {name}: {outcome}")

    def report(self, labels: set[str]) -> None:
        """Say what there is now; UserError where a search failed."""
        counts = dict.fromkeys(sorted(labels), 0) | self._pictures.counts
        data = self._pictures.data
        data = data.relative_to(Path.cwd()) if data.is_relative_to(Path.cwd()) else data
        before = f"; finished before: {_several(self.skipped, 'search', 'es')}"
        print(
            f"crawl: {_several(self.new, 'new picture')}; {data} has "
            f"{_several(sum(counts.values()), 'picture')} of {_several(len(counts), 'label')}"
            f"{before if self.skipped else ''}"
        )
        mean = sum(counts.values()) / max(len(counts), 1)
        for label, count in sorted(counts.items()):
            if count < FEW * mean and not self._barred.bars_label(label):
                print(
                    f"crawl: warning: {label} has {_several(count, 'picture')}, less than half "
                    "of the mean "
                    f"({mean:.0f}); give it another search (`other name = {label}`)",
                    file=sys.stderr,
                )
        if self.failed:
            more = len(self.failed) - CAUSES
            raise UserError(
                f"{len(self.failed)} of the searches failed: {' | '.join(self.failed[:CAUSES])}"
                f"{f' | and {more} more, said above' if more > 0 else ''}; "
                "the same command tries them again"
            )


def _several(count: int, noun: str, plural: str = "s") -> str:
    return f"{count} {noun}{'' if count == 1 else plural}"


def _nothing(outcome: Outcome) -> str:
    if not outcome.hits:
        return "the site gave no pictures and no reason; try another search"
    (why, _), *_ = outcome.given_up.most_common(1)
    return f"none of {outcome.hits} pictures could be had, most: {why}"


def _closable(hits: Iterator[Hit]) -> Generator[Hit, None, None]:
    """Any iterator as a generator, which can be told that no more is wanted."""
    yield from hits


def from_site(
    name: str, searches: Sequence[Search], options: Options, *, limit: int, window: bool = False
) -> Source:
    """The source that asks a site for each search; `window` shows its browser."""

    def make(transport: Transport, proxy: str | None) -> Site:
        how = sites.SiteOptions(
            transport, options.full, options.face, window, proxy, options.allow_private
        )
        return sites.make(name, how)

    return Source(name, make, searches, limit, thumbnails=not options.full)


def check(sources: Sequence[Source], options: Options) -> None:
    """Try each source with its first search, keeping nothing, and say what works.

    Raises:
        UserError: nothing works.
    """
    proxy = options.proxies[0] if options.proxies else None
    works = 0
    with closing(Transport(options.limits, allow_private=options.allow_private)) as transport:
        for source in sources:
            search = source.searches[0]
            try:
                with closing(source.make(transport, proxy)) as site:
                    said = _tried(site, search, transport, proxy)
                    works += 1
            except (SiteError, DownloadError) as error:
                said = str(error)
            progress.say(f"check: {source.site}, “{search.text}”: {said}")
    if not works:
        raise UserError("crawl --check: no site works; the lines above say why for each")


def _tried(site: Site, search: Search, transport: Transport, proxy: str | None) -> str:
    """What a site gives for a search: how many hits at once, and what the first picture is.

    Raises:
        SiteError: no hit.
        DownloadError: hits, but none of their first pictures can be had.
    """
    with closing(_closable(site.hits(search, TRIED))) as found:
        hits: list[Hit] = []
        try:
            for hit in found:
                hits.append(hit)
        except SiteError:
            if not hits:
                raise
    if not hits:
        raise SiteError("the site gave no pictures and no reason; try another search")
    reason = ""
    for hit in hits:
        try:
            picture = download.download(hit, transport, proxy)
        except DownloadError as error:
            reason = reason or f"{len(hits)} hits, but no picture of them: {error}"
            continue
        note = f", {picture.note}" if picture.note else ""
        return (
            f"works ({len(hits)} hits tried; first picture: {picture.content_type}, "
            f"{picture.width}x{picture.height}, {len(picture.data)} bytes{note})"
        )
    raise DownloadError(reason)
