"""What is said of a model rests on pictures that it did not learn from."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from support.repository import REPOSITORY

from whoswho import params
from whoswho.artifacts.features import Features
from whoswho.artifacts.model.settings import PictureSettings
from whoswho.artifacts.split import Dataset, Example
from whoswho.evaluation.folds import split_folds
from whoswho.training.calibration import fit_centres
from whoswho.training.cross_validation import CrossValidation, cross_validate
from whoswho.training.inputs import Recipe, TrainingData

PARAMS = params.load_params(REPOSITORY)
WIDTH = 24
LABELS = ("A", "B", "C", "D")


def data(
    values: np.ndarray, targets: np.ndarray, groups: list[str] | None = None, views: int = 2
) -> TrainingData:
    """Features (pictures, width) as a set of which every fifth picture is of validation."""
    groups = groups or [f"{number:04d}" for number in range(len(targets))]
    validation = np.arange(len(targets)) % 5 == 0
    examples, features = {}, {}
    for split, rows in (("train", ~validation), ("validation", validation)):
        chosen = np.flatnonzero(rows)
        examples[split] = tuple(
            Example(f"{n}.jpg", f"{n:064d}", groups[n], int(targets[n]), Path()) for n in chosen
        )
        stacked = np.repeat(values[None, chosen], views if split == "train" else 1, axis=0)
        features[split] = Features(stacked.astype(np.float32), targets[chosen])
    labels = LABELS[: int(targets.max()) + 1]
    picture = PictureSettings("whole", 0.3, 64, 0.9, 0.06)
    return TrainingData(Dataset(Path(), labels, picture, examples), "resnet18", {}, features)


def people(labels: int, each: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pictures around a place of each label's own."""
    dice = np.random.default_rng(seed)
    targets = np.repeat(np.arange(labels), each)
    places = dice.standard_normal((labels, WIDTH)) * 3
    return places[targets] + spread * dice.standard_normal((len(targets), WIDTH)), targets


def recipe(**changes: object) -> Recipe:
    update = {"epochs": 8, "batch": 16, "head": [16], "device": "cpu", "cv_repeats": 2} | changes
    return Recipe(PARAMS.train.model_copy(update=update), PARAMS.augment, 0)


def judged(cross_validation: CrossValidation | None) -> CrossValidation:
    assert cross_validation is not None
    return cross_validation


def test_look_alikes_are_held_out_together_and_every_picture_once() -> None:
    targets = np.repeat(np.arange(3), 20)
    groups = [f"{number // 4}" for number in range(60)]
    folds = split_folds(targets, groups, 5, 0)
    assert sorted(np.concatenate([fold.held_out for fold in folds])) == list(range(60))
    for fold in folds:
        assert not {groups[row] for row in fold.train} & {groups[row] for row in fold.held_out}
        assert len(fold.train) + len(fold.held_out) == 60


@pytest.mark.parametrize("seed", range(6))
def test_the_folds_are_scikit_learns(seed: int) -> None:
    from sklearn.model_selection import StratifiedGroupKFold

    dice = np.random.default_rng(seed)
    targets = np.sort(dice.integers(0, 2 + seed, 90) ** 2 % 7)  # uneven, and not counted through
    groups = [f"{number}" for number in dice.integers(0, 12 * (seed + 1), 90)]
    splitter = StratifiedGroupKFold(4, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that labels are smaller than the folds
        theirs = [held_out.tolist() for _, held_out in splitter.split(targets, targets, groups)]
    ours = [sorted(fold.held_out.tolist()) for fold in split_folds(targets, groups, 4, seed)]
    known = [[row for row in rows if targets[row] in np.delete(targets, rows)] for rows in theirs]
    assert ours == [rows for rows in known if rows]


def test_a_label_that_is_one_group_is_held_out_nowhere() -> None:
    targets = np.repeat(np.arange(3), 10)
    groups = ["same" if target == 0 else str(n) for n, target in enumerate(targets)]
    held_out = np.concatenate([fold.held_out for fold in split_folds(targets, groups, 5, 0)])
    assert set(targets[held_out]) == {1, 2}
    assert split_folds(targets, ["same"] * 30, 5, 0) == []


def test_people_far_apart_are_told_apart_and_strangers_caught() -> None:
    cross_validation = judged(cross_validate(data(*people(4, 25, spread=0.5)), recipe()))
    metrics = cross_validation.metrics
    assert metrics["cv/accuracy"] == 1
    assert (metrics["cv/pictures"], metrics["cv/repeats"]) == (100, 2)
    assert metrics["cv/chance"] == 0.25
    assert metrics["unknown/strangers_caught_worst"] > 0.9
    assert metrics["unknown/false_reject_rate"] == pytest.approx(0.05, abs=0.04)
    assert len(cross_validation.held_out.targets) == 200
    assert cross_validation.held_out.logits.shape == (200, 4)
    assert (
        cross_validation.held_out.logits.argmax(axis=1) == cross_validation.held_out.targets
    ).all()


@pytest.mark.parametrize("seed", range(3))
def test_with_shuffled_labels_it_lies_at_chance(seed: int) -> None:
    values, targets = people(4, 40, spread=0.5)
    shuffled = np.random.default_rng(seed).permutation(targets)
    metrics = judged(cross_validate(data(values, shuffled), recipe())).metrics
    assert metrics["cv/accuracy"] == pytest.approx(0.25, abs=0.1)
    assert metrics["cv/accuracy_low"] < metrics["cv/accuracy"] < metrics["cv/accuracy_high"]
    # Who is as like the others as they are like themselves is caught no oftener than they.
    assert metrics["unknown/strangers_caught"] < 0.25


def test_copies_teach_nothing_about_themselves() -> None:
    """Noise, of which every picture has a copy: only a fold that split them could be right."""
    dice = np.random.default_rng(0)
    values = np.repeat(dice.standard_normal((60, WIDTH)), 2, axis=0)
    targets = np.repeat(dice.permutation(np.repeat(np.arange(3), 20)), 2)
    groups = [str(number // 2) for number in range(120)]
    together = judged(cross_validate(data(values, targets, groups), recipe(epochs=30, lr=0.01)))
    apart = judged(cross_validate(data(values, targets), recipe(epochs=30, lr=0.01)))
    assert together.metrics["cv/accuracy"] < 0.5
    assert apart.metrics["cv/accuracy"] > 0.7


def test_the_interval_goes_over_look_alikes() -> None:
    """Pictures that are right or wrong together tell less than as many that are not."""
    values, targets = people(3, 40, spread=4.0)
    values = values[np.arange(120) // 8 * 8]  # eight copies of each
    targets = targets[np.arange(120) // 8 * 8]
    widths = []
    for groups in ([str(n // 8) for n in range(120)], [str(n) for n in range(120)]):
        metrics = judged(cross_validate(data(values, targets, groups), recipe())).metrics
        widths.append(metrics["cv/accuracy_high"] - metrics["cv/accuracy_low"])
    assert widths[0] > 1.5 * widths[1]


def test_of_two_people_none_can_be_left_out() -> None:
    metrics = judged(cross_validate(data(*people(2, 15, spread=1.0)), recipe())).metrics
    assert "unknown/false_reject_rate" in metrics
    assert "unknown/strangers_caught" not in metrics


def test_where_no_picture_can_be_spared_there_is_none() -> None:
    values, targets = people(3, 10, spread=1.0)
    assert cross_validate(data(values, targets, [str(t) for t in targets]), recipe()) is None


def test_it_is_the_same_twice_and_another_seed_is_another() -> None:
    set_ = data(*people(3, 20, spread=3.0))
    first, again, other = (judged(cross_validate(set_, recipe(seed=seed))) for seed in (0, 0, 1))
    assert first.metrics == again.metrics
    assert (first.held_out.logits == again.held_out.logits).all()
    assert first.metrics["cv/accuracy"] != other.metrics["cv/accuracy"]


def test_similarity_is_the_cosine_to_the_nearest_centre() -> None:
    values, targets = people(3, 30, spread=0.5)
    centres = fit_centres(Features(values[None].astype(np.float32), targets))
    scaled = (values - values.mean(axis=0)) / values.std(axis=0)
    means = np.stack([scaled[targets == label].mean(axis=0) for label in range(3)])
    cosines = (scaled / np.linalg.norm(scaled, axis=1, keepdims=True)) @ (
        means / np.linalg.norm(means, axis=1, keepdims=True)
    ).T
    assert centres.similarity(values) == pytest.approx(cosines.max(axis=1), abs=1e-5)
    assert (cosines.argmax(axis=1) == targets).all()


def test_only_the_picture_itself_makes_a_centre_not_its_views() -> None:
    values, targets = people(3, 10, spread=0.5)
    views = np.stack([values, values + 100]).astype(np.float32)
    two, only = (fit_centres(Features(v, targets)) for v in (views, views[:1]))
    assert (two.directions == only.directions).all()
    assert (two.mean == only.mean).all()
