"""A picture in, a name out, by the code that prepared and judged the training pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from whoswho.errors import UserError
from whoswho.evaluation import judging
from whoswho.inference import model_folder
from whoswho.pictures.opening import ImageOpenError, open_picture
from whoswho.pictures.prepare import Preparer
from whoswho.pictures.settings import PictureSettings

UNKNOWN = "unknown"
BATCH = 32
SHOWN = 512  # pixels, longest side of the picture an answer keeps for a figure


@dataclass(frozen=True)
class Answer:
    """What the model says to one picture.

    Attributes:
        name: the picture as the caller named it.
        label: the likeliest label, also where it is not likely enough; None where `problem`.
        probability: of that label, in 0..1.
        probabilities: of every label, in the model's order.
        unknown: whether the probability stays below the threshold chosen on validation.
        problem: why the picture could not be read, in one line.
        image: the upright picture, small, for figures (see `predict`).
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
    """A loaded model folder that answers to pictures."""

    def __init__(self, folder: Path) -> None:
        self.model = model_folder.load(folder)
        self._preparer = Preparer(PictureSettings.from_json(self.model.picture))

    @property
    def labels(self) -> Sequence[str]:
        """The model's labels in its order."""
        return self.model.labels

    def predict(
        self, sources: Iterable[Path | str | bytes], *, keep_images: bool = False
    ) -> list[Answer]:
        """One answer a source, in order: paths (a folder is an error), or a picture's bytes.

        An unfit picture gets its reason, and the others go on.
        """
        return [
            answer
            for batch in _batches(enumerate(sources, start=1))
            for answer in self._answer(batch, keep_images)
        ]

    def _answer(
        self, batch: list[tuple[int, Path | str | bytes]], keep_images: bool
    ) -> list[Answer]:
        answers: list[Answer] = []
        prepared: list[tuple[int, Image.Image]] = []
        for number, source in batch:
            name = f"picture {number}" if isinstance(source, bytes) else str(source)
            try:
                opened = open_picture(source if isinstance(source, bytes) else Path(source))
                prepared.append((len(answers), self._preparer.from_image(opened).image))
            except (ImageOpenError, OSError) as error:
                answers.append(Answer(name, problem=_problem(error)))
                continue
            if keep_images:
                opened.thumbnail((SHOWN, SHOWN))
            answers.append(Answer(name, image=opened if keep_images else None))
        if prepared:
            rows = judging.predict(self.model, [image for _, image in prepared])
            for (place, _), row in zip(prepared, rows, strict=True):
                answers[place] = self._named(answers[place], [float(p) for p in row])
        return answers

    def _named(self, answer: Answer, row: Sequence[float]) -> Answer:
        best = max(range(len(row)), key=row.__getitem__)
        return Answer(
            name=answer.name,
            label=self.labels[best],
            probability=row[best],
            probabilities=dict(zip(self.labels, row, strict=True)),
            unknown=row[best] < self.model.threshold,
            image=answer.image,
        )


def load(reference: str | Path) -> Predictor:
    """The predictor of a folder such as artifacts/model."""
    folder = Path(reference)
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no model folder; `dvc repro` makes artifacts/model, and registered models "
            "are named as in models:/whoswho@champion"
        )
    return Predictor(folder)


def _problem(error: ImageOpenError | OSError) -> str:
    if isinstance(error, ImageOpenError):
        return f"{error.reason}: {error.detail}" if error.detail else error.reason
    return error.strerror or type(error).__name__


def _batches(
    sources: Iterable[tuple[int, Path | str | bytes]],
) -> Iterator[list[tuple[int, Path | str | bytes]]]:
    batch = []
    for source in sources:
        batch.append(source)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
