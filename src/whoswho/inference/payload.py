"""The forms in which a client may send a picture; each becomes the picture's bytes.

Clients of a scoring server have JSON only, and each guesses another way to put bytes into it. A
text is never taken for the path of a file here: a server that opens paths reads any file aloud.
"""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote_to_bytes

HOW = (
    "send the picture's bytes as base64 (line breaks and URL-safe letters are fine) or as a data: "
    "URL; a path or an address is not opened here"
)


def to_bytes(value: object) -> bytes:
    """The bytes of a picture sent as bytes, base64 or a data URL.

    Raises:
        ValueError: in one line, what was expected; the value itself is not repeated.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if not isinstance(value, str):
        raise ValueError(f"a picture sent as {type(value).__name__}; {HOW}")
    text = value.strip()
    if text[:5].lower() == "data:":
        header, comma, body = text[5:].partition(",")
        if not comma:
            raise ValueError(f"a data: URL without a comma; {HOW}")
        if not header.lower().rstrip().endswith(";base64"):
            return unquote_to_bytes(body)
        text = unquote_to_bytes(body).decode("latin-1")
    letters = re.sub(r"\s+", "", text).translate(str.maketrans("-_", "+/")).rstrip("=")
    try:
        decoded = base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"not base64; {HOW}") from None
    if not decoded:
        raise ValueError(f"an empty picture; {HOW}")
    return decoded
