"""The small interface between the crawl and a place pictures come from.

A site finds; it downloads nothing. One that is searched through its page is a file of selectors
and a name in `crawl.sites`; any other one is a module with one class as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from whoswho.crawl.transport import Limits, Transport


@dataclass(frozen=True)
class Search:
    """One line of keywords.txt: what to ask a site for, and the label its pictures get."""

    text: str
    label: str


@dataclass(frozen=True)
class Hit:
    """One picture a site names.

    Attributes:
        rank: place among the site's results for this search, from 1.
        image: address of the picture asked for (http, https or data:); empty where the site has
            only a thumbnail.
        thumbnail: address of a smaller copy, which stands in where `image` cannot be had.
        page: address of the page the picture stands on.
        author, licence: as the site states them, else empty.
        file: a picture that lies on this machine, in place of an address.
    """

    rank: int
    image: str
    thumbnail: str = ""
    page: str = ""
    author: str = ""
    licence: str = ""
    file: Path | None = None


class SiteError(Exception):
    """Why a site gave no (more) hits for a search: one line that names the cause and the cure.

    Hits given before it was raised are kept.
    """


class Site(Protocol):
    """A place pictures come from. One object serves one thread."""

    def hits(self, search: Search, limit: int) -> Iterator[Hit]:
        """What the site finds, best first, at most `limit` (0: all), each picture once.

        Raises:
            SiteError: nothing was found and why (changed page, consent, captcha, block, no
                network), or the rest could not be had.
        """

    def close(self) -> None:
        """Give back what the site holds: its browser, its connections."""


@dataclass(frozen=True)
class CrawlOptions:
    """How to crawl.

    Attributes:
        full: ask sites for full pictures, else for thumbnails.
        face: ask for pictures of faces alone, where a site knows that.
        window: show the browser.
        threads: searches side by side.
        proxies: taken in turn by the threads.
        again: ask also where a search is finished.
        allow_private: let addresses lead to this machine and its network.
        contact: a mail address or page that the hosts are told.
    """

    full: bool = False
    face: bool = False
    window: bool = False
    threads: int = 2
    proxies: Sequence[str] = ()
    again: bool = False
    allow_private: bool = False
    contact: str = ""
    limits: Limits = field(default_factory=Limits)

    def transport(self) -> Transport:
        """What asks for addresses so."""
        return Transport(self.limits, allow_private=self.allow_private, contact=self.contact)


@dataclass(frozen=True)
class CrawlSource:
    """A site and what it is asked.

    Attributes:
        site: its name, also the start of its files' names: google_0002_ab12cd34.jpg.
        make: gives the site for a transport and a proxy.
        limit: pictures a label gets from it, 0: all.
        thumbnails: it is asked for thumbnails.
        link: its files are linked, not copied.
        contents: of a list that somebody made, a hash of what it has for each search; a site's
            is not known before.
    """

    site: str
    make: Callable[[Transport, str | None], Site]
    searches: Sequence[Search]
    limit: int = 0
    thumbnails: bool = False
    link: bool = False
    contents: Mapping[Search, str] = field(default_factory=dict)
