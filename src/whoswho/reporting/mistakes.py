"""A wrong answer, for the page: what the network saw, the whole picture, what cleaning decided."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from PIL import ImageDraw

from whoswho.artifacts.decisions import Decision
from whoswho.artifacts.predictions import PredictionRow
from whoswho.artifacts.split import open_prepared
from whoswho.errors import UserError
from whoswho.pictures.opening import ImageOpenError, open_picture
from whoswho.pictures.thumbnail import jpeg
from whoswho.reporting.run_report import RunReport
from whoswho.wording import plural

MOST = 24  # shown; each adds some 80 kB to the page
SEEN, WHOLE = 224, 640  # pixels, longest side
_LIKELIEST = 3
_ALIKE = 5  # look-alikes that are named
_FRAME = "#2ca02c"


@dataclass(frozen=True)
class Mistake:
    """A wrong answer.

    Attributes:
        seen, whole: JPEGs of what the network saw, and of the whole picture with the face that
            was cut out of it in a frame.
        facts: what is known of the picture, a name and a text each.
    """

    prediction: PredictionRow
    seen: bytes
    whole: bytes
    facts: Sequence[tuple[str, str]]


def worst(report: RunReport) -> list[Mistake]:
    """The wrong answers that the model was surest of, at most MOST.

    Raises:
        UserError: a picture is absent or damaged in artifacts/.
    """
    by_file = {decision.file: decision for decision in report.decisions}
    alike: dict[str, list[str]] = defaultdict(list)
    for decision in report.decisions:
        if decision.kept and decision.group:
            alike[decision.group].append(decision.file)
    return [
        Mistake(
            prediction,
            jpeg(open_prepared(report.prepared[prediction.file]), SEEN, quality=85),
            _whole(report, by_file[prediction.file]),
            list(_facts(report, prediction, by_file[prediction.file], alike)),
        )
        for prediction in report.mistakes[:MOST]
    ]


def _whole(report: RunReport, decision: Decision) -> bytes:
    path = report.kept_pictures / decision.picture
    try:
        image = open_picture(path)
    except (ImageOpenError, OSError) as error:
        raise UserError(
            f"{path}: cannot be read ({error}); run `dvc checkout`, or `dvc repro -f -s clean`"
        ) from None
    face = decision.main_face
    if face is not None:
        width = max(2, round(max(image.size) / 200))
        box = (face.left, face.top, face.right, face.bottom)
        ImageDraw.Draw(image).rectangle(box, outline=_FRAME, width=width)
    return jpeg(image, WHOLE, quality=80)


def _facts(
    report: RunReport,
    prediction: PredictionRow,
    decision: Decision,
    alike: Mapping[str, Sequence[str]],
) -> Iterator[tuple[str, str]]:
    labels, numbers = report.evaluation.labels, prediction.probabilities
    ranked = sorted(zip(numbers, labels, strict=True), key=lambda pair: (-pair[0], pair[1]))
    answers = (f"{label} {probability:.2f}" for probability, label in ranked[:_LIKELIEST])
    yield "answers", ", ".join(answers)
    likeness = f"{prediction.similarity:.3f}"
    yield "similarity", f"{likeness}, unknown" if prediction.unknown else likeness
    yield "size", f"{decision.width} x {decision.height} pixels, {decision.format}"
    if decision.faces is not None:
        framing = "framed" if decision.main_face else "the picture was used whole"
        yield "faces", f"{decision.faces}, {framing}"
    by_hand = f", by hand: {decision.review_why or decision.reviewed}" if decision.reviewed else ""
    yield "decision", f"{decision.decision}{by_hand}"
    if decision.overruled:
        yield "overruled", ", ".join(decision.overruled)
    others = [file for file in alike[decision.group] if file != decision.file]
    if others:
        named = ", ".join(others[:_ALIKE])
        yield plural(len(others), "look-alike"), named
    scores = {name: score for name, score in decision.scores.items() if score is not None}
    yield "scores", ", ".join(f"{name} {score:g}" for name, score in scores.items())
