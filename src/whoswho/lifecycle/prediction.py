"""`whoswho predict`: which pictures are meant, and their answers as a table, CSV or JSON lines."""

from __future__ import annotations

import csv
import glob
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from whoswho.artifacts.model.description import model_digest
from whoswho.errors import UserError
from whoswho.inference.predictor import BATCH, Prediction, Predictor, on_worker
from whoswho.labels import UNKNOWN, is_litter
from whoswho.lifecycle.neighbours import Neighbour, Neighbours
from whoswho.wording import cells, laid_out
from whoswho.workers import cluster
from whoswho.workers.mapping import progress

Write = Callable[[Prediction, Sequence[Neighbour]], None]  # an answer and what explains it

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
    stream = _predictions(predictor, folder, request)
    write = writer(request, predictor.model.labels, out)
    drawn: list[Prediction] = []
    problems = 0
    for prediction in progress(stream, len(request.files)):
        with tqdm.external_write_mode(out):  # the bar makes room for the rows
            write(prediction, why.nearest(prediction) if why else [])
        problems += prediction.problem is not None
        if request.figure:
            drawn.append(prediction)
    if request.form == "table":
        print(f"model: {request.version}", file=out)
    note = predictor.model.description.untrained_note
    if request.figure:
        draw(drawn, request.figure, note)
    if problems == len(request.files):
        raise UserError("none of the pictures could be read; each row says why")
    if note:
        print(f"whoswho: warning: {note}", file=sys.stderr)
    if problems:
        raise SystemExit(1)


def _predictions(predictor: Predictor, folder: Path, request: Request) -> Iterator[Prediction]:
    """The predictions for all files, by processes of this machine or a cluster's workers."""
    files = request.files
    keep_images, keep_features = request.figure is not None, request.workspace is not None
    if not cluster.address():
        yield from predictor.stream(
            files,
            keep_images=keep_images,
            keep_features=keep_features,
            processes=predictor.processes(len(files)),
        )
        return
    function = partial(
        on_worker,
        folder=folder.absolute(),
        digest=model_digest(folder),
        keep_images=keep_images,
        keep_features=keep_features,
    )
    answered = cluster.batches(function, map(Path.absolute, files), at_once=BATCH)
    for file, prediction in zip(files, answered, strict=True):
        yield replace(prediction, name=str(file))


def pictures(arguments: Sequence[str], stdin: TextIO) -> list[Path]:
    """The files that are meant, in order.

    Args:
        arguments: files; folders, taken with everything below them; patterns that the shell left
            alone (`**` for any depth); `-` for a list on `stdin`, a file a line, or with a zero
            byte after each.

    Raises:
        UserError: there is none, or a pattern is none.
    """
    files: list[Path] = []
    for argument in arguments:
        if argument == STDIN:
            text = stdin.read()
            names = text.split("\0") if "\0" in text else text.splitlines()
            files += [Path(name) for name in names if name.strip()]
        elif Path(argument).is_dir():
            files += _below(Path(argument))
        elif not os.path.lexists(argument) and glob.has_magic(argument):
            files += _matching(argument)
        else:
            files.append(Path(argument))
    if not files:
        raise UserError(f"{', '.join(arguments)}: no file there; name pictures or folders of them")
    return files


def _matching(pattern: str) -> list[Path]:
    root = Path(pattern).anchor
    try:
        return sorted(Path(root).glob(pattern.removeprefix(root)))
    except ValueError:
        raise UserError(
            f"{pattern}: no pattern; `**` stands alone between slashes, as in data/**/*.png"
        ) from None


def writer(request: Request, labels: Sequence[str], out: TextIO) -> Write:
    """What writes an answer to `out` at once, in the form that is asked for.

    What stands above the first answer is written here.
    """
    if request.form == "csv":
        return _csv_writer(request, out)
    if request.form == "json":
        return partial(_write_json, request, out)
    table = PredictionTable([str(file) for file in request.files], labels, request.top or 1)
    print(table.header, file=out, flush=True)

    def write(prediction: Prediction, neighbours: Sequence[Neighbour]) -> None:
        lines = [table.line(prediction), *(f"    like {each}" for each in neighbours)]
        print("\n".join(lines), file=out, flush=True)

    return write


def draw(predictions: Sequence[Prediction], path: Path, note: str = "") -> None:
    """Draw the pictures that have an answer, each with its face framed.

    Args:
        note: of the model, see `ModelDescription.untrained_note`; its first and last words head
            the figure.
    """
    from whoswho.reporting.plots import sheets

    shown = [
        (prediction.image, prediction.title, prediction.probability)
        for prediction in predictions
        if prediction.image and prediction.probability is not None
    ]
    parts = note.split(": ")
    sheets.strip(shown, path, title=f"{parts[0]}\n{parts[-1]}" if note else "")
    print(f"figure: {path}", file=sys.stderr)


class PredictionTable:
    """A line a picture under a header: name, probability, what was looked at.

    Its columns are as wide as what may come: all names of files, all labels.
    """

    def __init__(self, files: Sequence[str], labels: Sequence[str], top: int) -> None:
        self._top = top
        ranked = [f"{number}." for number in range(2, top + 1)]
        title = ("picture", "name", "probability", *ranked, "looked at")
        names = (*labels, UNKNOWN)
        others = [f"{label} {1:.3f}" for label in labels]
        widest = (files, names, [], *[others] * len(ranked), [])
        self._widths = [
            max(map(cells, (head, *texts))) for head, texts in zip(title, widest, strict=True)
        ]
        self.header = laid_out(title, self._widths)

    def line(self, prediction: Prediction) -> str:
        """The picture's line; a problem takes the place of everything behind the file's name."""
        if prediction.problem:
            return laid_out((prediction.name, f"({prediction.problem})"), self._widths[:2])
        number = "" if prediction.probability is None else f"{prediction.probability:.3f}"
        ranked = [f"{label} {value:.3f}" for label, value in best(prediction, self._top)[1:]]
        ranked += [""] * (self._top - 1 - len(ranked))
        row = (prediction.name, prediction.title, number, *ranked, prediction.looked_at)
        return laid_out(row, self._widths)


def _csv_writer(request: Request, out: TextIO) -> Write:
    """A row a picture under a header, labels and probabilities of the likeliest few."""
    top = request.top or 1
    extra = [f"{n}_{number}" for number in range(2, top + 1) for n in ("label", "probability")]
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow([*CSV_COLUMNS, *extra, "why"])

    def write(prediction: Prediction, neighbours: Sequence[Neighbour]) -> None:
        content = as_json(prediction, request.version, top)
        ranked: list[object] = [cell for pair in best(prediction, top)[1:] for cell in pair]
        ranked += [""] * (len(extra) - len(ranked))
        known = ["" if content[name] is None else content[name] for name in CSV_COLUMNS]
        rows.writerow([*known, *ranked, "; ".join(n.file for n in neighbours)])
        out.flush()

    return write


def _write_json(
    request: Request, out: TextIO, prediction: Prediction, neighbours: Sequence[Neighbour]
) -> None:
    content = as_json(prediction, request.version, request.top)
    if request.workspace:
        content["why"] = [asdict(neighbour) for neighbour in neighbours]
    print(json.dumps(content, ensure_ascii=False), file=out, flush=True)


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
        "face": prediction.face and asdict(prediction.face),
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
    files = []
    for path, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_litter(name))
        files += [Path(path) / name for name in sorted(names) if not is_litter(name)]
    return files
