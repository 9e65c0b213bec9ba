"""Judging: every label keeps its place, numbers say over what they go, strangers get no name."""

from __future__ import annotations

import dataclasses
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest
from support.drawn_sets import draw_set, pattern, workspace
from support.repository import REPOSITORY

from whoswho import params, paths, tables
from whoswho.artifacts.features import load_features
from whoswho.artifacts.model.backbone import BackboneSource
from whoswho.artifacts.model.description import (
    ModelDescription,
    read_description,
    save_model,
    write_description,
)
from whoswho.artifacts.predictions import (
    SHORTCUTS,
    Evaluation,
    RobustnessRow,
    ShortcutRow,
    read_evaluation,
    write_evaluation,
)
from whoswho.artifacts.split import Dataset, dataset_digest
from whoswho.backbone import extraction, network
from whoswho.errors import UserError
from whoswho.evaluation import judging, measures, robustness, significance
from whoswho.evaluation.served import served_outputs
from whoswho.inference.model import Answers, Model, load_model, outputs, softmax
from whoswho.training import calibration
from whoswho.training.fit import fit
from whoswho.training.held_out import calibrate
from whoswho.training.inputs import Recipe, TrainingData

LABELS = ("None", "007", "C++", "다")
EVALUATE = params.Evaluate(bootstrap=500, bins=10, altered=200, seed=0)


def shares_for(predicted: list[int], certainty: float = 0.7, labels: int = 4) -> np.ndarray:
    """Probabilities with `certainty` on the predicted label and the rest spread evenly."""
    probabilities = np.full((len(predicted), labels), (1 - certainty) / (labels - 1))
    probabilities[np.arange(len(predicted)), predicted] = certainty
    return probabilities


def measure(actual: list[int], probabilities: np.ndarray, **more: object) -> dict[str, float]:
    settings: dict[str, object] = {
        "bootstrap": 500,
        "bins": 10,
        "seed": 0,
        "limit": 0.5,
    } | more
    similarity = probabilities.max(axis=1)  # any number a picture will do
    unknown, features = similarity < settings.pop("limit"), similarity[:, np.newaxis]
    answers = Answers(probabilities, similarity, unknown, features)
    return measures.measure(np.array(actual), answers, probabilities, **settings)  # type: ignore[arg-type]


# F2: labels that a split lacks


@pytest.mark.parametrize("seed", range(3))
def test_the_measures_are_scikit_learns(seed: int) -> None:
    from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss

    dice = np.random.default_rng(seed)
    actual = dice.integers(0, 4, 50)
    probabilities = dice.dirichlet(np.ones(4) / 2, 50)
    probabilities[0] = [0, 1, 0, 0]  # a certainty may be wrong
    predicted = probabilities.argmax(axis=1)
    metrics = measure(list(actual), probabilities)
    assert metrics["balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(actual, predicted)
    )
    assert metrics["macro_f1"] == pytest.approx(f1_score(actual, predicted, average="macro"))
    assert metrics["log_loss"] == pytest.approx(log_loss(actual, probabilities, labels=range(4)))


def test_macro_means_say_over_how_many_labels_they_go() -> None:
    metrics = measure([0, 0, 1, 1, 3], shares_for([0, 0, 1, 2, 1]))
    assert metrics["macro_f1"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert metrics["macro_f1_labels"] == 3
    assert metrics["balanced_accuracy"] == pytest.approx((1 + 0.5 + 0) / 3)


def test_a_label_missing_from_the_predictions_only_still_counts() -> None:
    metrics = measure([0, 1, 2, 3], shares_for([0, 1, 2, 2]))
    assert metrics["macro_f1_labels"] == 4
    assert metrics["macro_f1"] == pytest.approx((1 + 1 + 2 / 3 + 0) / 4)


# The numbers


def test_the_numbers_of_a_split_by_hand() -> None:
    probabilities = np.array([[0.6, 0.2, 0.1, 0.1], [0.3, 0.4, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])
    metrics = measure([0, 0, 3], probabilities)
    assert metrics["pictures"] == 3
    assert metrics["accuracy"] == pytest.approx(2 / 3)
    assert metrics["chance"] == pytest.approx(2 / 3)
    assert metrics["top_2"] == 1.0
    assert metrics["log_loss"] == pytest.approx(
        -(math.log(0.6) + math.log(0.3) + math.log(0.4)) / 3
    )
    # Bins .6 (one right) and .4 (one right, one wrong: mean probability .4, right .5).
    assert metrics["ece"] == pytest.approx((abs(1 - 0.6) + abs(1 - 0.8)) / 3)
    assert metrics["false_reject_rate"] == pytest.approx(2 / 3)
    assert all(
        isinstance(value, int | float) and math.isfinite(value) for value in metrics.values()
    )


def test_top_2_of_two_labels_is_all() -> None:
    assert measures.top(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]), 2) == 1.0


def test_the_interval_is_the_percentile_bootstrap() -> None:
    right = np.array([1] * 80 + [0] * 20)
    dice = np.random.default_rng(1)
    resampled = right[dice.integers(0, 100, (20000, 100))].mean(axis=1)
    low, high = significance.interval(80, 100, 20000, seed=0)
    assert (low, high) == pytest.approx(tuple(np.percentile(resampled, (2.5, 97.5))), abs=0.011)
    assert significance.interval(80, 100, 20000, seed=0) == (low, high)
    assert significance.interval(5, 5, 100, seed=0) == (1.0, 1.0)


def test_the_calibration_error_is_none_where_certainty_is_right() -> None:
    actual = [0] * 7 + [1] * 3
    probabilities = shares_for([0] * 10, 0.7)
    assert measure(actual, probabilities)["ece"] == pytest.approx(0, abs=1e-12)
    assert measure(actual, shares_for([0] * 10, 1.0))["ece"] == pytest.approx(0.3)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (5, 5), (1, 9), (30, 12), (0, 4), (3, 400)])
def test_mcnemar_is_exact(first: int, second: int) -> None:
    expected = binomtest(first, first + second).pvalue if first + second else 1.0
    assert significance.mcnemar(first, second) == pytest.approx(expected)
    assert significance.mcnemar(second, first) == significance.mcnemar(first, second)


@pytest.mark.parametrize("seed", range(3))
def test_per_label_is_scikit_learns(seed: int) -> None:
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    dice = np.random.default_rng(seed)
    actual = dice.integers(0, 3, 20)  # the last label has no picture
    probabilities = dice.dirichlet(np.ones(4), 20)
    predicted = probabilities.argmax(axis=1)
    matrix = measures.confusion(actual, probabilities)
    assert (matrix == confusion_matrix(actual, predicted, labels=range(4))).all()
    theirs = precision_recall_fscore_support(
        actual, predicted, labels=range(4), zero_division=np.nan
    )
    scores = measures.per_label(matrix, LABELS, "test")
    for score, label, *other, support in zip(scores, LABELS, *theirs, strict=True):
        assert (score.label, score.split, score.support) == (label, "test", support)
        for name, value in zip(("precision", "recall", "f1"), other, strict=True):
            if getattr(score, name) is None:  # of an absent label it says F1 0 where we say none
                assert math.isnan(value) or (name, support) == ("f1", 0)
            else:
                assert getattr(score, name) == pytest.approx(value), (label, name)


def test_a_label_never_predicted_has_no_precision() -> None:
    matrix = measures.confusion(np.array([0, 1]), shares_for([0, 0], labels=2))
    a, b = measures.per_label(matrix, ["a", "b"], "test")
    assert (a.precision, a.recall, a.f1) == (0.5, 1.0, pytest.approx(2 / 3))
    assert (b.precision, b.recall, b.f1) == (None, 0.0, 0.0)


# Calibration


def made_logits(sharpness: float, count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    dice = np.random.default_rng(0)
    actual = dice.integers(0, 4, count)
    logits = dice.normal(0, 1, (count, 4)) + 1.5 * np.eye(4)[actual]
    return (logits * sharpness).astype(np.float32), actual


@pytest.mark.parametrize("sharpness", [0.2, 1.0, 7.0])
def test_the_temperature_is_the_one_with_the_lowest_log_loss(sharpness: float) -> None:
    logits, actual = made_logits(sharpness)
    count, labels = logits.shape

    def loss(temperature: float) -> float:
        chosen = np.log(softmax(logits, temperature))
        own = chosen[np.arange(count), actual]
        others = (chosen.sum(axis=1) - own) / (labels - 1)
        return float(-(own * (count + 1) + others).mean() / (count + 2))

    best = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-8}).x
    assert calibration.fit_temperature(logits, actual) == pytest.approx(best, rel=1e-3)


def test_few_right_answers_make_no_certainty() -> None:
    """One right answer of one is followed by one of two: (1 + 1) / (1 + 2) that the next is."""
    logits = np.eye(2)[:1] * 3
    temperature = calibration.fit_temperature(logits, np.zeros(1, np.int64))
    assert softmax(logits, temperature).max() == pytest.approx(2 / 3, abs=1e-6)
    many = np.eye(3)[np.arange(300) % 3] * 3
    temperature = calibration.fit_temperature(many, np.arange(300) % 3)
    assert softmax(many, temperature).max() == pytest.approx(301 / 302, abs=1e-6)


def test_the_temperature_stays_in_its_range() -> None:
    wrong = np.eye(3, dtype=np.float32) * 10
    assert calibration.fit_temperature(wrong, np.array([1, 2, 0])) == calibration.MAX_TEMPERATURE
    near = np.eye(3)[np.arange(3000) % 3] * 0.01
    lowest = calibration.fit_temperature(near, np.arange(3000) % 3)
    assert lowest == calibration.MIN_TEMPERATURE


def test_probabilities_survive_huge_logits() -> None:
    probabilities = softmax(np.array([[1e4, -1e4]], np.float32), 0.05)
    assert probabilities.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("count", [1, 7, 40, 300])
@pytest.mark.parametrize("false_reject_rate", [0.0, 0.05, 0.3, 1.0])
def test_the_least_similarity_turns_away_its_part(false_reject_rate: float, count: int) -> None:
    similarity = np.random.default_rng(0).uniform(-1, 1, count)
    limit = calibration.fit_min_similarity(similarity, false_reject_rate)
    away = int((similarity < limit).sum())
    assert abs(away - false_reject_rate * count) <= 1
    assert np.abs(similarity - limit).min() > 1e-5  # rounding turns nobody away


# A whole model


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Path]:
    """A set with four people of whom three are known well, and the folder of its model."""
    folder = tmp_path_factory.mktemp("judged")
    counts = {
        "train": dict.fromkeys("ABC", 30), "validation": dict.fromkeys("ABC", 14),
        "test": {"A": 6, "C": 5},
    }  # fmt: skip
    dataset = draw_set(folder / "dataset", counts)
    backbone = network.random_backbone("resnet18", 0)
    body, width = network.backbone_from("resnet18", backbone)
    (folder / "features").mkdir()
    augment = params.Augment(views=2, shear=2.0, scale=[0.95, 1.05], flip=0.0, seed=0)
    extraction.extract(dataset, body, width, "0" * 64, augment, folder / "features")
    train = params.load_params(REPOSITORY).train.model_copy(
        update={"epochs": 12, "batch": 8, "head": [32], "device": "cpu"}
    )
    stored = load_features(folder / "features", dataset, "0" * 64)
    data = TrainingData(dataset, "resnet18", backbone, stored)
    fitted = fit(data, Recipe(train, augment, 0))
    source = BackboneSource(arch="resnet18", entry="random", sha256="0" * 64, origin="seed 0")
    calibration = calibrate(data, Recipe(train, augment, 0), fitted)
    description = ModelDescription(
        arch="resnet18",
        labels=dataset.labels,
        head=fitted.head,
        epoch=fitted.epoch,
        repeats=(),
        picture=dataset.picture,
        temperature=calibration.temperature,
        min_similarity=calibration.min_similarity,
        cross_validation=calibration.metrics,
        params={},
        inputs={"dataset": dataset_digest(dataset.folder)},
        backbone=source,
    )
    with paths.fresh_folder(folder / "model") as out:
        state = fitted.state | calibration.centres.to_state()
        save_model(out, state, description, fitted.history)
    return dataset, folder / "model"


@pytest.fixture(scope="module")
def model(judged: tuple[Dataset, Path]) -> Model:
    return load_model(judged[1])


@pytest.fixture(scope="module")
def evaluation(judged: tuple[Dataset, Path]) -> Evaluation:
    dataset, folder = judged
    return judging.judge(folder, dataset, EVALUATE)


def retrained(folder: Path, model: Path, dataset: Dataset) -> Path:
    """A model folder as if that model had been trained on `dataset`."""
    shutil.copytree(model, folder)
    inputs = {"dataset": dataset_digest(dataset.folder)}
    write_description(folder, read_description(folder).model_copy(update={"inputs": inputs}))
    return folder


def untested(folder: Path) -> Dataset:
    """A set of the same people without a test split."""
    counts = {"train": dict.fromkeys("ABC", 1), "validation": dict.fromkeys("ABC", 4)}
    return draw_set(folder, counts)


def test_a_model_is_judged_from_pictures_by_what_is_served(
    judged: tuple[Dataset, Path], model: Model, evaluation: Evaluation
) -> None:
    dataset, _ = judged
    images = [Image.open(e.path).convert("RGB") for e in dataset.examples["test"]]
    singly = np.concatenate([model.answer([image]).probabilities for image in images])
    pictures = evaluation.judged_pictures
    probabilities = np.array([picture.probabilities for picture in pictures])
    assert evaluation.judged == "test"
    assert probabilities == pytest.approx(singly, abs=1e-4)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert np.mean([picture.right for picture in pictures]) > 0.9
    logits = np.concatenate([outputs(model.network, [image]).logits for image in images])
    plain = softmax(logits, 1.0)
    uncalibrated = np.array([picture.uncalibrated for picture in pictures])
    assert uncalibrated == pytest.approx(plain, abs=1e-4)
    assert not np.allclose(probabilities, uncalibrated)


def test_a_stranger_gets_no_name(model: Model) -> None:
    """Field report C4: someone the model never saw, beside people it knows.

    The stranger looks a little like two of them. What looks like nobody may still get a name, the
    more so from an untrained backbone.
    """

    def turned_away(*kinds: float) -> float:
        images = [pattern(kind, f"{n:08x}", 64) for kind in kinds for n in range(30)]
        return float(model.answer(images).unknown.mean())

    assert turned_away(0, 1, 2) < 0.2
    assert turned_away(0.5) > 0.6


def test_the_table_has_a_row_a_picture_with_every_labels_probability(
    judged: tuple[Dataset, Path], model: Model, evaluation: Evaluation, tmp_path: Path
) -> None:
    dataset, _ = judged
    write_evaluation(tmp_path, evaluation)
    rows = [r for r in tables.read(tmp_path / "predictions.csv") if r["split"] == "test"]
    assert list(rows[0]) == [
        "file", "split", "actual", "predicted", "similarity", "unknown",
        "probability/A", "probability/B", "probability/C",
        "uncalibrated/A", "uncalibrated/B", "uncalibrated/C",
    ]  # fmt: skip
    assert [row["file"] for row in rows] == [e.file for e in dataset.examples["test"]]
    for row, picture in zip(rows, evaluation.judged_pictures, strict=True):
        probabilities = [float(row[f"probability/{label}"]) for label in "ABC"]
        assert probabilities == list(picture.probabilities)
        assert [float(row[f"uncalibrated/{label}"]) for label in "ABC"] == list(
            picture.uncalibrated
        )
        assert row["predicted"] == "ABC"[int(np.argmax(probabilities))]
        similarity = float(row["similarity"])
        assert row["unknown"] == str(int(similarity < model.description.min_similarity))


def test_the_judged_pictures_are_judged_worse_too(
    judged: tuple[Dataset, Path], model: Model, evaluation: Evaluation
) -> None:
    dataset, _ = judged
    pictures, examples = evaluation.judged_pictures, dataset.examples["test"]
    rows = {row.change: row for row in evaluation.robustness}
    # No face is known in this set: there is nothing to mask.
    assert list(rows) == ["blur", "JPEG", "darkness", "small size", "quarter turn"]
    turned = model.answer([Image.open(e.path).convert("RGB").rotate(90) for e in examples])
    right = turned.probabilities.argmax(axis=1) == dataset.targets("test")
    row = rows["quarter turn"]
    assert (row.pictures, row.without_face) == (len(pictures), 0)
    assert row.unchanged == np.mean([picture.right for picture in pictures])
    assert row.accuracy == right.mean() < row.unchanged
    assert row.accuracy_low <= row.accuracy <= row.accuracy_high
    assert row.unknown == turned.unknown.mean() > 0

    def of(most: int) -> list[RobustnessRow]:
        worse = {"bootstrap": 100, "seed": 0}
        return robustness.measure(model, dataset, "test", answers, most, **worse)

    answers = model.answer([Image.open(example.path).convert("RGB") for example in examples])
    first = min(range(len(examples)), key=lambda index: examples[index].sha256)
    assert [row.pictures for row in of(1)] == [1] * 5
    assert of(1)[-1].accuracy == right[first]
    assert of(0) == []


def test_everything_judged_comes_back(evaluation: Evaluation, tmp_path: Path) -> None:
    told = (ShortcutRow("file", "A", 20, 0.75, 0.25, 0.125),)
    evaluation = dataclasses.replace(evaluation, shortcuts=told)
    write_evaluation(tmp_path, evaluation)
    back = read_evaluation(tmp_path)
    assert (back.confusion == evaluation.confusion).all()
    assert list(back.heat_maps) == list(evaluation.heat_maps)
    for file, heat in evaluation.heat_maps.items():
        assert back.heat_maps[file] == pytest.approx(heat, abs=1e-4)
    same = {"confusion": evaluation.confusion, "heat_maps": evaluation.heat_maps}
    assert dataclasses.replace(back, **same) == evaluation
    lacking = [score for score in back.scores if (score.split, score.label) == ("test", "B")]
    assert [(s.recall, s.f1, s.support) for s in lacking] == [(None, None, 0)]
    assert back.recall("train") == {}
    assert {"test/accuracy", "cv/accuracy", "unknown/strangers_caught"} < set(back.headline)


def test_a_set_with_other_pictures_is_refused(
    judged: tuple[Dataset, Path], tmp_path: Path
) -> None:
    other = untested(tmp_path)
    with pytest.raises(UserError, match=r"other pictures or splits.*`dvc repro -f -s train`"):
        judging.judge(judged[1], other, EVALUATE)


def test_a_set_with_other_labels_is_refused(judged: tuple[Dataset, Path]) -> None:
    other = dataclasses.replace(judged[0], labels=("A", "C", "B"))
    with pytest.raises(
        UserError, match=r"labels \(A, C, B\) are not those of the model \(A, B, C\)"
    ):
        judging.judge(judged[1], other, EVALUATE)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("confusion_matrix.csv", ",0", ",x"),
        ("per_label.csv", ",test,", ",test,x"),
        ("evaluation.json", '"judged"', '"other"'),
        ("predictions.csv", "uncalibrated/B", "uncalibrated/D"),
        ("attention.json", "{", "["),
        ("robustness.csv", ",11,", ",eleven,"),
        ("shortcuts.csv", "way", "path"),
    ],
)
def test_what_is_damaged_is_one_line(
    name: str, old: str, new: str, evaluation: Evaluation, tmp_path: Path
) -> None:
    write_evaluation(tmp_path, evaluation)
    path = tmp_path / name
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=re.escape(str(tmp_path))):
        read_evaluation(tmp_path)


@pytest.mark.parametrize("splits", [("validation", "test"), ("validation",)])
def test_the_stage_writes_numbers_for_the_splits_there_are(
    splits: tuple[str, ...], judged: tuple[Dataset, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from whoswho.stages import evaluate as stage

    dataset, folder = judged
    if "test" not in splits:
        dataset = untested(tmp_path / "untested")
        folder = retrained(tmp_path / "model", folder, dataset)
    root = workspace(tmp_path, dataset, monkeypatch)
    (root / paths.MODEL).symlink_to(folder, target_is_directory=True)
    stage.main()
    summary = paths.read_json(root / paths.EVALUATION / "evaluation.json")
    assert summary["judged"] == splits[-1]
    metrics = summary["metrics"]
    names = {
        "accuracy", "accuracy_low", "accuracy_high", "chance", "balanced_accuracy", "macro_f1",
        "macro_f1_labels", "log_loss", "top_2", "ece", "ece_uncalibrated", "false_reject_rate",
        "pictures",
    }  # fmt: skip
    measured = {f"{split}/{name}" for split in splits for name in names}
    held_out = read_description(folder).cross_validation
    assert set(metrics) == measured | set(held_out)
    assert {"cv/accuracy", "unknown/false_reject_rate"} < set(held_out)
    assert all(type(value) in (int, float) for value in metrics.values())
    if "test" in splits:
        assert metrics["test/macro_f1_labels"] == 2  # the test split lacks label B
        assert metrics["validation/false_reject_rate"] <= 0.2
    rows = tables.read(root / paths.EVALUATION / "predictions.csv")
    assert len(rows) == sum(len(dataset.examples[split]) for split in splits)
    for split in splits:
        own = [row for row in rows if row["split"] == split]
        right = np.mean([row["actual"] == row["predicted"] for row in own])
        assert metrics[f"{split}/accuracy"] == pytest.approx(right)
    ways = [(row["way"], row["label"]) for row in tables.read(root / paths.EVALUATION / SHORTCUTS)]
    assert ways == [("file", label) for label in "ABC"]  # no face is known here
    first = {path.name: path.read_bytes() for path in (root / paths.EVALUATION).iterdir()}
    out = capsys.readouterr().out
    assert out.startswith(f"evaluate: {splits[-1]} accuracy ")
    assert out.count("\n") == 1
    stage.main()
    assert {p.name: p.read_bytes() for p in (root / paths.EVALUATION).iterdir()} == first


def test_measuring_needs_no_torch_at_import() -> None:
    import subprocess
    import sys

    code = (
        "import sys, whoswho.evaluation.measures; "
        "sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    )
    source = str(Path(params.__file__).parents[1])
    run = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": source}, check=False)
    assert run.returncode == 0


def test_torch_threads_do_not_change_the_judgement(
    judged: tuple[Dataset, Path], model: Model
) -> None:
    threads = torch.get_num_threads()
    first = served_outputs(model.network, judged[0], "test").logits
    try:
        torch.set_num_threads(threads % 2 + 1)
        again = served_outputs(model.network, judged[0], "test").logits
        assert again == pytest.approx(first, abs=1e-3)
    finally:
        torch.set_num_threads(threads)
