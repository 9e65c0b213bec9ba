"""From a hit to a picture: its bytes, and what they are by their content alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from whoswho.crawl.site import Hit
from whoswho.crawl.transport import DownloadError, Transport
from whoswho.data_urls import decode_data_url, is_data_url
from whoswho.pictures import opening

THUMBNAIL = "thumbnail"  # starts the note of a picture that is one

_KINDS = {  # format: ending and content type
    "JPEG": ("jpg", "image/jpeg"), "PNG": ("png", "image/png"), "WEBP": ("webp", "image/webp"),
    "GIF": ("gif", "image/gif"), "AVIF": ("avif", "image/avif"), "HEIF": ("heic", "image/heic"),
    "TIFF": ("tif", "image/tiff"), "BMP": ("bmp", "image/bmp"), "ICO": ("ico", "image/x-icon"),
    "JPEG2000": ("jp2", "image/jp2"), "PSD": ("psd", "image/vnd.adobe.photoshop"),
    "PPM": ("ppm", "image/x-portable-anymap"), "ICNS": ("icns", "image/icns"),
    "QOI": ("qoi", "image/qoi"), "DDS": ("dds", "image/vnd.ms-dds"),
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
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

    def noted(self, note: str) -> Picture:
        """The same picture with another note."""
        return replace(self, note=note)


def picture(data: bytes) -> Picture:
    """What `data` is, told by its content, nothing decoded.

    Raises:
        DownloadError: it is no picture (a web page, an SVG drawing …) or has too many pixels.
    """
    try:
        header = opening.read_header(data)
    except opening.ImageOpenError as unfit:
        no = "not a picture: " if unfit.reason == opening.NOT_A_PICTURE else ""
        raise DownloadError(f"{no}{unfit.detail}") from None
    ending, content_type = _KINDS[header.format]
    sha256 = hashlib.sha256(data).hexdigest()
    return Picture(data, sha256, ending, content_type, header.width, header.height)


def download(hit: Hit, transport: Transport, proxy: str | None = None) -> Picture:
    """The picture of a hit, or its thumbnail where the picture cannot be had; the note says so.

    Raises:
        DownloadError: neither can be had; the reason is the picture's own.
    """
    if hit.file is not None:
        return picture(_read(hit))
    if not hit.image:
        why = "the site shows no full picture"
        if not hit.thumbnail:
            raise DownloadError(why)
    else:
        try:
            return fetch(hit.image, transport, hit.page, proxy)
        except DownloadError as first:
            if not hit.thumbnail or hit.thumbnail == hit.image:
                raise
            why = f"full picture {first}"
            try:
                found = fetch(hit.thumbnail, transport, hit.page, proxy)
            except DownloadError:
                raise first from None
            return found.noted(f"{THUMBNAIL}: {why}")
    return fetch(hit.thumbnail, transport, hit.page, proxy).noted(f"{THUMBNAIL}: {why}")


def fetch(url: str, transport: Transport, page: str, proxy: str | None) -> Picture:
    """The picture at an http, https or data: address.

    Raises:
        DownloadError: it cannot be had, or is none.
    """
    if is_data_url(url):
        return data_picture(url)
    return picture(transport.get(url, page=page, proxy=proxy))


def data_picture(url: str) -> Picture:
    """The picture that a data: URL carries.

    Raises:
        DownloadError: the URL is malformed, or carries no picture.
    """
    try:
        return picture(decode_data_url(url))
    except ValueError as error:
        raise DownloadError(str(error)) from None


def _read(hit: Hit) -> bytes:
    assert hit.file is not None
    try:
        return opening.read_bytes(hit.file)
    except opening.ImageOpenError as unfit:
        raise DownloadError(unfit.detail) from None
