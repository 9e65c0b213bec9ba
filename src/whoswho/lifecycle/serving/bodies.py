"""The bodies of requests: bounded before they are parsed, and never repeated in an answer."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

MOST_BYTES = 32 * 2**20  # of a request; a phone's photograph has 3 to 12 MB
MOST_PICTURES = 1000  # of a request
GONE = 499  # nobody reads it
SECONDS = 60  # for a body to arrive
# What is read and thrown away of a body that is too large: a client that is cut off while it
# sends sees a broken connection instead of the answer.
_DISCARDED = 8 * MOST_BYTES
_FIELD = "picture"
_HOW = f"send pictures as files: curl -F {_FIELD}=@photo.jpg"
# A list of nothings takes a hundred times its size in memory. A picture needs at most five of
# these: {"image": "data:image/png;base64,..."},
_MOST_ITEMS = 8 * MOST_PICTURES
_SEPARATORS = {"application/json": (b"{", b"[", b",", b":"), "text/csv": (b",",)}
_NAMES = ("dataframe_split", "dataframe_records", "inputs", "instances")
_COLUMN = "image"
_FORMS = (
    f"send one of {', '.join(_NAMES)} with the column `{_COLUMN}`, such as "
    '{"inputs": {"image": ["<base64>"]}}'
)
_MOST_LINES = 1_000_000  # of CSV, whose base64 may be wrapped


class Upload(NamedTuple):
    """A picture as it was sent: the client's name for it and its bytes."""

    name: str
    content: bytes


async def read(request: Request) -> bytes:
    """The body of a request.

    Raises:
        HTTPException: 413, it is too large; 408, it does not arrive.
    """
    length = request.headers.get("content-length", "0")
    too_large = HTTPException(
        413, f"a request of more than {MOST_BYTES // 2**20} MiB; send fewer or smaller pictures"
    )
    if length.isdecimal() and int(length) > MOST_BYTES and "expect" in request.headers:
        raise too_large  # the client waits to be told whether to send it
    parts, size = [], 0
    try:
        async with asyncio.timeout(SECONDS):
            async for part in request.stream():
                size += len(part)
                if size <= MOST_BYTES:
                    parts.append(part)
                elif size > _DISCARDED:
                    break
                else:
                    parts.clear()
    except TimeoutError:
        raise HTTPException(408, f"the request did not arrive within {SECONDS} s") from None
    except ClientDisconnect:
        raise HTTPException(GONE, "the client is gone") from None
    if size > MOST_BYTES:
        raise too_large
    return b"".join(parts)


def pictures(content_type: str, body: bytes) -> tuple[list[Upload], dict[str, str]]:
    """The pictures of a form, or the one that is the whole body, and the form's other fields.

    Raises:
        HTTPException: 400, 413 or 415, with what to send instead.
    """
    kind, options = parse_options_header(content_type)
    if kind.startswith("image/") or kind == "application/octet-stream":
        return [Upload("picture", body)], {}
    if kind != "multipart/form-data":
        raise HTTPException(415, _HOW)
    parser = FormDataParser(
        _in_memory,
        max_form_memory_size=2**16,
        max_form_parts=MOST_PICTURES + 10,
        silent=False,
    )
    try:
        _, fields, files = parser.parse(io.BytesIO(body), kind, len(body), options)
    except RequestEntityTooLarge:
        raise HTTPException(413, f"more than {MOST_PICTURES} pictures; send them apart") from None
    except ValueError:
        raise HTTPException(400, f"no form that can be read; {_HOW}") from None
    uploads = [
        Upload(file.filename or "picture", file.stream.read()) for file in files.getlist(_FIELD)
    ]
    if not uploads:
        as_text = f"`{_FIELD}` is a text here, not a file (the @ is missing?); "
        raise HTTPException(400, (as_text if _FIELD in fields else "") + _HOW)
    return uploads, fields.to_dict()


def rows(content_type: str, body: bytes) -> list[str]:
    """The texts in the column `image` of a body in any of MLflow's forms.

    Raises:
        HTTPException: 400, 413 or 415, with what to send instead.
    """
    kind, _ = parse_options_header(content_type)
    if kind not in _SEPARATORS:
        raise HTTPException(415, f"send Content-Type: {' or '.join(_SEPARATORS)}")
    items = sum(body.count(sign) for sign in _SEPARATORS[kind])
    if items > _MOST_ITEMS or (kind == "text/csv" and body.count(b"\n") > _MOST_LINES):
        raise HTTPException(413, f"more than {MOST_PICTURES} pictures; send them apart")
    try:
        content = _records(body) if kind == "text/csv" else json.loads(body)
    except (ValueError, RecursionError, csv.Error):
        raise HTTPException(400, f"the body is no {kind} that can be read") from None
    try:
        values = _column(content)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise HTTPException(400, _FORMS) from None
    if len(values) > MOST_PICTURES:
        raise HTTPException(413, f"more than {MOST_PICTURES} pictures; send them apart")
    for number, value in enumerate(values, start=1):
        try:
            value.encode()  # what JSON's escapes leave may be half a letter, which no text holds
        except (AttributeError, UnicodeEncodeError):
            raise HTTPException(400, f"row {number}: `{_COLUMN}` is no text; {_FORMS}") from None
    return values


def split(images: Sequence[str]) -> bytes:
    """Rows in the form of MLflow's that the scoring app takes as it is."""
    data = [[image] for image in images]
    return json.dumps({"dataframe_split": {"columns": [_COLUMN], "data": data}}).encode()


def _in_memory(*_: object, **__: object) -> io.BytesIO:
    """Where the form's parser puts a file: the body is in memory already, and bounded."""
    return io.BytesIO()


def _column(content: dict[str, Any]) -> list[Any]:
    """The column's values; any of Python's errors where the body has another form."""
    (form,) = set(_NAMES) & content.keys()
    value = content[form]
    if form == "dataframe_split":
        column = value["columns"].index(_COLUMN)
        return [row[column] for row in value["data"]]
    if isinstance(value, dict):
        column = value[_COLUMN]
        return column if isinstance(column, list) else [column]
    if form != "dataframe_records" and all(isinstance(row, str) for row in value):
        return list(value)
    return [row[_COLUMN] for row in value]


def _records(body: bytes) -> dict[str, Any]:
    csv.field_size_limit(MOST_BYTES)
    return {"dataframe_records": list(csv.DictReader(io.StringIO(body.decode())))}
