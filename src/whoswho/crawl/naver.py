"""Naver's image search."""

from __future__ import annotations

from whoswho.crawl.image_search import ImageSearch


class Naver(ImageSearch):
    """Naver's image search, through a real browser."""

    name = "naver"
    address = "https://search.naver.com/search.naver"
    only_faces = ("face", "1")

    def question(self, text: str) -> dict[str, str]:
        """The parameters that ask for pictures of `text`."""
        return {"where": "image", "query": text}
