"""The crawl: every search at every site, its pictures into data/<label>/, and what became of it.

A search is one label, one site, one text. Searches of one label at one site run one after the
other, in the order of keywords.txt, until the label has as many pictures of the site as it should;
different ones run side by side.
"""

from __future__ import annotations

import queue
import sys
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from whoswho.crawl import addresses, collection, progress
from whoswho.crawl.collection import Collection, is_thumbnail
from whoswho.crawl.finished import Finished
from whoswho.crawl.searching import CrawlState, SearchOutcome, SearchRun
from whoswho.crawl.site import CrawlOptions, CrawlSource, Search, Site
from whoswho.dataset import forgotten
from whoswho.errors import UserError
from whoswho.timeouts import in_background
from whoswho.wording import plural

DOWNLOADS = 16  # pictures fetched side by side
FEW = 0.5  # a label with less than this share of the mean is warned about
CAUSES = 3  # failed searches named in the last line

# The searches of one label at one site.
Task = tuple[CrawlSource, list[Search]]


def run(root: Path, data: Path, sources: Sequence[CrawlSource], options: CrawlOptions) -> None:
    """Crawl `sources` into `data`. Marks of finished searches are kept under `root`.

    Raises:
        UserError: something to mend before it starts; or, at the end, searches that brought
            nothing or not all.
    """
    labels = {search.label for source in sources for search in source.searches}
    collection.check_labels(data, labels)
    barred = forgotten.load(data)
    with (
        collection.alone(root),
        closing(Collection(data)) as pictures,
        closing(options.transport()) as transport,
        ThreadPoolExecutor(DOWNLOADS, "download") as downloads,
    ):
        shared = CrawlState(pictures, barred, transport, downloads)
        crawl = _Crawl(shared, Finished(root, data), options)
        crawl.run(sources)
    crawl.report(labels)


class _Crawl:
    """A crawl under way."""

    def __init__(self, shared: CrawlState, finished: Finished, options: CrawlOptions) -> None:
        self._shared = shared
        self._finished = finished
        self._options = options
        self._sites: list[Site] = []
        self._outcomes: list[SearchOutcome] = []
        self._failed: list[str] = []
        self._skipped: list[Search] = []

    # --- Threads ---------------------------------------------------------------------------------

    def run(self, sources: Sequence[CrawlSource]) -> None:
        tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        for task in self._tasks(sources):
            tasks.put(task)
        proxies = self._options.proxies or (None,)
        workers = {
            in_background(partial(self._work, tasks, proxies[number % len(proxies)]))
            for number in range(min(self._options.threads, tasks.qsize()))
        }
        working = workers
        try:
            while working:  # a wait without end would hear no signal on Windows
                done, working = wait(working, 0.1, FIRST_EXCEPTION)
                for worker in done:
                    worker.result()
        except BaseException as error:
            self._break_off(workers)
            if isinstance(error, SystemExit):
                print("crawl: told to end; the same command goes on from here", file=sys.stderr)
            raise

    def _tasks(self, sources: Sequence[CrawlSource]) -> Iterator[Task]:
        """Label by label, so that neighbours ask different sites."""
        tasks: dict[str, dict[str, Task]] = {}
        for source in sources:
            for search in source.searches:
                of_label = tasks.setdefault(search.label, {})
                of_label.setdefault(source.site, (source, []))[1].append(search)
        for label, of_label in tasks.items():
            if self._shared.barred.bars_label(label):
                progress.say(
                    f"crawl: {label}: data/forgotten/ bars this label; take it out of the list",
                    trouble=True,
                )
                continue
            yield from of_label.values()

    def _work(self, tasks: queue.SimpleQueue[Task], proxy: str | None) -> None:
        """Do one task after the other; each site is made once, and given back at the end."""
        sites: dict[str, Site] = {}
        try:
            with suppress(queue.Empty):
                while not self._shared.stop.is_set():
                    self._search_all(*tasks.get_nowait(), sites, proxy)
        finally:
            for site in sites.values():
                site.close()

    def _break_off(self, workers: Set[Future[None]]) -> None:
        """End the threads: at once where they wait for a host, by force where for a browser."""
        self._shared.stop.set()
        self._shared.transport.stop()
        wait(workers, 1)
        for site in self._sites:
            with suppress(Exception):
                site.close()
        wait(workers, 10)

    # --- Searches --------------------------------------------------------------------------------

    def _search_all(
        self,
        source: CrawlSource,
        searches: list[Search],
        sites: dict[str, Site],
        proxy: str | None,
    ) -> None:
        """All searches of a label at a site."""
        shared, again = self._shared, self._options.again
        for search in searches:
            mark = self._finished.mark(source, search, face=self._options.face)
            rows = [] if again else shared.collection.rows(search.label, source.site)
            counted = {
                row.file
                for row in rows
                if row.file and (source.thumbnails or not is_thumbnail(row))
            }
            done = rows and self._finished.covers(mark)
            if done or 0 < source.limit <= len(counted):
                self._skipped.append(search)
                continue
            if source.site not in sites:
                sites[source.site] = source.make(shared.transport, proxy)
                self._sites.append(sites[source.site])
            run = SearchRun(shared, source, search, counted, proxy)
            outcome = run.run(sites[source.site])
            if shared.stop.is_set():
                return
            if not outcome.error:
                self._finished.add(mark)
            self._tell(source, search, outcome)

    # --- Saying it -------------------------------------------------------------------------------

    def _tell(self, source: CrawlSource, search: Search, outcome: SearchOutcome) -> None:
        name = f"crawl: {search.label}, {source.site}, “{search.text}”"
        self._outcomes.append(outcome)
        if outcome.error:
            self._failed.append(f"{source.site} “{search.text}”: {outcome.error}")
            got = f"{outcome}, then: " if outcome.new or outcome.known else ""
            progress.say(f"{name}: {got}{outcome.error}", trouble=True)
        else:
            progress.say(f"{name}: {outcome}")

    def report(self, labels: set[str]) -> None:
        """Say what there is now; UserError where a search failed."""
        counts = dict.fromkeys(sorted(labels), 0) | self._shared.collection.counts
        data = self._shared.collection.data
        data = data.relative_to(Path.cwd()) if data.is_relative_to(Path.cwd()) else data
        new = sum(outcome.new for outcome in self._outcomes)
        before = f"; finished before: {plural(len(self._skipped), 'search', 'es')}"
        print(
            f"crawl: {plural(new, 'new picture')}; {data} has "
            f"{plural(sum(counts.values()), 'picture')} of {plural(len(counts), 'label')}"
            f"{before if self._skipped else ''}"
        )
        mean = sum(counts.values()) / max(len(counts), 1)
        for label, count in sorted(counts.items()):
            if count < FEW * mean and not self._shared.barred.bars_label(label):
                print(
                    f"crawl: warning: {label} has {plural(count, 'picture')}, less than half of "
                    f"the mean ({mean:.0f}); give it another search (`other name = {label}`)",
                    file=sys.stderr,
                )
        private = self._private()
        if self._failed:
            causes = list(dict.fromkeys(self._failed))
            more = len(causes) - CAUSES
            raise UserError(
                f"{len(self._failed)} of the searches failed: {' | '.join(causes[:CAUSES])}"
                f"{f' | and {more} more, said above' if more > 0 else ''}; "
                f"{f'{private}; ' if private else ''}the same command tries them again"
            )
        if private:
            print(f"crawl: warning: {private}", file=sys.stderr)

    def _private(self) -> str:
        """What is said, once, of pictures at private addresses."""
        reasons = sum((outcome.failures for outcome in self._outcomes), Counter[str]())
        refused = Counter({why: reasons[why] for why in reasons if why.endswith(addresses.CURE)})
        if not refused:
            return ""
        return f"{plural(refused.total(), 'picture')} given up: {refused.most_common(1)[0][0]}"
