"""Google's image search."""

from __future__ import annotations

from whoswho.crawl.image_search import ImageSearch

ADDRESS = "https://www.google.com/search"


class Google(ImageSearch):
    """Google's image search, through a real browser."""

    def __init__(
        self,
        *,
        full: bool,
        face: bool,
        window: bool = False,
        proxy: str | None = None,
        address: str = ADDRESS,
        allow_private: bool = False,
    ) -> None:
        super().__init__("google", full, window, proxy, address, allow_private)
        self._face = {"tbs": "itp:face"} if face else {}

    def question(self, text: str) -> dict[str, str]:
        """The parameters that ask for pictures (of faces) of `text`."""
        return {"q": text, "tbm": "isch"} | self._face
