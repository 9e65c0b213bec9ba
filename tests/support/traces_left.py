"""Everything a folder holds, down to Git's packed objects and the pictures inside pages."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from whoswho.cleaning.fingerprints import fingerprint
from whoswho.data_urls import decode_data_url
from whoswho.pictures import opening
from whoswho.pictures.embedding import Vector, embed
from whoswho.pictures.faces import FaceFinder

_DATA_URL = re.compile(rb"data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+")
Vectors = NDArray[np.float32]  # (faces, 128)

SAME_FACE = 0.3  # distance of vectors; of the drawn people two are further apart
CLOSE = 10  # bits of 64: cleaning takes no more for one picture


class Everything:
    """The contents of all files below some folders, each once.

    Attributes:
        contents: sha256 of a content -> where it is, and its bytes. Objects of Git are unpacked;
            pictures given as data in a page are contents of their own.
    """

    def __init__(self, *folders: Path) -> None:
        self.contents: dict[str, tuple[list[str], bytes]] = {}
        for folder in folders:
            for where, content in _contents(folder):
                self._add(where, content)
                for url in _DATA_URL.findall(content):
                    self._add(f"{where}, inside", decode_data_url(url.decode()))

    def _add(self, where: str, content: bytes) -> None:
        name = hashlib.sha256(content).hexdigest()
        self.contents.setdefault(name, ([], content))[0].append(where)

    def equal(self, sha256: str) -> list[str]:
        """Where the content of this hash is."""
        return self.contents[sha256][0] if sha256 in self.contents else []

    def having(self, needle: bytes) -> list[str]:
        """Where these bytes stand within a content."""
        return [
            each
            for where, content in self.contents.values()
            if needle in content
            for each in where
        ]

    def like(self, bits: int) -> list[str]:
        """Where a picture is that looks like the one with this hash, perhaps mirrored."""
        return [
            where
            for where, *both in self._looks
            if any((bits ^ each).bit_count() <= CLOSE for each in both)
        ]

    def showing(self, own: Vectors, others: Vectors, passed_over: set[str]) -> list[str]:
        """Where a picture is with a face that is one of `own`, and none of `others`.

        Args:
            passed_over: hashes of contents that are not looked at.
        """
        return [
            where
            for sha256, image in self._pictures()
            if sha256 not in passed_over
            and any(
                distance(each, own) < min(SAME_FACE, distance(each, others))
                for each in _faces(sha256, image)
            )
            for where in self.contents[sha256][0]
        ]

    @cached_property
    def _looks(self) -> list[tuple[str, int, int]]:
        """Where each picture is, its look-alike hash and its mirror image's."""
        looks = []
        for sha256, image in self._pictures():
            hashes = fingerprint(image)
            looks += [(each, hashes.bits, hashes.mirrored) for each in self.contents[sha256][0]]
        return looks

    def _pictures(self) -> Iterator[tuple[str, Image.Image]]:
        """sha256 of each content that can be opened as a picture, and that."""
        for sha256, (_, content) in self.contents.items():
            if content[:4] in (b"\x89PNG", b"RIFF", b"GIF8") or content[:2] == b"\xff\xd8":
                try:
                    image = opening.open_picture(content, first_frame=True)
                except opening.ImageOpenError:
                    continue
                yield sha256, image


_known: dict[str, list[Vector]] = {}  # the second search sees most contents again


def _faces(sha256: str, image: Image.Image) -> list[Vector]:
    """The vectors of all faces in the picture of this content."""
    if sha256 not in _known:
        _known[sha256] = faces(image)
    return _known[sha256]


def faces(image: Image.Image) -> list[Vector]:
    """The vectors of all faces in a picture."""
    return [embed(image, face) for face in _finder().find(image)]


@cache
def _finder() -> FaceFinder:
    return FaceFinder(0.95, 0.08)  # as params.yaml has them


def distance(vector: Vector, others: Vectors) -> float:
    """To the nearest of the others."""
    return float(np.linalg.norm(others - vector, axis=1).min())


def look(path: Path) -> int:
    """A picture's look-alike hash."""
    return fingerprint(opening.open_picture(path)).bits


def features(folder: Path, rows: list[dict[str, str]]) -> list[bytes]:
    """The bytes of the rows of an index of features, as each split's file keeps them."""
    splits = {split: np.load(folder / f"{split}.npy") for split in {r["split"] for r in rows}}
    return [splits[row["split"]][0, int(row["row"])].tobytes() for row in rows]


def _contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.is_symlink():
            yield str(file), file.read_bytes()
    for git in sorted(folder.rglob(".git")):
        command = ["git", "-C", str(git.parent), "cat-file", "--batch-all-objects", "--batch"]
        rest = io.BytesIO(subprocess.run(command, capture_output=True, check=True).stdout)
        while header := rest.readline().split():
            yield f"{git}: {header[1].decode()} {header[0].decode()}", rest.read(int(header[2]))
            rest.read(1)
