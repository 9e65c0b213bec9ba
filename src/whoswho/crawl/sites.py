"""The sites that can be searched, by name."""

from __future__ import annotations

from whoswho.crawl.site import CrawlOptions, Site
from whoswho.crawl.transport import Transport

NAMES = ("google", "naver", "commons")
USUAL = ("google", "naver")


def make(name: str, options: CrawlOptions, transport: Transport, proxy: str | None) -> Site:
    """The site called `name`, one of NAMES. It serves one thread.

    Raises:
        UserError: the site's file of selectors is no good.
    """
    if name == "commons":
        from whoswho.crawl.commons import Commons

        return Commons(transport, full=options.full, proxy=proxy)
    # Selenium is only needed, and only loaded, where a browser is.
    from whoswho.crawl.image_search import ImageSearch

    return ImageSearch(name, options, proxy)
