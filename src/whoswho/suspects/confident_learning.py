"""Pictures whose label looks wrong: confident learning on face vectors, or the stored features.

Each picture is judged by a small model that saw neither it nor any of its look-alikes. A picture
is confidently of label j where its probability of j reaches the mean that j's own pictures have;
one that is confidently of another label than its own is a suspect, the widest margin first.
Source: C. Northcutt, L. Jiang, I. Chuang, "Confident Learning: Estimating Uncertainty in Dataset
Labels", Journal of Artificial Intelligence Research 70 (2021): thresholds (equation 2), the
confident joint (equation 1), its off-diagonal, ranked by margin (section 3.2).

The small model is linear discriminant analysis with the covariance shrunk as in O. Ledoit,
M. Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", Journal of
Multivariate Analysis 88 (2004): of those tried by `python -m bench suspects` on planted errors it
misses and accuses the fewest.

Nothing is dropped by this and no stage learns from it: a person looks and decides.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from threadpoolctl import threadpool_limits

from whoswho import params
from whoswho.artifacts.features import Features
from whoswho.artifacts.split import Dataset, Example
from whoswho.artifacts.suspects import FEW_LABELS, TOO_LOW, Suspect, SuspectList
from whoswho.evaluation.folds import split_folds

# Few hundred components hold what few thousand pictures can teach; the model learns in a tenth of
# the time.
MAX_COMPONENTS = 256
# With as many components as pictures the last ones are noise, which the model would take for far.
PICTURES_A_COMPONENT = 2
# The components are found on at most so many pictures, so that memory does not grow with the set.
MAX_ROWS = 10_000
BLOCK = 4096  # rows
# So much of the way from chance to 1 the out-of-fold accuracy must have come. Below it most of
# what is listed is labelled rightly: chosen by `python -m bench suspects` (docs/benchmarks.md).
BAR = 0.5

Float32 = NDArray[np.float32]
Float = NDArray[np.float64]
Int = NDArray[np.int64]


class MeanOfViews:
    """The features of several splits one after the other, each picture's mean over its views."""

    def __init__(self, splits: Sequence[Features]) -> None:
        self._splits = [features.values for features in splits]
        self._ends = np.cumsum([values.shape[1] for values in self._splits])

    def __getitem__(self, rows: Int) -> Float32:
        """(rows, width); computed when asked for, so that memory does not grow with the set."""
        means = np.empty((len(rows), self._splits[0].shape[2]), np.float32)
        split = np.searchsorted(self._ends, rows, side="right")
        for number, values in enumerate(self._splits):
            start = self._ends[number] - values.shape[1]
            here = split == number
            means[here] = values[:, rows[here] - start].mean(axis=0)
        return means


Values = Float32 | MeanOfViews  # (pictures, width)
Placed = tuple[str, Example]  # a picture and the split it lies in


def by_features(
    dataset: Dataset, features: Mapping[str, Features], settings: params.Suspects
) -> SuspectList:
    """The suspects of all splits together; every picture counts once, by its views' mean."""
    values = MeanOfViews([features[split] for split in dataset.splits])
    examples = _examples(dataset)
    return _find(dataset, examples, values, settings)


def by_faces(dataset: Dataset, vectors: Float32, settings: params.Suspects) -> SuspectList:
    """The suspects of all splits together, of those pictures that have a face's vector.

    Args:
        vectors: (pictures, width), as `artifacts.split.face_vectors` gives them.
    """
    has_face = ~np.isnan(vectors[:, 0])
    examples = _examples(dataset)
    shown = [example for example, face in zip(examples, has_face, strict=True) if face]
    listed = _find(dataset, shown, vectors[has_face], settings)
    update = {"by_faces": True, "faceless": len(examples) - len(shown), "pictures": len(examples)}
    return listed.model_copy(update=update)


def _examples(dataset: Dataset) -> list[Placed]:
    return [(split, example) for split in dataset.splits for example in dataset.examples[split]]


def _find(
    dataset: Dataset, examples: Sequence[Placed], values: Values, settings: params.Suspects
) -> SuspectList:
    """The suspects among `examples`, whose numbers are `values`, (examples, width)."""
    targets = np.array([example.label for _, example in examples], np.int64)
    groups = [example.group for _, example in examples]
    labels = len(dataset.labels)
    probabilities = out_of_fold(values, targets, groups, labels, settings.folds, settings.seed)
    judged: Int = np.flatnonzero(~np.isnan(probabilities[:, 0]))
    if len(set(targets[judged])) < 2:
        return SuspectList(none_because=FEW_LABELS, pictures=len(examples))
    targets, probabilities = targets[judged], probabilities[judged]
    measured = _measure(probabilities, targets, len(examples))
    if measured.none_because:
        return measured
    confident = _off_diagonal(
        probabilities, targets, [examples[i] for i in judged], dataset.labels
    )
    listed = tuple(confident[: most_listed(settings.max_fraction, len(judged))])
    return measured.model_copy(update={"suspects": listed, "confident": len(confident)})


def most_listed(max_fraction: float, judged: int) -> int:
    """How many suspects are listed at most."""
    return math.ceil(max_fraction * judged)


def needed_accuracy(chance: float) -> float:
    """The out-of-fold accuracy from which on suspects are listed."""
    return chance + BAR * (1 - chance)


def out_of_fold(
    values: Values, targets: Int, groups: Sequence[str], labels: int, folds: int, seed: int
) -> Float:
    """Probabilities (pictures, labels) by models that saw no picture of the same group.

    Args:
        values: (pictures, width), of which no more than a block is asked for at a time.
        targets: (pictures,), the label each lies under.
        groups: look-alikes share one; they are held out together.

    Returns:
        rows of NaN for pictures whose label lies in one group alone: held out, nothing is left
        to know it by.
    """
    probabilities = np.full((len(targets), labels), np.nan)
    # Another number of threads adds in another order: one keeps the bytes the same everywhere.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that features are constant, a label has one picture
        for fold in split_folds(targets, groups, folds, seed):
            components = _fit_components(values, fold.train, seed)
            model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
            model.fit(_transform(components, values, fold.train), targets[fold.train])
            probabilities[fold.held_out] = 0
            answers = model.predict_proba(_transform(components, values, fold.held_out))
            probabilities[np.ix_(fold.held_out, model.classes_)] = answers
    return probabilities


def thresholds(probabilities: Float, targets: Int) -> Float:
    """For each label the mean probability its own pictures have of it; infinite without any."""
    own = probabilities[np.arange(len(targets)), targets]
    labels = range(probabilities.shape[1])
    return np.array([own[targets == j].mean() if (targets == j).any() else np.inf for j in labels])


def suspicious(probabilities: Float, targets: Int) -> list[tuple[int, int]]:
    """(row, label it is confidently of) of those of another label than their own.

    Where a picture's own label, below its threshold, still is the likelier, nobody is asked.
    """
    sure = confident(probabilities, targets)
    likelier = (
        probabilities[np.arange(len(sure)), sure] > probabilities[np.arange(len(sure)), targets]
    )
    return [(int(row), int(sure[row])) for row in np.flatnonzero((sure >= 0) & likelier)]


def confident(probabilities: Float, targets: Int) -> Int:
    """The label each picture is confidently of: the likeliest over its threshold; -1 for none."""
    over = np.where(probabilities >= thresholds(probabilities, targets), probabilities, -1.0)
    return np.where(over.max(axis=1) < 0, -1, over.argmax(axis=1))


def _fit_components(values: Values, rows: Int, seed: int) -> PCA | None:
    """The principal components of wide features, of a sample where there are many pictures.

    None: the features are few enough as they are.
    """
    if len(rows) > MAX_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MAX_ROWS, replace=False))
    sample = values[rows]
    if sample.shape[1] <= MAX_COMPONENTS:
        return None
    count = min(MAX_COMPONENTS, max(1, len(sample) // PICTURES_A_COMPONENT))
    return PCA(count, random_state=seed).fit(sample)


def _transform(components: PCA | None, values: Values, rows: Int) -> Float:
    """Rows of the features along the components, (rows, components)."""
    if components is None:
        return values[rows].astype(np.float64)
    starts = range(0, len(rows), BLOCK)
    return np.concatenate([components.transform(values[rows[s : s + BLOCK]]) for s in starts])


def _measure(probabilities: Float, targets: Int, pictures: int) -> SuspectList:
    """How well the labels are told apart; with the reason to list none where it is too little."""
    judged = len(targets)
    correct = int((probabilities.argmax(axis=1) == targets).sum())
    low = float(binomtest(correct, judged).proportion_ci(method="wilson").low)
    chance = float(np.bincount(targets).max() / judged)
    needed = needed_accuracy(chance)
    return SuspectList(
        none_because=TOO_LOW if correct / judged < needed or low <= chance else "",
        pictures=pictures,
        judged=judged,
        accuracy=round(correct / judged, 4),
        accuracy_low=round(low, 4),
        chance=round(chance, 4),
        needed=round(needed, 4),
    )


def _off_diagonal(
    probabilities: Float, targets: Int, examples: Sequence[Placed], labels: Sequence[str]
) -> list[Suspect]:
    """`suspicious` as suspects, the widest margin first."""
    suspects = []
    for row, suggested in suspicious(probabilities, targets):
        own, other = probabilities[row, targets[row]], probabilities[row, suggested]
        split, example = examples[row]
        suspect = Suspect(
            file=example.file,
            sha256=example.sha256,
            label=labels[example.label],
            split=split,
            suggested=labels[suggested],
            probability_label=round(float(own), 4),
            probability_suggested=round(float(other), 4),
            score=round(float(other - own), 4),
            rank=0,
        )
        suspects.append(suspect)
    suspects.sort(key=lambda suspect: (-suspect.score, suspect.file))
    return [s.model_copy(update={"rank": rank}) for rank, s in enumerate(suspects, start=1)]
