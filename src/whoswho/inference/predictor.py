"""A picture in, a name out, by the code that prepared and judged the training pictures."""

from __future__ import annotations

import ctypes
import gc
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from whoswho.artifacts.model.settings import Face, PictureSettings
from whoswho.errors import UserError
from whoswho.inference.model import Answers, load_model
from whoswho.labels import UNKNOWN
from whoswho.pictures import opening, tensors
from whoswho.pictures.opening import ImageOpenError, open_picture
from whoswho.pictures.prepare import Prepared, Preparer
from whoswho.workers import pool

BATCH = 32
FRAME = "#2ca02c"
NO_FACE = "no face was found, and this model answers for faces alone"
# A server asks from several threads. Of pictures above this only one is open at a time: the
# largest allowed needs most of a gigabyte while it is decoded and turned.
LARGE = 16_000_000  # pixels
THUMBNAIL = 512  # pixels, longest side of the picture a prediction keeps for a figure

PictureSource = Path | str | bytes


@dataclass(frozen=True)
class Prediction:
    """What the model says of one picture.

    Attributes:
        name: the picture as the caller named it.
        label: the likeliest label, also where it is not likely enough; None where `problem`.
        probability: of that label, in 0..1.
        probabilities: of every label, in the model's order.
        similarity: to the centre of the nearest label, -1 to 1.
        unknown: whether that is too low: none of the people the model knows.
        faces: how many faces were found; None where the model looks at whole pictures.
        face: the one that was looked at, in pixels of the upright picture.
        features: (width,), what the backbone gives for it.
        problem: why the picture could not be read, in one line.
        image: the upright picture, small, for figures (see `Predictor.predict`), the face that
            was looked at in a frame.
        prepared: what the network saw, kept with `image`.
    """

    name: str
    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    similarity: float | None = None
    unknown: bool = False
    faces: int | None = None
    face: Face | None = None
    features: NDArray[np.float32] | None = field(default=None, compare=False)
    problem: str | None = None
    image: Image.Image | None = None
    prepared: Image.Image | None = None

    @property
    def title(self) -> str:
        """The name to show: the label, or `unknown`."""
        return UNKNOWN if self.unknown or self.label is None else self.label

    @property
    def looked_at(self) -> str:
        """What of the picture was judged, in words."""
        if self.problem:
            return ""
        if self.faces is None:
            return "whole picture"
        if self.faces == 0:
            return "no face, whole picture"
        return "face" if self.faces == 1 else f"{self.faces} faces, the largest"


LookedAt = tuple[Prediction, Prepared | None]  # without a label; None where nothing was prepared


class Predictor:
    """The model of a folder such as artifacts/model, with its own way to prepare pictures.

    Raises:
        UserError: there is no such folder, or no model that this version reads in it.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise UserError(
                f"{folder}: no model folder; `dvc repro` makes artifacts/model, and registered "
                "models are named as in models:/whoswho@champion"
            )
        self.model = load_model(folder)
        self.large_pictures = threading.Lock()

    def predict(
        self, sources: Iterable[PictureSource], *, keep_images: bool = False
    ) -> list[Prediction]:
        """A prediction a source, in order: paths (a folder is an error), or a picture's bytes.

        An unfit picture gets its reason, and the others go on.
        """
        return list(self.stream(sources, keep_images=keep_images))

    def stream(
        self,
        sources: Iterable[PictureSource],
        *,
        keep_images: bool = False,
        keep_features: bool = False,
        processes: int = 0,
    ) -> Iterator[Prediction]:
        """`predict`, a few batches in memory at a time.

        Args:
            processes: that open pictures and find faces, while this one runs the network; 0: this
                one does both, as a server should.
        """
        numbered = enumerate(sources, start=1)
        look = partial(_looked_at, self.model.description.picture, keep_images)
        looked_at: Iterator[LookedAt]
        if processes:
            looked_at = pool.stream(look, numbered, processes)
        else:
            looked_at = map(partial(look, one_large=self.large_pictures), numbered)
        while batch := list(islice(looked_at, BATCH)):
            for prediction in self._answered(batch):
                yield prediction if keep_features else replace(prediction, features=None)

    def processes(self, pictures: int) -> int:
        """How many processes are worth their start beside this one, for so many pictures.

        To find a face takes about half as long as the network; where none is looked for, opening
        is little beside it.
        """
        if self.model.description.picture.crop != "face" or pictures < pool.FEW:
            return 0
        return min(pool.cores() // 2, pool.MOST_WORKERS)

    def _answered(self, batch: Sequence[LookedAt]) -> list[Prediction]:
        if self.model.looks_at_faces:
            batch = [
                (replace(prediction, problem=NO_FACE), None)
                if made and made.box is None
                else (prediction, made)
                for prediction, made in batch
            ]
        prepared = [tensors.with_face(made.image, made.box) for _, made in batch if made]
        if not prepared:
            return [prediction for prediction, _ in batch]
        answers, rows = self.model.answer(prepared), iter(range(len(prepared)))
        return [
            self._named(prediction, answers, next(rows)) if made else prediction
            for prediction, made in batch
        ]

    def _named(self, prediction: Prediction, answers: Answers, row: int) -> Prediction:
        numbers = answers.probabilities[row].tolist()
        probabilities = dict(zip(self.model.labels, numbers, strict=True))
        label = max(probabilities, key=probabilities.__getitem__)
        return replace(
            prediction,
            label=label,
            probability=probabilities[label],
            probabilities=probabilities,
            similarity=float(answers.similarity[row]),
            unknown=bool(answers.unknown[row]),
            features=answers.features[row],
        )


def on_worker(
    files: Sequence[Path], folder: Path, digest: str, *, keep_images: bool, keep_features: bool
) -> list[Prediction]:
    """`Predictor.stream` of a batch, on a worker of a cluster; the worker keeps the model.

    Args:
        digest: of the model that lies in `folder`; another one is loaded anew.
    """
    predictor = _predictor(folder, digest)
    return list(predictor.stream(files, keep_images=keep_images, keep_features=keep_features))


@lru_cache(maxsize=1)
def _predictor(folder: Path, _digest: str) -> Predictor:
    return Predictor(folder)


@lru_cache(maxsize=2)  # a server changes over from one model to another
def _preparer(settings: PictureSettings) -> Preparer:
    return Preparer(settings)


def _looked_at(
    settings: PictureSettings,
    keep_image: bool,
    numbered: tuple[int, PictureSource],
    one_large: AbstractContextManager[Any] | None = None,
) -> LookedAt:
    """The picture prepared, and the prediction before the network's answer."""
    number, source = numbered
    name = f"picture {number}" if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else opening.read_bytes(Path(source))
        with _alone(one_large) if one_large and _is_large(data) else nullcontext():
            image = open_picture(data)
            made = _preparer(settings).from_image(image)
            prediction = Prediction(name, faces=made.faces, face=made.face)
            if keep_image:
                shown = framed(image, made.face)
                prediction = replace(prediction, image=shown, prepared=made.image)
            del image
    except (ImageOpenError, OSError) as error:
        return Prediction(name, problem=_problem(error)), None
    return prediction, made


def framed(image: Image.Image, face: Face | None) -> Image.Image:
    """The upright picture itself, made small, with its face in a frame."""
    width = image.width
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    if face is not None:
        scale = image.width / width
        box = [side * scale for side in (face.left, face.top, face.right, face.bottom)]
        ImageDraw.Draw(image).rectangle(box, outline=FRAME, width=max(2, image.width // 100))
    return image


@contextmanager
def _alone(one_large: AbstractContextManager[Any]) -> Iterator[None]:
    """Hold the lock of large pictures, and give back what one took before the next is opened.

    glibc keeps freed memory for the thread that had it, Python what refers to itself.
    """
    with one_large:
        try:
            yield
        finally:
            gc.collect()
            with suppress(OSError, AttributeError):  # another C library
                ctypes.CDLL(None).malloc_trim(0)


def _is_large(data: bytes) -> bool:
    try:
        header = opening.read_header(data)
    except ImageOpenError:  # opening it says why
        return False
    return header.width * header.height > LARGE


def _problem(error: ImageOpenError | OSError) -> str:
    if isinstance(error, ImageOpenError):
        return f"{error.reason}: {error.detail}" if error.detail else error.reason
    return error.strerror or type(error).__name__
