"""The small interface between the crawl and a place pictures come from.

A site finds; it downloads nothing. Adding one is one module with one class, one line in
`crawl.sites`, and, where a browser is driven, one file of selectors.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


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

    name: str
    """Also the start of its files' names: google_0002.jpg."""

    def hits(self, search: Search, limit: int) -> Iterator[Hit]:
        """What the site finds, best first, at most `limit` (0: all), each picture once.

        Raises:
            SiteError: nothing was found and why (changed page, consent, captcha, block, no
                network), or the rest could not be had.
        """

    def close(self) -> None:
        """Give back what the site holds: its browser, its connections."""
