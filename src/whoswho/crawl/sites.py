"""The sites that can be searched, by name."""

from __future__ import annotations

from dataclasses import dataclass

from whoswho.crawl.site import Site
from whoswho.crawl.transport import Transport

NAMES = ("google", "naver", "commons")
USUAL = ("google", "naver")


@dataclass(frozen=True)
class SiteOptions:
    """How sites are asked.

    Attributes:
        full: for full pictures, else thumbnails.
        face: for pictures of faces alone, where a site knows that.
        window: show the browser.
        proxy: for everything.
        allow_private: let addresses lead to this machine and its network.
    """

    transport: Transport
    full: bool = False
    face: bool = False
    window: bool = False
    proxy: str | None = None
    allow_private: bool = False


def make(name: str, options: SiteOptions) -> Site:
    """The site called `name`, one of NAMES. It serves one thread.

    Raises:
        UserError: the site's file of selectors is no good.
    """
    # Selenium is only needed, and only loaded, where a browser is.
    if name == "commons":
        from whoswho.crawl.commons import Commons

        return Commons(options.transport, full=options.full, proxy=options.proxy)
    from whoswho.crawl.google import Google
    from whoswho.crawl.naver import Naver

    searched = {one.name: one for one in (Google, Naver)}[name]
    return searched(
        full=options.full,
        face=options.face,
        window=options.window,
        proxy=options.proxy,
        allow_private=options.allow_private,
    )
