"""Wikimedia Commons, through its API: free pictures with their author, licence and page.

https://www.mediawiki.org/wiki/API:Search, https://www.mediawiki.org/wiki/API:Imageinfo
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup

from whoswho.crawl.site import Hit, Search, SiteError
from whoswho.crawl.transport import DownloadError, Transport

ADDRESS = "https://commons.wikimedia.org/w/api.php"
BATCH = 50  # what the API gives at once to anybody
THUMBNAIL_WIDTH = 640  # pixels
ROUNDS = 3  # answers in a row without a new file: the API repeats itself

_PARAMETERS = {
    "action": "query",
    "format": "json",
    "formatversion": "2",
    "generator": "search",
    "gsrnamespace": "6",  # files
    "gsrlimit": str(BATCH),
    "prop": "imageinfo",
    "iiprop": "url|size|mime|user|extmetadata",
    "iiurlwidth": str(THUMBNAIL_WIDTH),
    "iiextmetadatafilter": "Artist|LicenseShortName|LicenseUrl",
}


@dataclass(frozen=True)
class Commons:
    """The files that a search of Wikimedia Commons finds.

    Attributes:
        full: files as uploaded, else THUMBNAIL_WIDTH wide.
        address: of the API.
    """

    transport: Transport
    full: bool
    proxy: str | None = None
    address: str = ADDRESS

    def hits(self, search: Search, limit: int) -> Iterator[Hit]:
        """The pictures found, best first, at most `limit` (0: all).

        Raises:
            SiteError: nothing is found, or the API refuses or cannot be reached.
        """
        rank = 0
        for info in self._files(search.text):
            if hit := self._hit(rank + 1, info):
                rank += 1
                yield hit
                if rank == limit:
                    return
        if not rank:
            raise SiteError("Wikimedia Commons has no picture for this search; try another name")

    def close(self) -> None:
        """The connections are the transport's."""

    def _files(self, text: str) -> Iterator[dict[str, Any]]:
        """Facts of each file, in the search's order; the API gives them in parts."""
        go_on: dict[str, str] = {}
        pages: dict[int, dict[str, Any]] = {}
        known: set[int] = set()
        fruitless = 0
        while True:
            answer = self._request(_PARAMETERS | {"gsrsearch": f"{text} filetype:bitmap"} | go_on)
            fruitless += 1
            for page in answer.get("query", {}).get("pages", ()):
                before = pages.get(page["pageid"], {})
                if page["pageid"] not in known and not page.keys() <= before.keys():
                    fruitless = 0
                    pages[page["pageid"]] = before | page
            last = "continue" not in answer or fruitless == ROUNDS
            if answer.get("batchcomplete") or last:
                for page in sorted(pages.values(), key=lambda page: page.get("index", 0)):
                    yield from page.get("imageinfo", ())
                known |= pages.keys()
                pages = {}
            if last:
                return
            go_on = {key: str(value) for key, value in answer["continue"].items()}

    def _request(self, parameters: dict[str, str]) -> dict[str, Any]:
        query = urlencode(parameters)
        try:
            body = self.transport.get(f"{self.address}?{query}", proxy=self.proxy)
        except DownloadError as error:
            cure = "try later"
            if str(error) in ("HTTP 403", "HTTP 429"):  # its rule for those who ask
                cure += ", and say with --contact who asks"
            raise SiteError(f"Wikimedia Commons gives no answer ({error}); {cure}") from None
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise SiteError(f"{self.address} answers something else than JSON; try again later")
        if "error" in answer:
            refusal = answer["error"]
            code, info = (_plain(str(refusal.get(key, ""))) for key in ("code", "info"))
            later = "wait a minute" if code in ("maxlag", "ratelimited") else "change the search"
            raise SiteError(f"Wikimedia Commons refuses ({code}: {info}); {later}, then try again")
        return answer

    def _hit(self, rank: int, info: dict[str, Any]) -> Hit | None:
        original, small = info.get("url", ""), info.get("thumburl", "")
        if not original or not str(info.get("mime", "")).startswith("image/"):
            return None
        meta = info.get("extmetadata") or {}
        licence = [_text(meta, "LicenseShortName"), _text(meta, "LicenseUrl")]
        return Hit(
            rank,
            original if self.full or not small else small,
            thumbnail=small if self.full else "",
            page=info.get("descriptionurl", ""),
            author=_text(meta, "Artist") or info.get("user", ""),
            licence=" ".join(filter(None, licence)),
        )


def _text(meta: dict[str, Any], key: str) -> str:
    return _plain(str((meta.get(key) or {}).get("value") or ""))


def _plain(html: str) -> str:
    """HTML's text in one line."""
    return Markup(html).striptags()
