"""The image searches that need a real browser: from a search to hits."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

from selenium.common.exceptions import TimeoutException, WebDriverException
from urllib3.exceptions import HTTPError

from whoswho.crawl import addresses, browser, markup
from whoswho.crawl.results_page import ResultsPage, Timeouts
from whoswho.crawl.site import CrawlOptions, Hit, Search, SiteError


class ImageSearch:
    """A site searched through its page, as selectors/<name>.yaml says; it implements `site.Site`.

    The browser starts with the first search and stays until `close`.
    """

    timeouts = Timeouts()

    def __init__(
        self,
        name: str,
        options: CrawlOptions,
        proxy: str | None = None,
        address: str | None = None,
    ) -> None:
        """Prepare to search the site called `name`.

        Args:
            options: with `full` each result is opened for its large picture; else the thumbnail
                is the picture.
            proxy: for everything the browser asks for, as `proxies.read` gives it.
            address: another page than the site's own.

        Raises:
            UserError: the file of selectors is no good.
        """
        self.markup = markup.load(markup.FOLDER / f"{name}.yaml")
        self._options = options
        self._proxy = proxy
        self._address = address or self.markup.address
        self._browser: browser.Browser | None = None

    def hits(self, search: Search, limit: int) -> Iterator[Hit]:
        """What the site finds, best first, at most `limit` (0: results_page.MOST).

        Raises:
            SiteError: what stands in the way, and the cure.
        """
        parameters = self.markup.query.items()
        query = {key: text.replace("{search}", search.text) for key, text in parameters}
        if self._options.face:
            query |= self.markup.only_faces
        try:
            page = self._open(f"{self._address}?{urlencode(query)}")
            yield from page.hits(limit)
        except (WebDriverException, HTTPError) as error:
            self.close()  # the next search gets a new browser
            why = browser.first_line(error)
            raise SiteError(f"the browser broke off: {why}; run it again") from None

    def close(self) -> None:
        """End the browser and remove its profile."""
        running, self._browser = self._browser, None
        if running is not None:
            running.close()

    def _open(self, address: str) -> ResultsPage:
        self._check(address)
        options, timeouts = self._options, self.timeouts
        if self._browser is None:
            self._browser = browser.start(options, self._proxy, timeouts.page)
        driver = self._browser.driver
        host = urlsplit(address).netloc
        try:
            driver.get(address)
        except TimeoutException:
            silence = f"{host} does not answer within {timeouts.page:g} s"
            raise SiteError(f"{silence}; try again later") from None
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
        return ResultsPage(driver, self.markup, timeouts, options.full, options.window)

    def _check(self, address: str) -> None:
        """Refuse what the site's name, or a redirect, must not lead to."""
        try:
            addresses.check(address, allow_private=self._options.allow_private)
        except addresses.AddressRefused as error:
            raise SiteError(str(error)) from None
