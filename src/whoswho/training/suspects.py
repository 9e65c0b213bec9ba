"""Pictures whose label looks wrong: confident learning on the stored features.

Each picture is judged by a small model that saw neither it nor any of its look-alikes. A picture
is confidently of label j where its probability of j reaches the mean that j's own pictures have;
one that is confidently of another label than its own is a suspect, the widest margin first.
Source: C. Northcutt, L. Jiang, I. Chuang, "Confident Learning: Estimating Uncertainty in Dataset
Labels", Journal of Artificial Intelligence Research 70 (2021): thresholds (equation 2), the
confident joint (equation 1), its off-diagonal, ranked by margin (section 3.2).

Nothing is dropped by this and no stage learns from it: a person looks and decides.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from whoswho import paths, tables
from whoswho.artifacts.features import Features
from whoswho.artifacts.split import Dataset, Example
from whoswho.params import Suspects

TABLE = "suspects.csv"
FACTS = "suspects.json"

# Few hundred directions hold what few thousand pictures can teach; the model learns in a tenth of
# the time.
MOST_DIRECTIONS = 256
# The directions are found on at most so many pictures, so that memory does not grow with the set.
MOST_ROWS = 10_000
BLOCK = 4096  # rows
# Inverse of the penalty. Of 0.01 to 1, tried with planted errors on face embeddings and on a
# random backbone's features: 1 is too sure of itself and lists more that are right, 0.1 finds fewer.
STRENGTH = 0.3

Float = NDArray[np.float64]
Int = NDArray[np.int64]


@dataclass(frozen=True)
class Suspect:
    """One row of the table; probabilities and score with four digits.

    Attributes:
        file: posix path below data/.
        suggested: the label it confidently looks like.
        score: margin of the suggested label over its own, 0 to 1.
        rank: 1 is the surest.
    """

    file: str
    sha256: str
    label: str
    split: str
    suggested: str
    probability_label: str
    probability_suggested: str
    score: str
    rank: int


@dataclass(frozen=True)
class Found:
    """What was looked at, and the suspects.

    Attributes:
        why_none: why nothing is listed whatever the pictures look like; empty otherwise.
        judged: pictures with an out-of-fold probability; a label with a single look-alike group
            has nothing to be judged by.
        accuracy: share of them that the models name as labelled; accuracy_low is the lower end
            of its 95 % interval (Wilson), chance the largest label's share.
        found: confident off-diagonal pictures, of which `most` are listed.
    """

    suspects: Sequence[Suspect] = ()
    why_none: str = ""
    pictures: int = 0
    judged: int = 0
    accuracy: float | None = None
    accuracy_low: float | None = None
    chance: float | None = None
    found: int = 0

    @property
    def sentence(self) -> str:
        """One line for a person."""
        if self.why_none:
            return f"none listed: {self.why_none}"
        text = f"{len(self.suspects)} of {self.judged} pictures look as if under a wrong label"
        counts = Counter(suspect.split for suspect in self.suspects)
        where = ", ".join(f"{counts[split]} {split}" for split in paths.SPLITS if counts[split])
        if where:
            text += f" ({where})"
        if self.found > len(self.suspects):
            text += f", the surest of {self.found} (suspects.most)"
        text += f"; out-of-fold accuracy {self.accuracy:.3f}, chance {self.chance:.3f}"
        if self.judged < self.pictures:
            text += f"; {self.pictures - self.judged} not judged, alone under their label"
        return text


class Averaged:
    """Features of several splits in a row; the views of a picture are averaged when asked for."""

    def __init__(self, splits: Sequence[Features]) -> None:
        self._splits = [one.values for one in splits]
        self._ends = np.cumsum([values.shape[1] for values in self._splits])

    def __getitem__(self, rows: Int) -> NDArray[np.float32]:
        """(rows, width)."""
        found = np.empty((len(rows), self._splits[0].shape[2]), np.float32)
        split = np.searchsorted(self._ends, rows, side="right")
        for number, values in enumerate(self._splits):
            start = self._ends[number] - values.shape[1]
            here = split == number
            found[here] = values[:, rows[here] - start].mean(axis=0)
        return found


def find(dataset: Dataset, features: Mapping[str, Features], settings: Suspects) -> Found:
    """The suspects of all splits together.

    Features of a training picture's views are averaged, so every picture counts once.
    """
    pictures = [(split, one) for split in dataset.splits for one in dataset.examples[split]]
    given = np.concatenate([dataset.targets(split) for split in dataset.splits])
    values = Averaged([features[split] for split in dataset.splits])
    groups = [example.group for _, example in pictures]
    probabilities = out_of_fold(
        values, given, groups, len(dataset.labels), settings.folds, settings.seed
    )
    judged = np.flatnonzero(~np.isnan(probabilities[:, 0]))
    if len(set(given[judged])) < 2:
        why = "fewer than two labels have pictures that are not look-alikes"
        return Found(why_none=why, pictures=len(pictures))
    given, probabilities = given[judged], probabilities[judged]
    measured = _measured(probabilities, given, len(pictures))
    if measured.why_none:
        return measured
    rows = _off_diagonal(probabilities, given, [pictures[i] for i in judged], dataset.labels)
    listed = rows[: math.ceil(settings.most * len(judged))]
    return replace(measured, suspects=listed, found=len(rows))


def write(found: Found, folder: Path) -> None:
    """Write suspects.csv, and suspects.json with what the table stands on."""
    tables.write(
        folder / TABLE, [field.name for field in fields(Suspect)], map(vars, found.suspects)
    )
    facts = {name: value for name, value in asdict(found).items() if name != "suspects"}
    paths.write_json(folder / FACTS, facts | {"listed": len(found.suspects)})


def out_of_fold(
    values: NDArray[np.float32] | Averaged, given: Int, groups: Sequence[str], labels: int,
    folds: int, seed: int,
) -> Float:  # fmt: skip
    """Probabilities (pictures, labels) by models that saw no picture of the same group.

    Args:
        values: (pictures, width), of which no more than a block is asked for at a time.
        given: (pictures,), the label each lies under.
        groups: look-alikes share one; they are held out together.

    Returns:
        rows of NaN for pictures whose label lies in one group alone: held out, nothing is left
        to know it by.
    """
    probabilities = np.full((len(given), labels), np.nan)
    # Another number of threads adds in another order: one keeps the bytes the same everywhere.
    with threadpool_limits(1), warnings.catch_warnings():
        # That labels are smaller than the folds, and features constant, is dealt with here.
        warnings.simplefilter("ignore")
        for learnt, held in _folds(given, groups, folds, seed):
            known = np.unique(given[learnt])
            held = held[np.isin(given[held], known)]
            if len(known) < 2 or not len(held):
                continue
            directions = _directions(values, learnt, seed)
            model = LogisticRegression(C=STRENGTH, max_iter=1000)
            model.fit(_along(directions, values, learnt), given[learnt])
            probabilities[held] = 0
            probabilities[np.ix_(held, known)] = model.predict_proba(
                _along(directions, values, held)
            )
    return probabilities


def thresholds(probabilities: Float, given: Int) -> Float:
    """For each label the mean probability its own pictures have of it; infinite without any."""
    own = probabilities[np.arange(len(given)), given]
    labels = range(probabilities.shape[1])
    return np.array([own[given == j].mean() if (given == j).any() else np.inf for j in labels])


def confident(probabilities: Float, given: Int) -> Int:
    """The label each picture is confidently of: the likeliest over its threshold; -1 for none."""
    over = np.where(probabilities >= thresholds(probabilities, given), probabilities, -1.0)
    return np.where(over.max(axis=1) < 0, -1, over.argmax(axis=1))


def _folds(given: Int, groups: Sequence[str], folds: int, seed: int) -> Iterator[tuple[Int, Int]]:
    """Places to learn from and places held out, a group always on one side."""
    count = min(folds, len(set(groups)), int(np.bincount(given).max()))
    if count > 1:
        cut = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        yield from cut.split(given, given, groups)


def _directions(values: NDArray[np.float32] | Averaged, learnt: Int, seed: int) -> Any:
    """The main directions of the standardised features, of a sample where there are many."""
    rows = learnt
    if len(rows) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_ROWS, replace=False))
    sample = values[rows]
    count = min(MOST_DIRECTIONS, len(sample) - 1, sample.shape[1])
    return make_pipeline(StandardScaler(), PCA(count, random_state=seed)).fit(sample)


def _along(directions: Any, values: NDArray[np.float32] | Averaged, rows: Int) -> Float:
    """Rows of the features in these directions, (rows, directions)."""
    starts = range(0, len(rows), BLOCK)
    return np.concatenate([directions.transform(values[rows[s : s + BLOCK]]) for s in starts])


def _measured(probabilities: Float, given: Int, pictures: int) -> Found:
    """How well the labels are told apart; with the reason to list none where that is by chance."""
    judged = len(given)
    right = int((probabilities.argmax(axis=1) == given).sum())
    accuracy, chance = right / judged, float(np.bincount(given).max() / judged)
    low = float(binomtest(right, judged).proportion_ci(method="wilson").low)
    why = ""
    if low <= chance:
        why = (
            f"out-of-fold accuracy {accuracy:.3f} (95% interval from {low:.3f}) is not above "
            f"chance {chance:.3f}; these features cannot tell the labels apart"
        )
    return Found((), why, pictures, judged, round(accuracy, 4), round(low, 4), round(chance, 4))


def _off_diagonal(
    probabilities: Float, given: Int, pictures: Sequence[tuple[str, Example]],
    labels: Sequence[str],
) -> list[Suspect]:  # fmt: skip
    """The confident of another label, the widest margin first.

    Where a picture's own label, below its threshold, still is the likelier, nobody is asked.
    """
    rows = []
    for place, suggested in enumerate(confident(probabilities, given)):
        own, other = probabilities[place, given[place]], probabilities[place, suggested]
        if suggested >= 0 and other > own:
            split, one = pictures[place]
            rows.append(
                Suspect(
                    one.file, one.sha256, labels[one.label], split, labels[suggested],
                    f"{own:.4f}", f"{other:.4f}", f"{other - own:.4f}", 0,
                )
            )  # fmt: skip
    rows.sort(key=lambda row: (-float(row.score), row.file))
    return [replace(row, rank=rank) for rank, row in enumerate(rows, start=1)]
