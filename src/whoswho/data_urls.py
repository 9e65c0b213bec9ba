"""Bytes written as text: base64 in its spellings, and data: URLs (RFC 2397)."""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote_to_bytes


def is_data_url(url: str) -> bool:
    """Whether a URL carries its content in itself."""
    return url[:5].lower() == "data:"


def decode_data_url(url: str) -> bytes:
    """What a data: URL carries, in base64 or percent-encoded.

    Raises:
        ValueError: it is malformed; a few words say how.
    """
    header, comma, body = url[5:].partition(",")
    if not comma:
        raise ValueError("a data: URL without data")
    content = unquote_to_bytes(body.encode(errors="surrogatepass"))
    if re.search(r";\s*base64\s*$", header, re.IGNORECASE):
        return decode_base64(content.decode("latin-1"))
    return content


def decode_base64(text: str) -> bytes:
    """The bytes that base64 stands for, with line breaks, URL-safe letters, or unpadded too.

    Raises:
        ValueError: other letters are in it, or one is missing.
    """
    letters = "".join(text.split()).translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        return base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except ValueError:
        raise ValueError("broken base64") from None
