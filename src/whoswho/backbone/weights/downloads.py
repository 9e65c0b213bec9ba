"""Published weights: from torch's cache where that is sound, else from the network.

The name of torchvision's files carries the beginning of their hash, so a cached file can be judged
before use: half a download is found here and not as a strange failure later. Of other files the
hash is recorded beside them when they come. A network that never answers costs seconds, not
minutes.
"""

from __future__ import annotations

import re
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse, IncompleteRead
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import torch
from tqdm import tqdm

from whoswho import paths
from whoswho.errors import DISK_ERRORS, one_line
from whoswho.timeouts import call_within

ANSWER_TIMEOUT = 8.0  # seconds, all waiting for a first answer together
READ_TIMEOUT = 10.0  # seconds without a byte that end a download under way


class UnavailableError(Exception):
    """Weights cannot be had here and now; the message says why and how to get them.

    `kind` says it in a few words that are the same on every machine.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


@dataclass
class Timeout:
    """The seconds left to wait for first answers, for all entries of a list together."""

    left: float = field(default_factory=lambda: ANSWER_TIMEOUT)


def download(url: str, timeout: Timeout, cache: Path | None = None) -> Path:
    """The file at `url`, in the cache, checked against the hash in its name or beside it.

    Raises:
        UnavailableError: neither the cache nor the network gives a sound file. No part of one is
            left.
    """
    folder = cache or Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / Path(urlsplit(url).path).name
    damage = ""
    if path.is_file():
        mismatch = _mismatch(path, _expected_hash(path))
        if not mismatch:
            return path
        damage = f"{path} is damaged: {mismatch} ({path.stat().st_size} bytes); "
    if failure := _fetch(url, path, timeout):
        raise UnavailableError(
            "damaged in the cache" if damage else "could not be fetched",
            f"{damage}{failure}; fetch it where there is a network (curl -LO {url}) and put "
            f"it, its name unchanged, at {path}",
        )
    return path


def _expected_hash(path: Path) -> str:
    """How the hash of a file in the cache begins, by its name or by its record; else empty."""
    if in_name := _hash_in(path.name):
        return in_name
    record = _record(path)
    return record.read_text(encoding="ascii").strip() if record.is_file() else ""


def _hash_in(name: str) -> str:
    match = re.search(r"-([0-9a-f]{8,})\.", name)
    return match[1] if match else ""


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _mismatch(path: Path, expected: str) -> str:
    """How a file's hash differs from the beginning of the expected one; empty if it does not."""
    digest = paths.sha256(path)
    return (
        "" if digest.startswith(expected) else f"its hash should begin {expected} and is {digest}"
    )


def _fetch(url: str, path: Path, timeout: Timeout) -> str:
    """Write what the server sends to `path`; why it could not, empty where it could."""
    host = urlsplit(url).netloc
    try:
        response = _open(url, timeout)
    except HTTPError as error:
        return f"{host} answered {error.code} {error.reason}"
    except (OSError, HTTPException) as error:
        cause = getattr(error, "reason", error)
        if isinstance(cause, TimeoutError):
            return f"no answer from {host} within {ANSWER_TIMEOUT:g} seconds"
        return f"{host} cannot be reached ({one_line(cause, 120)})"
    if response.headers.get_content_type() == "text/html":
        response.close()
        return f"{host} sent a web page instead of the file"
    # Not before there is something to keep: where nothing can be had, nothing need be written.
    path.parent.mkdir(parents=True, exist_ok=True)
    # In a folder of its own: whatever stops the download, nothing of it stays in the cache.
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=path.parent) as folder:
        partial = Path(folder) / path.name
        length = response.length
        try:
            _receive(response, partial)
        except TimeoutError:
            return f"the download of {path.name} fell silent for {READ_TIMEOUT:g} seconds"
        except (OSError, HTTPException) as error:
            if getattr(error, "errno", None) in DISK_ERRORS:
                raise
            return f"the download of {path.name} failed ({one_line(error, 120)})"
        mismatch = _mismatch(partial, _hash_in(path.name))
        received = partial.stat().st_size
        if not mismatch and received != (length or received):
            mismatch = f"{received} of {length} bytes"
        if mismatch:
            return f"what was sent for {path} is not whole: {mismatch}"
        partial.replace(path)
    if not _hash_in(path.name):
        _record(path).write_text(f"{paths.sha256(path)}\n", encoding="ascii")
    return ""


def _receive(response: HTTPResponse, path: Path) -> None:
    """Write the body of an answer into `path`; one that is cut shows in its hash."""
    bar = tqdm(
        total=response.length, desc=path.name, unit="B", unit_scale=True, disable=None, leave=False
    )
    with response, bar, path.open("wb") as file, suppress(IncompleteRead):
        while block := response.read(2**20):
            bar.update(file.write(block))


def _open(url: str, timeout: Timeout) -> HTTPResponse:
    """The server's answer, its body not read yet."""
    request = Request(url, headers={"User-Agent": "whoswho"})
    if timeout.left <= 0:
        raise TimeoutError
    start = time.monotonic()
    try:
        # In a thread, because no time limit reaches into looking up a host's name.
        response: HTTPResponse = call_within(
            timeout.left, lambda: urlopen(request, timeout=READ_TIMEOUT)
        )
    finally:
        timeout.left -= time.monotonic() - start
    return response
