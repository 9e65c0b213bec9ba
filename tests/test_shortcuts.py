"""Labels told without the face: planted shortcuts are found, where there are none nothing is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw
from ruamel.yaml import YAML
from scipy.stats import binomtest
from support.evaluations import make_evaluation, prediction_row
from support.repository import REPOSITORY

from whoswho.artifacts.decisions import Decision
from whoswho.artifacts.model.settings import PictureSettings
from whoswho.artifacts.predictions import ShortcutRow
from whoswho.artifacts.split import Dataset, Example, open_prepared
from whoswho.errors import UserError
from whoswho.evaluation import shortcuts
from whoswho.pictures.faces import FaceFinder
from whoswho.pictures.opening import ImageOpenError, open_picture
from whoswho.pictures.prepare import prepare

SIZE = 96
SETTINGS = PictureSettings("face", 0.3, SIZE, 0.95, 0.08)
EACH = 10  # pictures a person
STORED = REPOSITORY / "sample" / "files" / "md5"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The first portraits of each person of the drawn sample, as preprocess leaves them."""
    folder = tmp_path_factory.mktemp("drawn")
    digest = YAML(typ="safe").load((REPOSITORY / "data.dvc").read_text())["outs"][0]["md5"]
    listed = json.loads((STORED / digest[:2] / digest[2:]).read_text(encoding="utf-8"))
    finder = FaceFinder(SETTINGS.face_probability, SETTINGS.min_face_size)
    counts: Counter[str] = Counter()
    examples = []
    for number, entry in enumerate(sorted(listed, key=lambda entry: entry["relpath"])):
        label, _, name = entry["relpath"].rpartition("/")
        if not name.startswith("google_") or counts[label] == EACH:
            continue
        try:
            image = open_picture(STORED / entry["md5"][:2] / entry["md5"][2:])
        except ImageOpenError:
            continue  # the sample's dirt
        faces = finder.find(image)
        if len(faces) != 1:
            continue
        counts[label] += 1
        prepared = prepare(image, SETTINGS, faces[0])
        path = folder / f"{number}.png"
        prepared.image.save(path)
        target = len(counts) - 1
        examples.append(
            Example(entry["relpath"], entry["md5"], entry["md5"], target, path, "face",
                    prepared.box)
        )  # fmt: skip
    assert set(counts.values()) == {EACH}
    return Dataset(folder, tuple(counts), SETTINGS, {"train": tuple(examples)})


def decided(dataset: Dataset) -> list[Decision]:
    """What cleaning would say: sizes and brightness that tell nothing."""
    dice = np.random.default_rng(0)
    return [
        Decision(
            example.file,
            width=int(dice.integers(200, 900)),
            height=int(dice.integers(200, 900)),
            scores={"too_dark": float(dice.uniform(60, 180))},
        )
        for example in dataset.examples["train"]
    ]


def shortcut_labels(dataset: Dataset, decisions: list[Decision], way: str) -> list[str]:
    rows = shortcuts.check(dataset, decisions, 0)
    return [row.label for row in rows if row.way == way and row.low > 0]


def replaced(dataset: Dataset, label: int, plant: Callable[[Image.Image, int], None]) -> Dataset:
    """The set with something planted in every picture of a label."""
    folder = dataset.folder / plant.__name__
    folder.mkdir(exist_ok=True)
    examples = []
    for number, example in enumerate(dataset.examples["train"]):
        if example.label == label:
            image = open_prepared(example.path)
            plant(image, number)
            image.save(folder / example.path.name)
            example = replace(example, path=folder / example.path.name)
        examples.append(example)
    return replace(dataset, examples={"train": tuple(examples)})


def border(image: Image.Image, _number: int) -> None:
    """A frame as a news site has it."""
    ImageDraw.Draw(image).rectangle((0, 0, SIZE - 1, SIZE - 1), outline=(200, 30, 30), width=2)


def background(image: Image.Image, number: int) -> None:
    """A wall of nearly one colour behind the head."""
    wall = Image.new("RGB", image.size, (30, 120 + number % 30, 60))
    head = Image.new("L", image.size, 0)
    ImageDraw.Draw(head).ellipse((20, 8, SIZE - 20, SIZE + 20), fill=255)
    image.paste(Image.composite(image, wall, head))


@pytest.mark.parametrize("plant", [border, background])
def test_what_is_planted_around_one_persons_faces_is_found(
    drawn: Dataset, plant: Callable[[Image.Image, int], None]
) -> None:
    decisions = decided(drawn)
    before = shortcut_labels(drawn, decisions, "surroundings")
    label = next(n for n, label in enumerate(drawn.labels) if label not in before)
    after = shortcut_labels(replaced(drawn, label, plant), decisions, "surroundings")
    assert drawn.labels[label] in after


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_labels_raise_nothing(drawn: Dataset, seed: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(drawn.targets("train")).tolist()
    examples = [
        replace(example, label=label)
        for example, label in zip(drawn.examples["train"], shuffled, strict=True)
    ]
    dataset = replace(drawn, examples={"train": tuple(examples)})
    assert shortcut_labels(dataset, decided(drawn), "surroundings") == []
    assert shortcut_labels(dataset, decided(drawn), "file") == []


@pytest.mark.parametrize(
    "changed",
    [
        {"width": 1200, "height": 1200}, {"width": 900, "height": 300},
        {"scores": {"too_dark": 30.0}}, {"file": "{label}/naver_{number:04}.jpg"},
    ],
    ids=["size", "shape", "brightness", "site"],
)  # fmt: skip
def test_a_label_whose_files_differ_is_found(drawn: Dataset, changed: dict) -> None:
    examples, decisions = list(drawn.examples["train"]), decided(drawn)
    for number, example in enumerate(examples):
        if example.label == 1:
            values = dict(changed)
            if "file" in changed:
                values["file"] = changed["file"].format(label="b", number=number)
                examples[number] = replace(example, file=values["file"])
            decisions[number] = replace(decisions[number], **values)
    dataset = replace(drawn, examples={"train": tuple(examples)})
    assert shortcut_labels(dataset, decisions, "file") == [drawn.labels[1]]


def test_the_face_itself_and_the_hair_take_no_part(drawn: Dataset) -> None:
    """A mask over all of one person's faces is no surroundings."""

    def mask(image: Image.Image, _number: int) -> None:
        ImageDraw.Draw(image).rectangle((30, 25, SIZE - 30, SIZE - 20), fill=(255, 0, 0))

    decisions = decided(drawn)
    assert shortcut_labels(replaced(drawn, 2, mask), decisions, "surroundings") == shortcut_labels(
        drawn, decisions, "surroundings"
    )


def test_where_no_face_is_known_nothing_is_left_out(drawn: Dataset) -> None:
    things = [replace(example, face=None) for example in drawn.examples["train"]]
    dataset = replace(drawn, examples={"train": tuple(things)})
    rows = shortcuts.check(dataset, decided(drawn), 0)
    assert {row.way for row in rows} == {"file"}


def test_the_interval_is_newcombes() -> None:
    """His example: 56 of 70 against 48 of 80, from .0524 (95 %, both sides)."""
    targets = np.array([0] * 70 + [1] * 80)
    predicted = np.array([0] * 56 + [1] * 14 + [0] * 48 + [1] * 32)
    (first, _) = shortcuts.told("file", ("a", "b"), targets, predicted, 0.975)
    assert (first.told, first.chance, first.pictures) == (0.8, 0.6, 70)
    assert first.low == pytest.approx(0.0524, abs=5e-5)
    share, low, high = shortcuts._wilson(np.arange(30) < 7, 0.975)
    theirs = binomtest(7, 30).proportion_ci(0.95, method="wilson")
    assert (share, low, high) == pytest.approx((7 / 30, theirs.low, theirs.high))


def test_no_look_alike_of_a_picture_is_learned_from() -> None:
    """Twins whose features say all about each other and nothing about anybody else."""
    dice = np.random.default_rng(0)
    features = np.repeat(dice.normal(size=(40, 60)), 2, axis=0)
    targets = np.repeat(dice.integers(0, 2, 40), 2)
    together = shortcuts.out_of_fold(features, targets, [f"{n // 2}" for n in range(80)], 0)
    apart = shortcuts.out_of_fold(features, targets, [f"{n}" for n in range(80)], 0)
    assert (together == targets).mean() < 0.7
    assert (apart == targets).mean() > 0.8


@pytest.mark.parametrize(
    ("file", "site"),
    [
        ("a/google_0002.jpg", "google"), ("a_b/commons_0010_1a2b3c4d.png", "commons"),
        ("a/holiday.jpg", ""), ("a/0001.jpg", ""),
    ],
)  # fmt: skip
def test_the_site_is_what_the_crawl_begins_names_with(file: str, site: str) -> None:
    assert shortcuts.site(file) == site


def test_a_picture_without_a_decision_is_one_line(drawn: Dataset) -> None:
    with pytest.raises(UserError, match="is not in its decisions"):
        shortcuts.check(drawn, decided(drawn)[:-1], 0)


def test_the_labels_found_are_known_by_way() -> None:
    rows = [
        ShortcutRow("file", "a", 5, 0.9, 0.1, 0.3), ShortcutRow("file", "b", 5, 0.3, 0.2, -0.1),
    ]  # fmt: skip
    row = prediction_row("ab", "a/1.jpg", "test", "a", "a")
    evaluation = replace(make_evaluation("ab", [row], {}), shortcuts=tuple(rows))
    assert evaluation.shortcut_labels == {"file": [rows[0]]}
