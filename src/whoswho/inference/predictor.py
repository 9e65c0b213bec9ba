"""A picture in, a name out, by the code that prepared and judged the training pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from PIL import Image

from whoswho.errors import UserError
from whoswho.inference.model import load_model
from whoswho.pictures.opening import ImageOpenError, open_picture
from whoswho.pictures.prepare import Preparer

UNKNOWN = "unknown"
BATCH = 32
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
        unknown: whether the probability stays below the threshold chosen on validation.
        problem: why the picture could not be read, in one line.
        image: the upright picture, small, for figures (see `Predictor.predict`).
    """

    name: str
    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    unknown: bool = False
    problem: str | None = None
    image: Image.Image | None = None

    @property
    def title(self) -> str:
        """The name to show: the label, or `unknown` below the threshold."""
        return UNKNOWN if self.unknown or self.label is None else self.label


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
        self._preparer = Preparer(self.model.description.picture)

    def predict(
        self, sources: Iterable[PictureSource], *, keep_images: bool = False
    ) -> list[Prediction]:
        """A prediction a source, in order: paths (a folder is an error), or a picture's bytes.

        An unfit picture gets its reason, and the others go on.
        """
        numbered = iter(enumerate(sources, start=1))
        predictions: list[Prediction] = []
        while batch := list(islice(numbered, BATCH)):
            predictions += self._predict_batch(batch, keep_images)
        return predictions

    def _predict_batch(
        self, batch: Sequence[tuple[int, PictureSource]], keep_images: bool
    ) -> list[Prediction]:
        predictions: list[Prediction] = []
        prepared: list[Image.Image] = []
        for number, source in batch:
            name = f"picture {number}" if isinstance(source, bytes) else str(source)
            try:
                image = open_picture(source if isinstance(source, bytes) else Path(source))
                prepared.append(self._preparer.from_image(image).image)
            except (ImageOpenError, OSError) as error:
                predictions.append(Prediction(name, problem=_problem(error)))
                continue
            if keep_images:
                image.thumbnail((THUMBNAIL, THUMBNAIL))
            predictions.append(Prediction(name, image=image if keep_images else None))
        rows = iter(self.model.probabilities(prepared).tolist() if prepared else ())
        return [
            prediction if prediction.problem else self._named(prediction, next(rows))
            for prediction in predictions
        ]

    def _named(self, prediction: Prediction, row: Sequence[float]) -> Prediction:
        highest = max(row)
        return replace(
            prediction,
            label=self.model.labels[row.index(highest)],
            probability=highest,
            probabilities=dict(zip(self.model.labels, row, strict=True)),
            unknown=highest < self.model.description.threshold,
        )


def _problem(error: ImageOpenError | OSError) -> str:
    if isinstance(error, ImageOpenError):
        return f"{error.reason}: {error.detail}" if error.detail else error.reason
    return error.strerror or type(error).__name__
