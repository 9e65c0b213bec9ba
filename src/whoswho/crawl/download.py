"""From a hit to a picture: its bytes, and what they are by their content alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from whoswho.crawl.site import Hit
from whoswho.crawl.transport import DownloadError, Transport
from whoswho.data_urls import decode_data_url, is_data_url
from whoswho.pictures import opening

THUMBNAIL = "thumbnail"  # starts the note of a picture that is one

# Of file names, where it is not the format's name in small letters.
_ENDINGS = {"JPEG": "jpg", "HEIF": "heic", "TIFF": "tif", "JPEG2000": "jp2"}


@dataclass(frozen=True)
class FetchedPicture:
    """A picture's bytes and what they are.

    Attributes:
        ending: of a file's name, without the dot.
        width, height: pixels as stored.
        note: what the manifest says beside it.
    """

    data: bytes
    sha256: str
    ending: str
    content_type: str
    width: int
    height: int
    note: str = ""


def identify(source: bytes | Path) -> FetchedPicture:
    """What a file or its bytes are, told by their content, nothing decoded.

    Raises:
        DownloadError: it is no picture (a web page, an SVG drawing …), has too many pixels, or is
            a file that cannot be read.
    """
    try:
        data = source if isinstance(source, bytes) else opening.read_bytes(source)
        header = opening.read_header(data)
    except opening.ImageOpenError as error:
        no = "not a picture: " if error.reason == opening.NOT_A_PICTURE else ""
        raise DownloadError(f"{no}{error.detail}") from None
    ending = _ENDINGS.get(header.format, header.format.lower())
    content_type = Image.MIME.get(header.format, f"image/{ending}")
    sha256 = hashlib.sha256(data).hexdigest()
    return FetchedPicture(data, sha256, ending, content_type, header.width, header.height)


def identify_data_url(url: str) -> FetchedPicture:
    """The picture that a data: URL carries.

    Raises:
        DownloadError: the URL is malformed, or carries no picture.
    """
    try:
        return identify(decode_data_url(url))
    except ValueError as error:
        raise DownloadError(f"a data: URL that cannot be read: {error}") from None


def download(hit: Hit, transport: Transport, proxy: str | None = None) -> FetchedPicture:
    """The picture of a hit, or its thumbnail where the picture cannot be had; the note says so.

    Raises:
        DownloadError: neither can be had; the reason is the picture's own.
    """

    def fetch(url: str) -> FetchedPicture:
        if is_data_url(url):
            return identify_data_url(url)
        return identify(transport.get(url, page=hit.page, proxy=proxy))

    if hit.file is not None:
        return identify(hit.file)
    problem: DownloadError | None = None
    why = "the site shows no full picture"
    if hit.image:
        try:
            return fetch(hit.image)
        except DownloadError as error:
            problem, why = error, f"full picture {error}"
    if hit.thumbnail in ("", hit.image):
        raise problem or DownloadError(why)
    try:
        return replace(fetch(hit.thumbnail), note=f"{THUMBNAIL}: {why}")
    except DownloadError as error:
        raise problem or error from None
