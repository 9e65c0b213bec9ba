"""Whether labels can be told without the faces: what else a model may have learned them by.

Two ways are tried, each by a linear classifier (ridge regression on one column a label) that never
saw the picture it answers, nor a look-alike of it:

- `surroundings`: the prepared picture without its face and, for the hair, a quarter of the face's
  size around it: mean colours of a grid and of the four edges, how even these are, a histogram.
- `file`: the original's size, shape and brightness, and the site that its name begins with.

A network sees more than these few numbers: what is found is there, what is not found may be. That
a label is told so need not be a fault (a player in her club's colours), but test pictures of the
same kind flatter then.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from whoswho import paths
from whoswho.artifacts.decisions import Decision
from whoswho.artifacts.model.settings import Box
from whoswho.artifacts.predictions import ShortcutRow
from whoswho.artifacts.split import Dataset, Example, open_prepared
from whoswho.errors import UserError
from whoswho.evaluation.folds import split_folds

MOST = 2000  # pictures, the first by their files' hashes
_FOLDS = 5
# How often a set without any shortcut is to have a label named, over all labels and both ways.
_FALSE_ALARMS = 0.001
_RIDGE = 0.3  # of the pictures' number, on scaled features
_GRID, _EDGE, _BINS = 6, 1 / 40, 8  # cells a side; of the side; of brightness
_GROWN = 0.25
_QUANTILES = 5

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


def check(dataset: Dataset, decisions: Sequence[Decision], seed: int) -> list[ShortcutRow]:
    """A row a way and label: how well it is told so, in cross-validation over all splits.

    The surroundings are those of faces: where none is known there is nothing to leave out, and
    the picture does not count.

    Raises:
        UserError: a picture of the set is not among the decisions.
    """
    everything = [example for split in dataset.splits for example in dataset.examples[split]]
    examples = sorted(everything, key=lambda example: (example.sha256, example.file))[:MOST]
    by_file = {decision.file: decision for decision in decisions}
    faced = [example for example in examples if example.face]
    around = [_surroundings(open_prepared(e.path), e.face) for e in faced if e.face]
    ways = (
        ("surroundings", faced, np.array(around)),
        ("file", examples, _files(examples, by_file)),
    )
    # Bonferroni: each of the intervals may be wrong that often, to one side.
    confidence = 1 - _FALSE_ALARMS / (len(ways) * len(dataset.labels))
    rows: list[ShortcutRow] = []
    for way, chosen, features in ways:
        targets = np.array([example.label for example in chosen], np.int64)
        predicted = out_of_fold(features, targets, [example.group for example in chosen], seed)
        rows += told(way, dataset.labels, targets, predicted, confidence)
    return rows


def out_of_fold(features: Float64, targets: Int64, groups: Sequence[str], seed: int) -> Int64:
    """The label that features (pictures, width) are given by a classifier of the other folds.

    It is -1 where a label lies in one group alone.
    """
    predicted = np.full(len(targets), -1)
    for fold in split_folds(targets, groups, _FOLDS, seed) if len(targets) else []:
        train, held_out = fold.train, fold.held_out
        predicted[held_out] = _ridge(features[train], targets[train], features[held_out])
    return predicted


def told(
    way: str, labels: Sequence[str], targets: Int64, predicted: Int64, confidence: float
) -> list[ShortcutRow]:
    """A row for each label that was held out, from what `out_of_fold` gave.

    The interval of the difference is Newcombe's (Statistics in Medicine 1998, method 10), of
    Wilson's for either fraction.
    """
    judged = predicted >= 0
    rows = []
    for index, label in enumerate(labels):
        own = predicted[judged & (targets == index)] == index
        others = predicted[judged & (targets != index)] == index
        if len(own) and len(others):
            rate, low, _ = _wilson(own, confidence)
            chance, _, high = _wilson(others, confidence)
            least = rate - chance - math.hypot(rate - low, high - chance)
            rows.append(ShortcutRow(way, label, len(own), rate, chance, least))
    return rows


def _wilson(hits: NDArray[np.bool_], confidence: float) -> tuple[float, float, float]:
    """The fraction of hits, and the ends of its interval with that confidence to either side."""
    count, mean = len(hits), float(hits.mean())
    z = NormalDist().inv_cdf(confidence)
    middle = mean + z * z / (2 * count)
    half = z * math.sqrt(mean * (1 - mean) / count + (z / (2 * count)) ** 2)
    scale = 1 + z * z / count
    return mean, (middle - half) / scale, (middle + half) / scale


def _ridge(features: Float64, targets: Int64, queries: Float64) -> Int64:
    """The labels of `queries`; of each label the same weight, however many pictures."""
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation[deviation == 0] = 1
    scaled, queries = ((each - mean) / deviation for each in (features, queries))
    labels, columns = np.unique(targets, return_inverse=True)
    answers = np.eye(len(labels))[columns]
    weights = (1 / answers.sum(axis=0))[columns, np.newaxis] * len(targets) / len(labels)
    known, queries = (np.hstack([each, np.ones((len(each), 1))]) for each in (scaled, queries))
    penalty = _RIDGE * len(targets) * np.eye(known.shape[1])
    penalty[-1, -1] = 0  # the constant
    solved = np.linalg.solve(known.T @ (weights * known) + penalty, known.T @ (weights * answers))
    predicted: Int64 = labels[(queries @ solved).argmax(axis=1)]
    return predicted


def _surroundings(image: Image.Image, face: Box) -> Float64:
    """The numbers of a prepared picture without its face."""
    pixels = np.asarray(image, np.float64)
    side = len(pixels)
    left, top, right, bottom = face
    across, down = _GROWN * (right - left), _GROWN * (bottom - top)
    seen = np.ones((side, side), bool)
    rows = slice(max(0, round(top - down)), round(bottom + down))
    seen[rows, max(0, round(left - across)) : round(right + across)] = False
    cells = [slice(side * n // _GRID, side * (n + 1) // _GRID) for n in range(_GRID)]
    grid = [_mean(pixels[down, across][seen[down, across]]) for down in cells for across in cells]
    width = max(1, round(side * _EDGE))
    edges = (pixels[:width], pixels[-width:], pixels[:, :width], pixels[:, -width:])
    colours = [_mean(edge.reshape(-1, 3)) for edge in edges]
    bright = np.histogram(pixels[seen], _BINS, (0, 256))[0] / max(1, 3 * int(seen.sum()))
    return np.concatenate([*grid, *colours, [edge.std() for edge in edges], bright])


def _mean(pixels: Float64) -> Float64:
    """The mean colour of pixels (count, 3); black of none."""
    return pixels.mean(axis=0) if len(pixels) else np.zeros(3)


def _files(examples: Sequence[Example], decisions: Mapping[str, Decision]) -> Float64:
    """Size, shape and brightness, each by the fifth of the set that it lies in, and the site."""
    try:
        rows = [decisions[example.file] for example in examples]
    except KeyError as error:
        raise UserError(
            f"{paths.CLEAN}: {error.args[0]} is not in its decisions; run `dvc repro`"
        ) from None
    numbers = np.array(
        [
            (
                math.log((row.width or 1) * (row.height or 1)),
                math.log((row.width or 1) / (row.height or 1)),
                row.scores.get("too_dark") or 0.0,  # mean brightness
            )
            for row in rows
        ]
    )
    quantiles = np.linspace(0, 1, _QUANTILES + 1)[1:-1]
    columns = []
    for column in numbers.T:
        limits = np.unique(np.quantile(column, quantiles))
        columns.append(np.eye(len(limits) + 1)[np.searchsorted(limits, column, side="right")])
    sites = [site(row.file) for row in rows]
    columns.append(np.array([[each == name for name in sorted(set(sites))] for each in sites]))
    return np.hstack(columns).astype(np.float64)


def site(file: str) -> str:
    """What a file's name begins with before its number: the site, as the crawl names files."""
    match = re.match(r"([^_]+)_\d+", PurePosixPath(file).name)
    return match[1] if match else ""
