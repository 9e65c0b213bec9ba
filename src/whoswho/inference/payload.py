"""The forms in which a client may send a picture; each becomes the picture's bytes.

Clients of a scoring server have JSON only, and each guesses another way to put bytes into it. A
text is never taken for the path of a file here: a server that opens paths reads any file aloud.
"""

from __future__ import annotations

from whoswho.data_urls import decode_base64, decode_data_url, is_data_url

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
    try:
        decoded = decode_data_url(text) if is_data_url(text) else decode_base64(text)
    except ValueError as error:
        raise ValueError(f"{error}; {HOW}") from None
    if not decoded:
        raise ValueError(f"an empty picture; {HOW}")
    return decoded
