"""Suspects: confident learning as the paper defines it, planted errors, look-alikes apart."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from ruamel.yaml import YAML
from support.drawn_sets import draw_set
from support.press_faces import PressFaces, fixture_press_faces  # noqa: F401
from support.reported import HOSTILE
from support.repository import REPOSITORY

from whoswho import params, paths, tables
from whoswho.artifacts.features import (
    Features,
    create_values,
    writable_values,
    write_empty_index,
    write_index,
)
from whoswho.artifacts.model.settings import PictureSettings
from whoswho.artifacts.split import (
    Dataset,
    Example,
    face_vectors,
    load_dataset,
    write_face_vectors,
)
from whoswho.artifacts.suspects import TABLE, SuspectList, read_suspects, write_suspects
from whoswho.errors import UserError
from whoswho.params import Augment
from whoswho.suspects import confident_learning

WIDTH = 64
PICTURE = PictureSettings("whole", 0.3, 64, 0.9, 0.06)
SETTINGS = params.Suspects(folds=5, max_fraction=1.0, seed=0)
SPLITS = ("train", "validation", "test")


class Made:
    """Features around one point a label, in three splits; some given a wrong label."""

    def __init__(
        self, counts: Sequence[int], *, wrong: float = 0.0, apart: float = 1.0, seed: int = 0,
        width: int = WIDTH, labels: Sequence[str] = (),
    ) -> None:  # fmt: skip
        dice = np.random.default_rng(seed)
        self.labels = tuple(labels) or tuple(f"label {i}" for i in range(len(counts)))
        self.true = np.repeat(np.arange(len(counts)), counts)
        centres = dice.normal(0, apart, (len(counts), width))
        self.values = centres[self.true] + dice.normal(0, 1, (len(self.true), width))
        self.given = self.true.copy()
        self.planted = dice.choice(len(self.true), round(wrong * len(self.true)), replace=False)
        away = dice.integers(1, len(counts), len(self.planted))
        self.given[self.planted] = (self.given[self.planted] + away) % len(counts)
        self.groups = [str(index) for index in range(len(self.true))]
        self.splits = [SPLITS[max(0, index % 6 - 3)] for index in range(len(self.true))]

    def file(self, index: int) -> str:
        return f"{self.labels[self.given[index]]}/google_{index:04}.jpg"

    def find(self, settings: params.Suspects = SETTINGS) -> SuspectList:
        return confident_learning.by_features(*self.stored(), settings)

    def stored(self) -> tuple[Dataset, Mapping[str, Features]]:
        examples: dict[str, list[Example]] = {split: [] for split in SPLITS}
        rows: dict[str, list[NDArray[np.float64]]] = {split: [] for split in SPLITS}
        for index, split in enumerate(self.splits):
            digest = hashlib.sha256(str(index).encode()).hexdigest()
            examples[split].append(
                Example(
                    self.file(index), digest, self.groups[index], int(self.given[index]), Path()
                )
            )
            rows[split].append(self.values[index])
        dataset = Dataset(Path(), self.labels, PICTURE, {s: tuple(e) for s, e in examples.items()})
        views = {"train": 2, "validation": 1, "test": 1}
        features = {
            split: Features(
                np.array([rows[split]] * views[split], np.float32), dataset.targets(split)
            )
            for split in dataset.splits
        }
        return dataset, features


# The method


def test_thresholds_and_joint_are_the_papers() -> None:
    """Equations 1 and 2, worked by hand for three labels."""
    given = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    probabilities = np.array(
        [
            [0.90, 0.05, 0.05],  # confidently 0
            [0.60, 0.30, 0.10],  # confidently 0
            [0.00, 0.80, 0.20],  # lies under 0, confidently 1
            [0.10, 0.70, 0.20],  # confidently 1
            [0.20, 0.50, 0.30],  # over no threshold: not counted
            [0.55, 0.60, 0.00],  # over those of 0 and 1: the likelier counts
            [0.10, 0.10, 0.80],  # confidently 2
            [0.60, 0.00, 0.40],  # lies under 2, confidently 0
        ]
    )
    limits = confident_learning.thresholds(probabilities, given)
    assert limits.tolist() == pytest.approx([0.5, 0.6, 0.6])
    sure = confident_learning.confident(probabilities, given)
    assert sure.tolist() == [0, 0, 1, 1, -1, 1, 2, 0]
    joint = np.zeros((3, 3), int)
    np.add.at(joint, (given[sure >= 0], sure[sure >= 0]), 1)
    assert joint.tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 1]]


def test_planted_errors_are_found_and_little_else() -> None:
    """Those missed lie just below their label's threshold, where the paper draws the line."""
    hit_count = listed = planted = 0
    for seed in range(6):
        made = Made([40] * 5, wrong=0.05, seed=seed)
        listing = made.find()
        right = {made.file(index): made.labels[made.true[index]] for index in made.planted}
        hits = [suspect for suspect in listing.suspects if suspect.file in right]
        assert all(right[suspect.file] == suspect.suggested for suspect in hits)
        ranks = [suspect.rank for suspect in listing.suspects]
        assert ranks == list(range(1, len(ranks) + 1))
        scores = [suspect.score for suspect in listing.suspects]
        assert scores == sorted(scores, reverse=True)
        hit_count += len(hits)
        listed += len(listing.suspects)
        planted += len(right)
    assert planted == 60
    assert hit_count / planted >= 0.8
    assert hit_count / listed >= 0.95


def test_a_clean_set_gives_almost_none() -> None:
    listing = Made([40] * 5, seed=2).find()
    assert len(listing.suspects) <= 2
    assert listing.accuracy > 0.98


def test_every_suspect_names_its_split_and_the_line_counts_them() -> None:
    made = Made([40] * 5, wrong=0.2, seed=3)
    listing = made.find()
    where = dict(zip(map(made.file, range(len(made.splits))), made.splits, strict=True))
    assert {suspect.split for suspect in listing.suspects} == set(SPLITS)
    assert all(where[suspect.file] == suspect.split for suspect in listing.suspects)
    counts = [sum(suspect.split == split for suspect in listing.suspects) for split in SPLITS]
    by_split = ", ".join(f"{n} {split}" for n, split in zip(counts, SPLITS, strict=True))
    assert f"{sum(counts)} of 200 pictures look as if under a wrong label ({by_split})" in (
        listing.sentence
    )


def test_look_alikes_do_not_vouch_for_each_other() -> None:
    """Three copies of one wrong picture: two would teach the model the third one's label."""

    def duplicates(*, known: bool) -> tuple[float, int]:
        made = Made([30, 30], width=250, apart=0.3)
        copies = [30, 31, 32]
        made.given[copies] = 0
        made.values[copies] = made.values[30]
        if known:
            for index in copies:
                made.groups[index] = "one photograph"
        files = {made.file(index) for index in copies}
        listed = [suspect for suspect in made.find().suspects if suspect.file in files]
        values = made.values.astype(np.float32)
        own = confident_learning.out_of_fold(values, made.given, made.groups, 2, 5, 0)[copies, 0]
        return float(own.min()), len(listed)

    vouched, listed = duplicates(known=False)
    assert vouched > 0.8
    assert listed == 0
    alone, listed = duplicates(known=True)
    assert alone < 0.2
    assert listed == 3


# What cannot be judged


def test_features_that_tell_nothing_apart_list_nothing_and_say_so() -> None:
    listing = Made([40] * 5, apart=0.0, seed=5).find()
    assert listing.suspects == ()
    assert listing.sentence.startswith("none listed: out-of-fold accuracy 0.")
    assert "chance 0.200) of the backbone's features is too low to judge labels by" in (
        listing.sentence
    )


@pytest.mark.parametrize(("apart", "speaks"), [(0.2, False), (0.5, True)])
def test_what_hardly_tells_labels_apart_is_not_asked(apart: float, speaks: bool) -> None:
    """Well above chance, but most of what it would list is labelled rightly."""
    made = Made([60] * 4, wrong=0.1, seed=4, apart=apart)
    listing = made.find()
    assert listing.accuracy_low > listing.chance
    assert listing.needed == pytest.approx(
        confident_learning.needed_accuracy(listing.chance), abs=1e-4
    )
    assert (listing.accuracy >= listing.needed) is speaks
    assert bool(listing.suspects) is speaks
    planted = {made.file(index) for index in made.planted}
    probabilities = confident_learning.out_of_fold(
        made.values.astype(np.float32), made.given, made.groups, 4, 5, 0
    )
    rows = [row for row, _ in confident_learning.suspicious(probabilities, made.given)]
    right = np.mean([made.file(row) in planted for row in rows])
    assert bool(right > 0.5) == speaks


def test_swapped_labels_of_press_pictures_are_found_by_their_faces(
    press_faces: PressFaces,
) -> None:
    """A tenth of the labels, ten draws; `python -m bench suspects` has the whole set's figures."""
    targets, count = press_faces.targets, len(press_faces.labels)
    listed = right = planted = 0
    for seed in range(10):
        dice = np.random.default_rng(seed)
        wrong = dice.choice(len(targets), round(0.1 * len(targets)), replace=False)
        given = targets.copy()
        given[wrong] = (given[wrong] + dice.integers(1, count, len(wrong))) % count
        groups = list(map(str, range(len(given))))
        answers = confident_learning.out_of_fold(press_faces.vectors, given, groups, count, 5, 0)
        rows = confident_learning.suspicious(answers, given)
        right += sum(row in wrong and suggested == targets[row] for row, suggested in rows)
        listed += len(rows)
        planted += len(wrong)
    assert right / listed >= 0.9
    assert right / planted >= 0.9


def test_at_most_the_asked_share_is_listed_the_surest() -> None:
    made = Made([40] * 5, wrong=0.2, seed=3)
    every = made.find().suspects
    listing = made.find(params.Suspects(folds=5, max_fraction=0.05, seed=0))
    assert list(listing.suspects) == list(every[:10])
    assert f"the surest of {len(every)} (suspects.max_fraction)" in listing.sentence


@pytest.mark.parametrize("counts", [[30, 30, 2], [30, 30, 1], [3, 2], [9, 1, 1, 1, 9]])
def test_labels_smaller_than_the_folds(
    counts: list[int], recwarn: pytest.WarningsRecorder
) -> None:
    made = Made(counts, seed=6, apart=3.0)
    listing = made.find()
    assert not recwarn.list
    alone = sum(count == 1 for count in counts)
    assert listing.judged == sum(counts) - alone
    assert (f"{alone} not judged" in listing.sentence) == bool(alone and not listing.none_because)
    assert not {suspect.label for suspect in listing.suspects} & {
        made.labels[i] for i, count in enumerate(counts) if count == 1
    }


def test_a_label_all_of_look_alikes_is_not_judged() -> None:
    made = Made([20, 20, 4], seed=7, apart=3.0)
    for index in range(40, 44):
        made.groups[index] = "the same"
    assert made.find().judged == 40


@pytest.mark.parametrize("counts", [[12], [12, 1], [1, 1]])
def test_nothing_to_compare_is_said(counts: list[int]) -> None:
    listing = Made(counts).find()
    assert listing.suspects == ()
    assert "fewer than two labels" in listing.sentence


def test_features_all_alike_are_by_chance(recwarn: pytest.WarningsRecorder) -> None:
    made = Made([20, 20])
    made.values[:] = 1.0
    assert "too low to judge labels by" in made.find().sentence
    assert not recwarn.list


# The table and the stage


def test_labels_of_any_look_survive_the_table(tmp_path: Path) -> None:
    made = Made([12] * len(HOSTILE), wrong=0.1, seed=8, apart=2.0, labels=HOSTILE)
    listing = made.find()
    write_suspects(tmp_path, listing)
    rows = tables.read(tmp_path / TABLE.name)
    assert len(rows) > 15
    assert {row["label"] for row in rows} | {row["suggested"] for row in rows} <= set(HOSTILE)
    assert [(r["file"], r["suggested"]) for r in rows] == [
        (suspect.file, suspect.suggested) for suspect in listing.suspects
    ]
    assert list(rows[0]) == [
        "file", "sha256", "label", "split", "suggested", "probability_label",
        "probability_suggested", "score", "rank",
    ]  # fmt: skip
    assert read_suspects(tmp_path) == listing


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A drawn set with one picture under a wrong label, and features that know the right one."""
    (tmp_path / "dvc.yaml").touch()
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    counts = {split: dict.fromkeys("AB", n) for split, n in (("train", 12), ("validation", 6))}
    pictures = draw_set(tmp_path / paths.DATASET, counts, 32)
    dice = np.random.default_rng(0)
    folder = tmp_path / paths.FEATURES
    folder.mkdir()
    for split in pictures.splits:
        targets = pictures.targets(split)
        values = targets[:, None] * 3.0 + dice.normal(0, 1, (2, len(targets), 8))
        if split == "validation":
            values[:, 0] += 3.0
        create_values(folder, split, (2, len(targets), 8))
        writable_values(folder, split)[:] = values
    write_index(folder, pictures, "0" * 64, "fp32")
    return tmp_path


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, REPOSITORY / "src" / "stage.py", "suspects"],
        cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip


def test_the_stage_lists_it_and_writes_the_same_bytes_again(workspace: Path) -> None:
    done = run(workspace)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "suspects: 1 of 36 pictures look as if under a wrong label (1 validation); out-of-fold"
    )
    folder = workspace / paths.SUSPECTS
    rows = tables.read(folder / TABLE.name)
    assert [(row["file"], row["suggested"]) for row in rows] == [
        ("A/google_validation_0000.jpg", "B")
    ]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert run(workspace).returncode == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def write_faces(folder: Path, *, faceless: int) -> None:
    """Vectors that know one picture of A to be of B, the last pictures without one."""
    rows = tables.read(folder / paths.DATASET / "split.csv")
    dice = np.random.default_rng(1)
    wrong = next(n for n, row in enumerate(rows) if row["file"].startswith("A/"))
    vectors: list[NDArray[np.float32] | None] = [
        (dice.normal(0, 0.1, 16) + ((row["label"] == "B") != (number == wrong))).astype(np.float32)
        for number, row in enumerate(rows)
    ]
    write_face_vectors(folder / paths.DATASET, vectors[: len(rows) - faceless] + [None] * faceless)


def test_faces_are_what_it_reads_where_they_were_told_apart(workspace: Path) -> None:
    """The features would name another picture."""
    write_faces(workspace, faceless=2)
    done = run(workspace)
    assert (done.returncode, done.stderr) == (0, "")
    assert "out-of-fold accuracy of face vectors 0." in done.stdout
    assert done.stdout.endswith("2 not judged, without one clear face\n")
    rows = tables.read(workspace / paths.SUSPECTS / TABLE.name)
    first = next(
        row["file"]
        for row in tables.read(workspace / paths.DATASET / "split.csv")
        if row["file"].startswith("A/")
    )
    assert [(row["file"], row["suggested"]) for row in rows] == [(first, "B")]


def test_vectors_of_another_table_are_one_line(workspace: Path) -> None:
    write_face_vectors(workspace / paths.DATASET, [np.ones(4, np.float32)])
    with pytest.raises(UserError, match=r"1 rows for 36 pictures; run `dvc repro -f -s prep"):
        face_vectors(load_dataset(workspace / paths.DATASET))


def test_of_a_fine_tuned_backbone_it_says_that_nothing_is_kept(workspace: Path) -> None:
    features = workspace / paths.FEATURES
    shutil.rmtree(features)
    features.mkdir()
    augment = Augment(views=1, shear=0.0, scale=[1.0, 1.0], flip=0.0, seed=0)
    write_empty_index(features, augment.model_dump())
    done = run(workspace)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "suspects: none listed: the backbone is fine-tuned and no features are kept "
        "(backbone.unfreeze: 0 keeps them), and faces were not told apart\n"
    )
    table = workspace / paths.SUSPECTS / TABLE.name
    assert tables.read(table, ("file", "suggested")) == []


def test_features_of_other_pictures_are_one_line(workspace: Path) -> None:
    split = workspace / paths.DATASET / "split.csv"
    rows = tables.read(split)
    tables.write(split, list(rows[0]), rows[1:])
    done = run(workspace)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "features of other pictures" in done.stderr
    assert not (workspace / paths.SUSPECTS).exists()


def test_it_needs_no_torch() -> None:
    code = "import sys, whoswho.stages.suspects; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_no_stage_learns_from_it() -> None:
    """Those that tell people of it read it, and nothing else does."""
    stages = YAML(typ="safe").load((REPOSITORY / "dvc.yaml").read_text())["stages"]
    readers = [
        name
        for name, stage in stages.items()
        if any(dep.startswith(paths.SUSPECTS.as_posix()) for dep in stage["deps"])
    ]
    assert readers == ["report", "register"]


def test_the_dataset_knows_its_groups(workspace: Path) -> None:
    loaded = load_dataset(workspace / paths.DATASET)
    rows = {row["file"]: row["group"] for row in tables.read(loaded.folder / "split.csv")}
    assert all(
        rows[example.file] == example.group
        for split in loaded.splits
        for example in loaded.examples[split]
    )
