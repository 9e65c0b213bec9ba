"""How well a recipe names, and rejects, pictures that it did not learn from.

Cross-validation by look-alike group on the stored features of the training and validation
pictures; those of the test split stay out of it. What is fitted is fitted inside the fold: the
head, its scaling and the centres on the fold's training pictures; the least similarity, where a
fold is judged by it, on the answers to the other folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from whoswho.artifacts.features import Features
from whoswho.backbone.compute import device as devices
from whoswho.backbone.loading.process_group import ProcessGroup
from whoswho.evaluation.folds import Fold, Rows, split_folds
from whoswho.inference.model import Float64
from whoswho.training.calibration import HeldOut, fit_centres, fit_min_similarity
from whoswho.training.data import head_task
from whoswho.training.inputs import Recipe, TrainingData
from whoswho.training.loop import Trainer

# Of more pictures one cut into folds tells enough, and several would take minutes.
MOST_REPEATED = 2000
RESAMPLES = 2000


@dataclass(frozen=True)
class CrossValidation:
    """What came of it.

    Attributes:
        held_out: the answers of all repeats.
        metrics: `cv/quantity` and `unknown/quantity` -> number. There are none about strangers
            where fewer than three labels can be held out: of two, one left out leaves nobody to
            be mistaken for.
        likeness: see `ModelDescription`.
    """

    held_out: HeldOut
    metrics: dict[str, float]
    likeness: dict[str, float]


@dataclass(frozen=True)
class Pool:
    """The pictures that are cut into folds.

    Attributes:
        values: (views, pictures, width); a validation picture has the same view each time.
        targets: (pictures,), label indices.
        groups: (pictures,); look-alikes share one.
    """

    values: NDArray[np.float32]
    targets: Rows
    groups: NDArray[np.str_]

    @classmethod
    def of(cls, data: TrainingData) -> Pool:
        """The training and validation pictures of a set with stored features."""
        assert data.features is not None
        train, validation = data.features["train"], data.features["validation"]
        repeated = np.repeat(validation.values[:1], len(train.values), axis=0)
        splits = ("train", "validation")
        groups = [e.group for split in splits for e in data.dataset.examples[split]]
        return cls(
            np.concatenate([train.values, repeated], axis=1),
            np.concatenate([train.targets, validation.targets]),
            np.array(groups),
        )

    def features(self, rows: Rows) -> Features:
        """The features of some of the pictures."""
        return Features(self.values[:, rows], self.targets[rows])


@dataclass(frozen=True)
class FoldAnswer:
    """What the model of a fold gives for the pictures held out of it; see `HeldOut`."""

    rows: Rows
    logits: Float64
    similarity: Float64


def cross_validate(data: TrainingData, recipe: Recipe) -> CrossValidation | None:
    """Judge a recipe on held-out pictures; None where no label has two look-alike groups.

    A held-out picture is judged by its first view, which is itself. With `keep` other than last
    the folds train all epochs: which to keep would have to be chosen by pictures they are judged
    on.
    """
    pool, train = Pool.of(data), recipe.train
    repeats = train.cv_repeats if len(pool.targets) <= MOST_REPEATED else 1
    plain = train.model_copy(update={"keep": "last", "patience": 0})
    answers: list[list[FoldAnswer]] = []
    first: list[Fold] = []
    for seed in range(train.seed, train.seed + repeats):
        folds = split_folds(pool.targets, pool.groups.tolist(), train.folds, seed)
        if not folds:
            return None
        first = first or folds
        seeded = replace(recipe, train=plain.model_copy(update={"seed": seed}))
        answers.append([_answer(data, seeded, pool, fold) for fold in folds])
    flat = [answer for repeat in answers for answer in repeat]
    rows = np.concatenate([answer.rows for answer in flat])
    held_out = HeldOut(
        np.concatenate([answer.logits for answer in flat]),
        np.concatenate([answer.similarity for answer in flat]),
        pool.targets[rows],
    )
    metrics = _accuracy(pool, answers, train.seed)
    rate = train.false_reject_rate
    rejected = [_rejected([a.similarity for a in repeat], rate) for repeat in answers]
    metrics["unknown/false_reject_rate"] = float(np.mean(rejected))
    metrics |= _strangers(pool, first, rate)
    likeness = likeness_of_labels(pool, first, data.dataset.labels)
    return CrossValidation(held_out, metrics, likeness)


def _answer(data: TrainingData, recipe: Recipe, pool: Pool, fold: Fold) -> FoldAnswer:
    """Train on a fold's training pictures and answer those held out."""
    trainer = train_fold(data, recipe, pool, fold)
    with devices.using(trainer.device):
        logits = trainer.validation_logits().astype(np.float64)
    centres = fit_centres(pool.features(fold.train))
    return FoldAnswer(fold.held_out, logits, centres.similarity(pool.values[0, fold.held_out]))


def train_fold(data: TrainingData, recipe: Recipe, pool: Pool, fold: Fold) -> Trainer:
    """A head trained on a fold's training pictures; its validation pictures are the held out."""
    train, held_out = pool.features(fold.train), pool.features(fold.held_out)
    device = devices.pick(recipe.train.device)
    with devices.using(device), devices.one_thread():
        features = {"train": train, "validation": held_out}
        task = head_task(replace(data, features=features), recipe, device)
        trainer = Trainer(task, recipe.train, device, ProcessGroup())
        trainer.run()
    return trainer


def _accuracy(pool: Pool, answers: Sequence[Sequence[FoldAnswer]], seed: int) -> dict[str, float]:
    """Mean and deviation over the repeats, and the interval over look-alike groups.

    Look-alikes are right or wrong together, so that the interval is that of groups drawn with
    replacement (percentile bootstrap, 95 %), each with its pictures' mean over the repeats.
    """
    right, judged = np.zeros(len(pool.targets)), np.zeros(len(pool.targets))
    accuracies = []
    for repeat in answers:
        rows = np.concatenate([answer.rows for answer in repeat])
        named = np.concatenate([answer.logits.argmax(axis=1) for answer in repeat])
        hits = named == pool.targets[rows]
        right[rows] += hits
        judged[rows] += 1
        accuracies.append(hits.mean())
    kept = judged > 0
    _, group = np.unique(pool.groups[kept], return_inverse=True)
    hits, sizes = np.bincount(group, (right / np.maximum(judged, 1))[kept]), np.bincount(group)
    generator = np.random.Generator(np.random.PCG64(seed))
    drawn = [generator.integers(len(sizes), size=len(sizes)) for _ in range(RESAMPLES)]
    resampled = [hits[groups].sum() / sizes[groups].sum() for groups in drawn]
    low, high = np.percentile(resampled, (2.5, 97.5))
    return {
        "cv/pictures": int(kept.sum()),
        "cv/repeats": len(answers),
        "cv/accuracy": float(np.mean(accuracies)),
        "cv/accuracy_deviation": float(np.std(accuracies, ddof=min(1, len(answers) - 1))),
        "cv/accuracy_low": float(low),
        "cv/accuracy_high": float(high),
        "cv/chance": float(np.bincount(pool.targets[kept]).max() / kept.sum()),
    }


def _limits(similarity: Sequence[Float64], false_reject_rate: float) -> list[float]:
    """For each fold the least similarity that the other folds' pictures give."""
    limits = []
    for fold in range(len(similarity)):
        others = [values for number, values in enumerate(similarity) if number != fold]
        limits.append(fit_min_similarity(np.concatenate(others or similarity), false_reject_rate))
    return limits


def _rejected(similarity: Sequence[Float64], false_reject_rate: float) -> float:
    """The fraction of held-out pictures of known people that would be called unknown."""
    limits = _limits(similarity, false_reject_rate)
    below = [values < limit for values, limit in zip(similarity, limits, strict=True)]
    return float(np.concatenate(below).mean())


def likeness_of_labels(
    pool: Pool, folds: Sequence[Fold], labels: Sequence[str]
) -> dict[str, float]:
    """Label -> the similarity to its own centre that a fifth of its held-out pictures lie below.

    Without the labels that are held out nowhere.
    """
    similarity = np.full(len(pool.targets), np.nan)
    for fold in folds:
        centres = fit_centres(pool.features(fold.train))
        cosines = centres.directed(pool.values[0, fold.held_out]) @ centres.directions.T
        known = np.unique(pool.targets[fold.train])
        own = np.searchsorted(known, pool.targets[fold.held_out])
        similarity[fold.held_out] = cosines[np.arange(len(own)), own]
    held_out = ~np.isnan(similarity)
    return {
        labels[label]: float(np.quantile(similarity[held_out & (pool.targets == label)], 0.2))
        for label in np.unique(pool.targets[held_out])
    }


def _strangers(pool: Pool, folds: Sequence[Fold], false_reject_rate: float) -> dict[str, float]:
    """What fraction of a label's pictures is called unknown by models that never saw the label.

    Every label is left out in turn. A picture is judged by the model of every fold, with the
    least similarity that the known pictures of the other folds give.
    """
    labels = np.unique(np.concatenate([fold.held_out for fold in folds]))
    labels = np.unique(pool.targets[labels])
    if len(labels) < 3:
        return {}
    caught, counts = [], []
    for label in labels:
        strangers = np.flatnonzero(pool.targets == label)
        known, similarity = [], []
        for fold in folds:
            train, held_out = (
                rows[pool.targets[rows] != label] for rows in (fold.train, fold.held_out)
            )
            centres = fit_centres(pool.features(train))
            known.append(centres.similarity(pool.values[0, held_out]))
            similarity.append(centres.similarity(pool.values[0, strangers]))
        limits = _limits(known, false_reject_rate)
        below = [values < limit for values, limit in zip(similarity, limits, strict=True)]
        caught.append(float(np.mean(below)))
        counts.append(len(strangers))
    return {
        "unknown/strangers_caught": float(np.average(caught, weights=counts)),
        "unknown/strangers_caught_worst": min(caught),
    }
