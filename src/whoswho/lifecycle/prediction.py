"""`whoswho predict`: which pictures are meant, and their answers as a table, CSV or JSON lines."""

from __future__ import annotations

import csv
import glob
import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from whoswho.errors import UserError
from whoswho.inference.predictor import Prediction, Predictor
from whoswho.labels import is_litter
from whoswho.lifecycle.neighbours import Neighbour, Neighbours
from whoswho.pictures.workers import progress
from whoswho.wording import aligned

Neighboured = tuple[Prediction, Sequence[Neighbour]]  # an answer and what it is explained by

STDIN = "-"
CSV_COLUMNS = (
    "file", "label", "probability", "unknown", "similarity", "faces", "looked_at", "version",
    "problem",
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What is asked.

    Attributes:
        files: the pictures.
        version: what to call the model.
        form: of the answers: table, csv or json.
        top: how many of the likeliest labels are named; 0: one, in JSON all.
        figure: where a figure is drawn.
        workspace: the one whose training pictures an answer is explained by.
    """

    files: Sequence[Path]
    version: str
    form: str = "table"
    top: int = 0
    figure: Path | None = None
    workspace: Path | None = None


def answer(folder: Path, request: Request, out: TextIO) -> None:
    """Let the model in `folder` answer, and write what it says.

    Raises:
        UserError: there is no model, none of the pictures has an answer, or the workspace's
            features are not those of the model's training.
        SystemExit: with code 1, one of them has none.
    """
    predictor = Predictor(folder)
    why = Neighbours.of(request.workspace, predictor.model) if request.workspace else None
    stream = predictor.stream(
        request.files, keep_images=request.figure is not None, keep_features=why is not None
    )
    found: list[Neighboured] = [
        (prediction, why.nearest(prediction) if why else [])
        for prediction in progress(stream, len(request.files))
    ]
    write(found, request, out)
    predictions = [prediction for prediction, _ in found]
    note = predictor.model.description.untrained_note
    if request.figure:
        draw(predictions, request.figure, note)
    check(predictions, note)


def pictures(arguments: Sequence[str], stdin: TextIO) -> list[Path]:
    """The files that are meant, in order.

    Args:
        arguments: files; folders, taken with everything below them; patterns that the shell left
            alone (`**` for any depth); `-` for a list on `stdin`, a file a line.

    Raises:
        UserError: there is none.
    """
    files: list[Path] = []
    for argument in arguments:
        if argument == STDIN:
            files += [Path(line) for line in stdin.read().splitlines() if line.strip()]
        elif Path(argument).is_dir():
            files += _below(Path(argument))
        elif not os.path.lexists(argument) and glob.has_magic(argument):
            root = Path(argument).anchor
            files += sorted(Path(root).glob(argument.removeprefix(root)))
        else:
            files.append(Path(argument))
    if not files:
        raise UserError(f"{', '.join(arguments)}: no file there; name pictures or folders of them")
    return files


def write(found: Sequence[Neighboured], request: Request, out: TextIO) -> None:
    """Write the answers in the form that is asked for."""
    if request.form == "csv":
        write_csv(found, request.version, request.top or 1, out)
    elif request.form == "json":
        for prediction, neighbours in found:
            content = as_json(prediction, request.version, request.top)
            if request.workspace:
                content["why"] = [asdict(neighbour) for neighbour in neighbours]
            print(json.dumps(content, ensure_ascii=False), file=out)
    else:
        lines = table([prediction for prediction, _ in found], request.top or 1)
        print(lines[0], file=out)
        for line, (_, neighbours) in zip(lines[1:], found, strict=True):
            print("\n".join([line, *(f"    like {n}" for n in neighbours)]), file=out)
        print(f"model: {request.version}", file=out)


def draw(predictions: Sequence[Prediction], path: Path, note: str = "") -> None:
    """Draw the pictures that have an answer, each with its face framed.

    Args:
        note: of the model, see `ModelDescription.untrained_note`; its first and last words head
            the figure.
    """
    from whoswho.reporting.plots import sheets

    shown = [
        (prediction.boxed, prediction.title, prediction.probability)
        for prediction in predictions
        if prediction.boxed and prediction.probability is not None
    ]
    parts = note.split(": ")
    sheets.strip(shown, path, title=f"{parts[0]}\n{parts[-1]}" if note else "")
    print(f"figure: {path}", file=sys.stderr)


def check(predictions: Sequence[Prediction], note: str = "") -> None:
    """Say the note of the model; end the command in code 1 where a picture has no answer.

    Raises:
        UserError: none has one.
    """
    if all(prediction.problem for prediction in predictions):
        raise UserError("none of the pictures could be read; each row says why")
    if note:
        print(f"whoswho: warning: {note}", file=sys.stderr)
    if any(prediction.problem for prediction in predictions):
        raise SystemExit(1)


def table(predictions: Iterable[Prediction], top: int) -> list[str]:
    """A line a picture under a header: name, probability, what was looked at."""
    others = [f"{number}." for number in range(2, top + 1)]
    rows: list[tuple[str, ...]] = [("picture", "name", "probability", *others, "looked at")]
    for prediction in predictions:
        name = f"({prediction.problem})" if prediction.problem else prediction.title
        number = "" if prediction.probability is None else f"{prediction.probability:.3f}"
        ranked = [f"{label} {value:.3f}" for label, value in best(prediction, top)[1:]]
        ranked += [""] * (len(others) - len(ranked))
        rows.append((prediction.name, name, number, *ranked, prediction.looked_at))
    return aligned(rows)


def write_csv(found: Iterable[Neighboured], version: str, top: int, out: TextIO) -> None:
    """Write a row a picture with a header, labels and probabilities of the `top` likeliest."""
    numbers = range(2, top + 1)
    extra = [f"{name}_{number}" for number in numbers for name in ("label", "probability")]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*CSV_COLUMNS, *extra, "why"])
    for prediction, neighbours in found:
        content = as_json(prediction, version, top)
        ranked: list[object] = [cell for pair in best(prediction, top)[1:] for cell in pair]
        ranked += [""] * (len(extra) - len(ranked))
        cells = ["" if content[name] is None else content[name] for name in CSV_COLUMNS]
        writer.writerow([*cells, *ranked, "; ".join(n.file for n in neighbours)])


def as_json(prediction: Prediction, version: str, top: int) -> dict[str, Any]:
    """Everything about an answer; of the probabilities the `top` likeliest, 0 for all."""
    return {
        "file": prediction.name,
        "label": None if prediction.problem else prediction.title,
        "probability": prediction.probability,
        "unknown": prediction.unknown,
        "similarity": prediction.similarity,
        "probabilities": dict(best(prediction, top)),
        "faces": prediction.faces,
        "looked_at": prediction.looked_at,
        "version": version,
        "problem": prediction.problem,
    }


def best(prediction: Prediction, top: int) -> list[tuple[str, float]]:
    """The `top` likeliest labels with their probabilities, the likeliest first; 0 for all."""
    ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    return ranked[: top or None]


def _below(folder: Path) -> list[Path]:
    """All files below a folder but hidden ones and what systems leave there; no link followed."""
    found = []
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_litter(name))
        found += [Path(path) / name for name in sorted(names) if not is_litter(name)]
    return found
