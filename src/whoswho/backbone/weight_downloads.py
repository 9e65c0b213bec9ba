"""torchvision's published weights: from its cache where that is sound, else from the network.

The file's name carries the beginning of its hash, so a cached file can be judged before use: half
a download is found here and not as a strange failure later. A network that never answers costs
seconds, not minutes.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import torch

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

PATIENCE = 8.0  # seconds, all waiting for a first answer together
SILENCE = 10.0  # seconds without a byte that end a download under way


class UnavailableError(Exception):
    """The weights cannot be had here and now; the message says why and how to fetch them.

    `kind` says it in a few words that are the same on every machine.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


@dataclass
class Patience:
    """The seconds left to wait for first answers; one is shared by all entries of a list."""

    left: float = field(default_factory=lambda: PATIENCE)
    silent: set[str] = field(default_factory=set)  # hosts that did not answer


def get(weights: WeightsEnum, patience: Patience, cache: Path | None = None) -> dict[str, Any]:
    """The state dict of published weights, its file checked against the hash in its name.

    Raises:
        UnavailableError: neither the cache nor the network gives a sound file. No part
            file is left.
    """
    folder = cache or Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / Path(urlsplit(weights.url).path).name
    by_hand = (
        f"fetch it where there is a network (curl -LO {weights.url}) and put it, its name "
        f"unchanged, at {path}"
    )
    damage = _damage(path)
    if path.exists() and damage is None:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return state
    broken = f"{damage}; " if damage else ""
    kind = "damaged in the cache" if damage else "could not be fetched"
    refusal = _ask(weights.url, patience)
    if refusal:
        raise UnavailableError(kind, f"{broken}{refusal}; {by_hand}")
    folder.mkdir(parents=True, exist_ok=True)
    # In a folder of its own: whatever stops the download, nothing of it stays in the cache.
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=folder) as passing:
        try:
            with _limited_silence(), contextlib.redirect_stdout(io.StringIO()):
                state = weights.get_state_dict(
                    model_dir=passing,
                    check_hash=True,
                    progress=sys.stderr.isatty(),
                    map_location="cpu",
                    weights_only=True,
                )
        except (OSError, RuntimeError, URLError) as error:
            if isinstance(error, OSError) and error.errno in (13, 28, 30):
                raise  # no room or no right to write: said by the caller of all
            raise UnavailableError(kind, f"{broken}{_why(error, path)}; {by_hand}") from None
        (Path(passing) / path.name).replace(path)
    return state


def _damage(path: Path) -> str | None:
    """What is wrong with a cached file, or None where nothing is, or where there is none."""
    expected = re.search(r"-([0-9a-f]{8,})\.", path.name)
    if not path.is_file() or expected is None:
        return None
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found.startswith(expected[1]):
        return None
    return (
        f"{path} is damaged: its hash should begin {expected[1]} and is {found} "
        f"({path.stat().st_size} bytes)"
    )


def _ask(url: str, patience: Patience) -> str | None:
    """Why the server at `url` will not give the file, or None where it starts to.

    Asked in a thread, because no time limit reaches into looking up a host's name.
    """
    host = urlsplit(url).netloc
    silence = f"no answer from {host} within {PATIENCE:g} seconds"
    if host in patience.silent or patience.left <= 0:
        return silence
    answer: list[str | None] = []
    start = time.monotonic()
    asking = threading.Thread(
        target=lambda: answer.append(_first_byte(url, patience.left)), daemon=True
    )
    asking.start()
    asking.join(patience.left)
    patience.left -= time.monotonic() - start
    if not answer or answer[0] == "":
        patience.silent.add(host)
        return silence
    return answer[0]


def _first_byte(url: str, seconds: float) -> str | None:
    """None where a first byte comes, an empty text where none came in time, else why not."""
    request = Request(url, headers={"User-Agent": "whoswho", "Range": "bytes=0-0"})
    try:
        with urlopen(request, timeout=seconds) as response:
            if response.headers.get_content_type() == "text/html":
                return f"{urlsplit(url).netloc} sent a web page instead of the file"
            response.read(1)
            return None
    except HTTPError as error:
        return f"{urlsplit(url).netloc} answered {error.code} {error.reason}"
    except (URLError, OSError) as error:
        cause = getattr(error, "reason", error)
        if isinstance(cause, TimeoutError):
            return ""
        return f"{urlsplit(url).netloc} cannot be reached ({cause})"
    except Exception as error:  # noqa: BLE001 - a server that does not speak HTTP
        return f"{urlsplit(url).netloc} gave no sound answer ({type(error).__name__})"


@contextlib.contextmanager
def _limited_silence() -> Iterator[None]:
    """Let torch.hub's download wait SILENCE seconds for a next byte, not for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _why(error: Exception, path: Path) -> str:
    hashes = re.search(r'expected "(\w+)", got "(\w+)"', str(error))
    if hashes:
        return (
            f"what was sent for {path} is not whole: its hash should begin {hashes[1]} and is "
            f"{hashes[2]}"
        )
    if isinstance(getattr(error, "reason", error), TimeoutError):
        return f"the download of {path.name} fell silent for {SILENCE:g} seconds"
    return f"the download of {path.name} failed ({' '.join(str(error).split())[:120]})"
