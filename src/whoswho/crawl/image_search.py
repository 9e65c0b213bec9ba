"""What the image searches that need a real browser share: from a question to hits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

from selenium.common.exceptions import TimeoutException, WebDriverException
from urllib3.exceptions import HTTPError

from whoswho.crawl import addresses, browser, markup
from whoswho.crawl.results_page import Patience, ResultsPage
from whoswho.crawl.site import Hit, Search, SiteError


class ImageSearch(ABC):
    """A site searched through its page; it implements `site.Site`.

    The browser starts with the first search and stays until `close`.

    Attributes:
        name: of the site, and of its file in selectors/.
        address: of its page of results.
        only_faces: name and value of the parameter that asks for pictures of faces alone.
    """

    name: str
    address: str
    only_faces: tuple[str, str]
    patience = Patience()

    def __init__(
        self,
        *,
        full: bool,
        face: bool,
        window: bool = False,
        proxy: str | None = None,
        address: str | None = None,
        allow_private: bool = False,
    ) -> None:
        """Prepare to ask.

        Args:
            full: open each result and name its large picture; else the thumbnail is the picture.
            face: for pictures of faces alone.
            window: show the browser.
            proxy: for everything the browser asks for, as `proxies.read` gives it.
            address: another page than the site's own.
            allow_private: let it reach this machine and its network.

        Raises:
            UserError: the file of selectors is no good.
        """
        self.markup = markup.load(markup.FOLDER / f"{self.name}.yaml")
        self._full = full
        self._face = dict([self.only_faces]) if face else {}
        self._window = window
        self._proxy = proxy
        self._address = address or self.address
        self._allow_private = allow_private
        self._browser: browser.Browser | None = None

    @abstractmethod
    def question(self, text: str) -> dict[str, str]:
        """The parameters that ask for pictures of `text`."""

    def hits(self, search: Search, limit: int) -> Iterator[Hit]:
        """What the site finds, best first, at most `limit` (0: results_page.MOST).

        Raises:
            SiteError: what stands in the way, and the cure.
        """
        try:
            asked = self.question(search.text) | self._face
            page = self._open(f"{self._address}?{urlencode(asked)}")
            yield from page.hits(limit)
        except (WebDriverException, HTTPError) as error:
            self.close()  # the next search gets a new browser
            raise SiteError(f"the browser broke off: {_first_line(error)}; run it again") from None

    def close(self) -> None:
        """End the browser and remove its profile."""
        running, self._browser = self._browser, None
        if running is not None:
            running.close()

    def _open(self, address: str) -> ResultsPage:
        self._check(address)
        if self._browser is None:
            self._browser = browser.start(
                window=self._window,
                proxy=self._proxy,
                allow_private=self._allow_private,
                patience=self.patience.page,
            )
        driver = self._browser.driver
        host = urlsplit(address).netloc
        try:
            driver.get(address)
        except TimeoutException:
            raise SiteError(
                f"{host} does not answer within {self.patience.page:g} s; try again later"
            ) from None
        except WebDriverException as error:
            if "net::" not in str(error.msg):
                raise
            why = str(error.msg).partition("net::")[2].split()[0]
            through = f" through the proxy {self._proxy}" if self._proxy else ""
            raise SiteError(
                f"{host} cannot be reached{through} ({why}); check the network, then run it again"
            ) from None
        if driver.current_url.startswith("http"):  # else it is the browser's own page
            self._check(driver.current_url)
        return ResultsPage(driver, self.markup, self.patience, self._full, self._window)

    def _check(self, address: str) -> None:
        """Refuse what the site's name, or a redirect, must not lead to."""
        try:
            addresses.check(address, allow_private=self._allow_private)
        except addresses.Refused as refused:
            raise SiteError(str(refused)) from None


def _first_line(error: Exception) -> str:
    text = getattr(error, "msg", None) or str(error)
    return " ".join(text.strip().splitlines()[0].split()) if text.strip() else type(error).__name__
