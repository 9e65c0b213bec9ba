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
from whoswho.errors import UserError
from whoswho.pictures.opening import ImageOpenError
from whoswho.reporting.pages import fonts
from whoswho.reviewing import gallery, thumbnail_cache
from whoswho.reviewing.gallery import Gallery, GalleryPicture

MOST_LETTERS = 1000  # of a person's reason


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
            UserError: none can be taken.
        """
        if not (self.workspace / gallery.DECISIONS).exists():
            raise UserError(
                "`dvc repro` is cleaning, or was interrupted, and would miss this decision; "
                "decide when it is done"
            )
        shown = self.shown.gallery
        if cleaned != shown.cleaned:
            raise UserError("the pictures were cleaned anew since this page was loaded; reload it")
        why_not = {key: self._why_not(shown, key, changes[key].decision) for key in changes}
        sound = {key: change for key, change in changes.items() if not why_not[key]}
        refused = {key: Outcome(None, error=why) for key, why in why_not.items() if why}
        return refused | (review.record(self.review, sound) if sound else {})

    def _why_not(
        self, shown: Gallery, key: tuple[str, str], decision: ReviewDecision | None
    ) -> str:
        """Why a decision about a picture cannot be taken; empty where it can."""
        picture = shown.by_key.get(key)
        if picture is None:
            return "This picture is not in artifacts/clean/decisions.csv any more; reload the page"
        if not thumbnail_cache.is_there(self.data / picture.file, picture.sha256, self.data):
            return (
                f"data/{picture.file} is gone, or has changed since cleaning; run `dvc repro`, "
                "then reload the page"
            )
        return _problem(decision, picture, shown.labels) if decision is not None else ""

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


def _problem(decision: ReviewDecision, picture: GalleryPicture, labels: list[str]) -> str:
    """What is wrong with a decision; empty where nothing is."""
    if picture.fixed and decision.decision == review.KEEP:
        return f"data/{picture.file} cannot be kept: {picture.fixed}"
    if decision.decision not in (review.KEEP, review.DROP):
        return f"a decision is {review.KEEP} or {review.DROP}"
    if decision.other_label and decision.decision == review.DROP:
        return "a dropped picture has no other label"
    if decision.other_label and decision.other_label not in labels:
        return "no folder in data/ has that label; make it first, then `dvc repro`"
    if len(decision.why) > MOST_LETTERS:
        return f"a reason has at most {MOST_LETTERS} letters"
    return ""
