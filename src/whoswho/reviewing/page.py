"""What one review page shows, and the decisions it takes."""

from __future__ import annotations

import gc
import hashlib
import json
import secrets
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from whoswho import paths
from whoswho.dataset import review
from whoswho.dataset.review import Change, Outcome, ReviewDecision
from whoswho.pictures.opening import ImageOpenError
from whoswho.reporting.pages import fonts
from whoswho.reviewing import gallery, thumbnail_cache
from whoswho.reviewing.gallery import Gallery, GalleryPicture

MOST_LETTERS = 1000  # of a person's reason


class Refused(Exception):  # noqa: N818 - an answer for the page, not a defect
    """A decision that cannot be taken, and why."""


@dataclass(frozen=True)
class Shown:
    """What is shown, made ready once: of many pictures it is many megabytes.

    Attributes:
        gallery: the pictures as the last `dvc repro` left them.
        content: the gallery as the page reads it (JSON).
        version: another text whenever something else is shown.
        letters: those shown that a machine may have no font for.
    """

    gallery: Gallery
    content: bytes
    version: str
    letters: str

    @classmethod
    def read(cls, workspace: Path) -> Shown:
        """What the tables have."""
        gc.disable()  # it would look again and again at rows that all stay
        try:
            read = gallery.load(workspace)
            text = json.dumps(gallery.as_json(read), ensure_ascii=False, separators=(",", ":"))
            # A file's name that is not valid UTF-8 goes as JSON's own escape.
            content = text.encode("utf-8", "backslashreplace")
            return cls(read, content, hashlib.sha256(content).hexdigest(), fonts.uncommon(text))
        finally:
            gc.enable()


class Page:
    """What one server shows; its gallery is read again when a table has changed."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.data = workspace / paths.DATA
        self.review = workspace / paths.REVIEW
        self.token = secrets.token_urlsafe()
        self._shown: Shown | None = None
        self._lock = threading.Lock()

    @property
    def shown(self) -> Shown:
        """What the tables have now."""
        with self._lock:
            now = gallery.version(self.workspace)
            if self._shown is None or self._shown.gallery.version != now:
                self._shown = Shown.read(self.workspace)
            return self._shown

    def decisions(self) -> list[dict[str, Any]]:
        """What review.csv says of each picture, the rows of pictures not shown among them."""
        holds = {row.picture: row.bare for row in review.read(self.review)}
        return [
            {"sha256": sha256, "label": label, "decision": asdict(decision)}
            for (sha256, label), decision in holds.items()
        ]

    def decide(
        self, cleaned: str, changes: Mapping[tuple[str, str], Change]
    ) -> dict[tuple[str, str], Outcome]:
        """Write decisions about pictures that are there; see `review.record`.

        What cannot be taken of one keeps no other from it.

        DVC notes review.csv as it is when a stage ends, not as the stage read it: a decision made
        meanwhile would count as taken and not be. So none is written while cleaning runs, nor on a
        page from before it.

        Raises:
            Refused: none can be taken.
        """
        if not (self.workspace / gallery.DECISIONS).exists():
            raise Refused(
                "`dvc repro` is cleaning, or was interrupted, and would miss this decision; "
                "decide when it is done"
            )
        shown = self.shown.gallery
        if cleaned != shown.cleaned:
            raise Refused("the pictures were cleaned anew since this page was loaded; reload it")
        refused: dict[tuple[str, str], Outcome] = {}
        for key, change in changes.items():
            try:
                self._check(shown, key, change.decision)
            except Refused as error:
                refused[key] = Outcome(None, error=str(error))
        sound = {key: change for key, change in changes.items() if key not in refused}
        return {**refused, **(review.record(self.review, sound) if sound else {})}

    def _check(
        self, shown: Gallery, key: tuple[str, str], decision: ReviewDecision | None
    ) -> None:
        picture = shown.by_key.get(key)
        if picture is None:
            raise Refused(
                "This picture is not in artifacts/clean/decisions.csv any more; reload the page"
            )
        if not thumbnail_cache.is_there(self.data / picture.file, picture.sha256, self.data):
            raise Refused(
                f"data/{picture.file} is gone, or has changed since cleaning; run `dvc repro`, "
                "then reload the page"
            )
        if decision is not None:
            _check(decision, picture, shown.labels)

    def thumbnail(self, sha256: str, *, large: bool = False) -> bytes | None:
        """A JPEG of the picture with these bytes, None where no file of the set has them."""
        for picture in self.shown.gallery.by_sha256.get(sha256, ()):
            path = self.data / picture.file
            try:
                return thumbnail_cache.jpeg(path, sha256, self.data, large=large)
            except (thumbnail_cache.Gone, ImageOpenError, OSError):
                continue
        return None

    def letters(self) -> tuple[bytes, ...]:
        """Fonts for the letters on the page that the machine may lack."""
        reasons = "".join(row.why for row in review.read(self.review))
        return fonts.subsets(fonts.uncommon(self.shown.letters + reasons))


def _check(decision: ReviewDecision, picture: GalleryPicture, labels: list[str]) -> None:
    if picture.fixed and decision.decision == review.KEEP:
        raise Refused(f"data/{picture.file} cannot be kept: {picture.fixed}")
    if decision.decision not in (review.KEEP, review.DROP):
        raise Refused(f"a decision is {review.KEEP} or {review.DROP}")
    if decision.other_label and decision.decision == review.DROP:
        raise Refused("a dropped picture has no other label")
    if decision.other_label and decision.other_label not in labels:
        raise Refused("no folder in data/ has that label; make it first, then `dvc repro`")
    if len(decision.why) > MOST_LETTERS:
        raise Refused(f"a reason has at most {MOST_LETTERS} letters")
