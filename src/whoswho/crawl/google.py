"""Google's image search."""

from __future__ import annotations

from whoswho.crawl.image_search import ImageSearch


class Google(ImageSearch):
    """Google's image search, through a real browser."""

    name = "google"
    address = "https://www.google.com/search"
    only_faces = ("tbs", "itp:face")

    def question(self, text: str) -> dict[str, str]:
        """The parameters that ask for pictures of `text`."""
        return {"q": text, "tbm": "isch"}
