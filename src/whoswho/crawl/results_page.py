"""One search's page of results, read as a person would: scroll, click, wait, and no longer."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from selenium.common import exceptions
from selenium.webdriver.chrome.webdriver import WebDriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from whoswho.crawl.markup import Markup
from whoswho.crawl.site import Hit, SiteError

IN_PAGE = Path(__file__).with_name("in_page.js").read_text(encoding="utf-8")
MOST = 2000  # results looked at in one search: an endless page ends here, also without a limit
REPEATS = 100  # results in a row that bring no new picture: the site goes round in circles
LOST = 5  # results in a row without a thumbnail or a panel: that is the page, not the result
REFUSALS = 3  # answers to consent forms before it is said that they do not help
ATTEMPTS = 3  # at reading a page that is just being left for the next one
TICK = 0.05  # seconds between two looks at the page

T = TypeVar("T")


@dataclass(frozen=True)
class Timeouts:
    """How long to wait for what, in seconds."""

    page: float = 30  # the site's answer
    arrival: float = 10  # results, or why there are none
    growth: float = 5  # further results after scrolling to the end
    thumbnail: float = 3
    picture: float = 6  # the large one, after a click
    person: float = 300  # someone who solves a captcha in the window


class ResultRow(TypedDict):
    """A result as read: its elements, its thumbnail ('' where none came) and its page."""

    result: WebElement
    image: WebElement
    thumbnail: str
    page: str


@dataclass
class ResultsPage:
    """The page that a driver has just opened for one search.

    Attributes:
        full: whether each result is opened for its large picture.
        window: whether a person sees the browser, and can answer a captcha.
    """

    driver: WebDriver
    markup: Markup
    timeouts: Timeouts
    full: bool
    window: bool
    _panel_seen: bool = False
    _without_panel: int = 0

    def hits(self, limit: int) -> Iterator[Hit]:
        """The results in the site's order, each picture once, at most `limit` (0: MOST).

        Raises:
            SiteError: no results, or no further ones, and why.
        """
        self._arrive()
        seen: set[int] = set()
        repeats = 0
        for rank, row in enumerate(self._rows(), start=1):
            if self.full:
                image, page = self._large(row)
                hit = Hit(rank, image, row["thumbnail"], page or row["page"])
            else:
                hit = Hit(rank, row["thumbnail"], page=row["page"])
            address = hash(hit.image or hit.thumbnail)  # data: ones are long, and many
            if (hit.image or hit.thumbnail) and address not in seen:
                seen.add(address)
                repeats = 0
                yield hit
            else:
                repeats += 1
            if (limit and len(seen) == limit) or repeats == REPEATS:
                return

    # --- Arriving --------------------------------------------------------------------------------

    def _arrive(self) -> None:
        """Get to the results, past a consent form."""
        refusals = 0
        by_hand = False
        deadline = time.monotonic() + self.timeouts.arrival
        while True:
            state = self._call("state")
            late = time.monotonic() > deadline
            trouble = self._trouble(state)
            if trouble and self.window and not by_hand:
                by_hand = True
                deadline = time.monotonic() + self.timeouts.person
                print(f"Please answer the page in the browser: {trouble}", file=sys.stderr)
            elif trouble:
                if late or not self.window:
                    raise SiteError(trouble)
            elif by_hand:  # answered: from here on the site's turn again
                by_hand = False
                deadline = time.monotonic() + self.timeouts.arrival
            elif state["consent"]:
                refusals += 1
                self._refuse(state["refuse"], refusals)
            elif state["results"]:
                self._call("prepare")
                return
            else:
                self._check(state, late)
            time.sleep(TICK)

    def _check(self, state: dict[str, Any], late: bool) -> None:
        """Raise SiteError where a page without results will have none."""
        settled = state["loaded"] or late
        if state["nothing"] and settled:
            raise SiteError("the site says that it finds no pictures for this search")
        if state["broken"]:
            raise SiteError(f"the site cannot be reached ({state['broken']}); try again later")
        if state["status"] >= 400 and settled:
            status = f"HTTP status {state['status']}, page {_title(state)}"
            raise SiteError(f"the site answers with {status}; try again later")
        if late:
            raise self._changed("results", "no result", state)

    def _trouble(self, state: dict[str, Any]) -> str:
        """What only time or a person can answer; '' where nothing of that kind is seen."""
        cure = "wait an hour, use fewer --threads, a proxy, or --window to answer it by hand"
        if state["captcha"]:
            return f"the site shows a captcha, page {_title(state)}; {cure}"
        if state["status"] == 429 or (state["blocked"] and not state["results"]):
            why = f"says “{state['blocked']}”" if state["blocked"] else "answers 429"
            return f"the site blocks us, it {why}, page {_title(state)}; {cure}"
        if state["consent"] and state["refuse"] is None:
            return (
                f"the site shows a consent page, {_title(state)}, and none of the buttons under "
                f"`refuse` in {self.markup.file} is on it; add its selector there, or use "
                "--window and answer by hand"
            )
        return ""

    def _refuse(self, button: WebElement, times: int) -> None:
        if times > REFUSALS:
            raise SiteError(
                "the site's consent page comes back each time its “no” is clicked; mend `refuse` "
                f"in {self.markup.file}, or use --window and answer by hand"
            )
        self._click(button)
        self._until(self.timeouts.arrival, lambda: not self._call("state")["consent"])

    def _changed(self, key: str, what: str, state: dict[str, Any]) -> SiteError:
        tried = ", ".join(getattr(self.markup, key))
        return SiteError(
            f"{what} on the page {_title(state)}: its markup changed, and no selector under "
            f"`{key}` in {self.markup.file} fits ({tried}); add the new one there"
        )

    # --- Reading ---------------------------------------------------------------------------------

    def _rows(self) -> Iterator[ResultRow]:
        """The results one by one, scrolled to as they are asked for."""
        batch = 1 if self.full else 100  # a click may rebuild the page: no element is kept long
        read = lost = 0
        while read < MOST:
            answer = self._call("read", min(batch, MOST - read))
            rows: list[ResultRow] = answer["rows"]
            if not rows and answer["waiting"] is not None:
                row = self._late(answer["waiting"])
                lost = 0 if row["thumbnail"] else lost + 1
                if lost == LOST:
                    raise self._no_thumbnails(answer["pictured"])
                rows = [row]
            elif rows:
                lost = 0
            elif not self._grow():
                return
            read += len(rows)
            yield from rows

    def _late(self, result: WebElement) -> ResultRow:
        """The result whose thumbnail was not there: scroll to it and give it some time."""
        self._call("reveal", result)
        rows = self._until(self.timeouts.thumbnail, lambda: self._call("read", 1)["rows"])
        row: ResultRow = rows[0] if rows else self._call("skip", result)
        return row

    def _no_thumbnails(self, pictured: bool) -> SiteError:
        state = self._call("state")
        if not pictured:
            return self._changed("thumbnail", "results without a thumbnail", state)
        title = _title(state)
        return SiteError(f"the thumbnails of the page {title} do not come; try again later")

    def _grow(self) -> bool:
        """Scroll to the end, and press what brings more, until further results come.

        Raises:
            SiteError: none come because the site or the network refuses them.
        """
        pressed = False

        def come() -> bool:
            nonlocal pressed
            if self._call("scroll"):
                return True
            if not pressed and (button := self._call("more")) is not None:
                pressed = self._click(button)
            return False

        if self._until(self.timeouts.growth, come):
            return True
        if trouble := self._trouble(self._call("state")):
            raise SiteError(f"no further results: {trouble}")
        status = self._call("failed")
        if status is not None:
            why = f"HTTP status {status}" if status else "a broken connection"
            raise SiteError(f"no further results: the site answers with {why}; try again later")
        return False

    # --- The full picture ------------------------------------------------------------------------

    def _large(self, row: ResultRow) -> tuple[str, str]:
        """Addresses of the large picture and its page; '' where they do not come."""
        arguments = ("panel", row["result"], row["thumbnail"])
        try:
            before = self._call(*arguments)["shown"]
            self._call("reveal", row["result"])
            self._call("listen")
            if not self._click(row["image"]):
                return "", ""

            def large() -> dict[str, Any] | None:
                panel = self._call(*arguments)
                new = panel["named"] or panel["came"] or panel["shown"] not in ("", before)
                return panel if new else None

            panel = self._until(self.timeouts.picture, large) or self._call(*arguments)
        except exceptions.StaleElementReferenceException:
            return "", ""  # the site took the result away meanwhile
        if panel["named"]:
            return panel["named"], panel["named_page"]
        self._count_panel(panel["there"])
        new = panel["shown"] if panel["shown"] != before else ""
        return new or panel["came"], panel["page"]

    def _count_panel(self, there: bool) -> None:
        """Tell a picture that does not come from a panel that is not where it was."""
        self._panel_seen = self._panel_seen or there
        if self._panel_seen:
            return
        self._without_panel += 1
        state = self._call("state")
        if trouble := self._trouble(state):
            raise SiteError(trouble)
        if self._without_panel == LOST:
            raise self._changed("picture", "no large picture after a click", state)

    # --- The driver ------------------------------------------------------------------------------

    def _call(self, function: str, *arguments: Any) -> Any:
        """What a function of in_page.js returns."""
        markup, problem = self.markup.model_dump(), ""
        for _ in range(ATTEMPTS):
            try:
                return self.driver.execute_script(IN_PAGE, markup, function, *arguments)
            except exceptions.JavascriptException as error:
                problem = str(error.msg)
                _, bad, rest = problem.partition("whoswho: bad selector ")
                if bad:
                    what = f"{rest.splitlines()[0]} is not a CSS selector"
                    raise SiteError(f"{self.markup.file}: {what}; mend it") from None
            time.sleep(TICK)  # the page was left in the middle of it
        raise exceptions.WebDriverException(problem)

    def _click(self, element: WebElement) -> bool:
        """Click as a person does; False where something stays in the way."""
        for _ in range(2):
            try:
                element.click()
            except (
                exceptions.ElementClickInterceptedException,
                exceptions.ElementNotInteractableException,
                exceptions.MoveTargetOutOfBoundsException,
            ):
                ActionChains(self.driver).send_keys(Keys.ESCAPE).perform()  # close what covers it
            except exceptions.StaleElementReferenceException:
                return False
            else:
                return True
        return False

    def _until(self, seconds: float, look: Callable[[], T]) -> T | None:
        """What `look` returns once it is true; None where it is not within so many seconds."""
        try:
            return WebDriverWait(self.driver, seconds, TICK).until(lambda _: look())
        except exceptions.TimeoutException:
            return None


def _title(state: dict[str, Any]) -> str:
    title = " ".join(state["title"].split())
    return f"“{title[:80]}”" if title else "without a title"
