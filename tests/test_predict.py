"""`whoswho predict`: which files are meant, and everything an answer says, also why."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.lifecycle_models import NAMES, make_model
from support.pictures import blocks, portrait
from support.repository import REPOSITORY

from whoswho import cli, params
from whoswho.artifacts.features import Features
from whoswho.artifacts.model.description import read_description, write_description
from whoswho.artifacts.model.settings import Face, PictureSettings
from whoswho.artifacts.split import Dataset
from whoswho.backbone.loading.process_group import ProcessGroup
from whoswho.errors import UserError
from whoswho.inference.predictor import Prediction, Predictor, framed
from whoswho.inference.similarity import Centres
from whoswho.lifecycle import prediction
from whoswho.lifecycle.neighbours import Neighbours
from whoswho.reporting.plots import sheets
from whoswho.training.calibration import fit_centres
from whoswho.training.data import head_task
from whoswho.training.inputs import Recipe, TrainingData
from whoswho.training.loop import Trainer
from whoswho.workers import pool

PARAMS = params.load_params(REPOSITORY)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures in a tree, with what systems leave and a file that is none."""
    for name in ("a/1.png", "a/b/2.png", "a/b/.hidden.png", "a/.git/3.png", "a/Thumbs.db"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (80, 80), "red").save(path, "PNG")
    (tmp_path / "a" / "notes.txt").write_text("no picture")
    return tmp_path


def names(files: list[Path], folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in files]


def test_a_folder_gives_all_that_lies_below_it(folder: Path) -> None:
    files = prediction.pictures([str(folder / "a")], io.StringIO())
    assert names(files, folder) == ["a/1.png", "a/notes.txt", "a/b/2.png"]


def test_a_pattern_the_shell_left_alone_is_followed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for start in ("", f"{folder}/"):
        monkeypatch.chdir(folder)
        files = prediction.pictures([f"{start}a/**/[12].png"], io.StringIO())
        assert sorted(path.name for path in files) == ["1.png", "2.png"]


def test_what_is_no_pattern_is_said(folder: Path) -> None:
    with pytest.raises(UserError, match=r"no pattern; `\*\*` stands alone"):
        prediction.pictures([f"{folder}/**.png"], io.StringIO())


def test_names_on_stdin_may_end_in_a_zero_byte() -> None:
    listed = io.StringIO("one.png\0two\nlines.png\0")
    assert prediction.pictures(["-"], listed) == [Path("one.png"), Path("two\nlines.png")]


def test_a_file_may_be_called_like_a_pattern(folder: Path) -> None:
    (folder / "a[1].png").write_bytes(b"")
    assert prediction.pictures([str(folder / "a[1].png")], io.StringIO()) == [folder / "a[1].png"]


def test_a_dash_takes_a_list(folder: Path) -> None:
    listed = io.StringIO("x.png\n\n장 원영.png\n")
    files = prediction.pictures(["first.png", "-"], listed)
    assert files == [Path("first.png"), Path("x.png"), Path("장 원영.png")]
    with pytest.raises(UserError, match="no file there"):
        prediction.pictures(["-"], io.StringIO(""))


@pytest.mark.parametrize(
    ("faces", "text"),
    [
        (None, "whole picture"), (0, "no face, whole picture"), (1, "face"),
        (3, "3 faces, the largest"),
    ],
)  # fmt: skip
def test_what_was_looked_at_is_said(faces: int | None, text: str) -> None:
    answer = Prediction("x", label="A", probability=0.5, probabilities={"A": 0.5}, faces=faces)
    assert answer.looked_at == text
    assert (
        prediction.PredictionTable(["x"], ["A"], 1).line(answer).endswith(f"0.500        {text}")
    )


def test_the_face_that_was_looked_at_is_framed() -> None:
    image = framed(Image.new("RGB", (1024, 512), "white"), Face(40, 20, 160, 80, 0.99))
    assert image.size == (512, 256)
    assert image.getpixel((20, 25)) != (255, 255, 255)
    assert image.getpixel((50, 25)) == (255, 255, 255)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"), NAMES)


def run(*arguments: object) -> int:
    """The exit code of the command."""
    try:
        cli.main(["predict", *map(str, arguments)])
    except SystemExit as error:
        return int(error.code or 0)
    return 0


def test_a_missing_file_has_its_row_and_ends_in_code_1(
    folder: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [folder / "a" / "1.png", folder / "gone.png", folder / "a" / "notes.txt"]
    assert run(*files, "--model", model, "--json") == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["file"] for row in rows] == [str(file) for file in files]
    first, gone, text = rows
    assert list(first) == [
        "file", "label", "probability", "unknown", "similarity", "probabilities", "faces", "face",
        "looked_at", "version", "problem",
    ]  # fmt: skip
    assert first["label"] in NAMES
    assert set(first["probabilities"]) == set(NAMES)
    assert first["version"] == str(model)
    assert gone["label"] is None
    assert "No such file" in gone["problem"]
    assert text["problem"]


def test_the_likeliest_few_are_named(
    folder: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "a" / "1.png"
    assert run(file, "--model", model, "--top", 2, "--csv") == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert float(row["probability"]) >= float(row["probability_2"])
    assert row["label_2"] in NAMES
    assert row["problem"] == ""
    assert run(file, "--model", model, "--top", 2) == 0
    header, line, last = capsys.readouterr().out.splitlines()
    assert header.split() == ["picture", "name", "probability", "2.", "looked", "at"]
    assert row["label_2"] in line
    assert last == f"model: {model}"


def test_processes_look_at_pictures_as_this_one_does(tmp_path: Path) -> None:
    model = make_model(tmp_path, NAMES)
    seen = PictureSettings("face", 0.3, 64, 0.95, 0.08)
    write_description(model, read_description(model).model_copy(update={"picture": seen}))
    files = [tmp_path / f"{number}.png" for number in range(5)]
    for number, file in enumerate(files):
        picture = portrait(number) if number < 2 else blocks(number, (100, 80))
        picture.save(file)
    files[3].write_text("no picture")
    predictor = Predictor(model)
    alone = predictor.predict(files, keep_images=True)
    together = list(predictor.stream(files, keep_images=True, processes=1))
    assert [answer.faces for answer in alone] == [1, 1, 0, None, 0]
    for pooled, single in zip(together, alone, strict=True):
        assert (pooled.name, pooled.faces, pooled.face) == (single.name, single.faces, single.face)
        assert (pooled.problem, pooled.image) == (single.problem, single.image)
        assert pooled.probabilities == pytest.approx(single.probabilities, abs=1e-5)
    assert pool.cores() == 1 or predictor.processes(pool.FEW) >= 1
    assert predictor.processes(pool.FEW - 1) == 0


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_every_answer_is_written_before_the_next_is_asked_for(
    form: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    files = [Path(f"장원영 {number}.png") for number in range(5)]

    def stream(_: Predictor, files: list[Path], **settings: object) -> Iterator[Prediction]:
        assert settings["processes"] == len(files)
        for number, file in enumerate(files):
            is_written = [str(other) in out.getvalue() for other in files[:number]]
            assert all(is_written)
            yield Prediction(str(file), label="None", probability=0.5, probabilities={"None": 0.5})

    monkeypatch.setattr(Predictor, "stream", stream)
    monkeypatch.setattr(Predictor, "processes", lambda _, pictures: pictures)
    prediction.answer(model, prediction.Request(files, "1", form), out)
    assert str(files[-1]) in out.getvalue()
    if form == "table":  # whose columns are known before its rows
        header, first, *_ = out.getvalue().splitlines()
        assert header.startswith("picture       name     probability  looked at")
        assert first.startswith("장원영 0.png  None     0.500        whole picture")


def test_none_readable_is_one_line(
    folder: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder / "gone.png", "--model", model) == 2
    streams = capsys.readouterr()
    assert "gone.png" in streams.out
    assert len(streams.err.splitlines()) == 1


def test_an_untrained_model_says_so_beside_its_answers_and_on_its_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    titles = []
    monkeypatch.setattr(sheets, "strip", lambda *_, title: titles.append(title))
    image = tmp_path / "a.png"
    Image.new("RGB", (80, 80), "red").save(image)
    (tmp_path / "model").mkdir()
    model = make_model(tmp_path / "model", NAMES)
    arguments = ["predict", str(image), "--model", str(model), "--figure", str(tmp_path / "f.png")]
    command = "dvc exp run -S backbone.arch=efficientnet_lite0"  # its pictures are whole ones
    cli.main(arguments)
    warning = "whoswho: warning: untrained (random weights): its answers mean nothing; "
    assert warning in (err := capsys.readouterr().err)
    assert command in err
    assert titles == [f"untrained (random weights)\n{command}"]
    description = read_description(model)
    trained = description.backbone.model_copy(update={"entry": "IMAGENET1K_V2"})
    write_description(model, description.model_copy(update={"backbone": trained}))
    cli.main(arguments)
    assert "random weights" not in capsys.readouterr().err
    assert titles[1] == ""


# Why


def trained(values: np.ndarray, targets: np.ndarray, kept: np.ndarray) -> Trainer:
    """A head trained on some of the pictures, as the product trains one."""
    train = PARAMS.train.model_copy(update={"epochs": 60, "head": [16], "device": "cpu"})
    features = Features(values[None, kept].astype(np.float32), targets[kept])
    picture = PictureSettings("whole", 0.3, 64, 0.9, 0.06)
    dataset = Dataset(Path(), ("A", "B", "C"), picture, {})
    data = TrainingData(dataset, "resnet18", {}, {"train": features, "validation": features})
    recipe, device = Recipe(train, PARAMS.augment, 0), torch.device("cpu")
    trainer = Trainer(head_task(data, recipe, device), train, device, ProcessGroup())
    trainer.run()
    return trainer


def answers(trainer: Trainer, values: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return trainer.task.module(torch.from_numpy(values.astype(np.float32))).argmax(1).numpy()


def test_the_pictures_named_are_those_that_taught_the_answer() -> None:
    """Under B lie pictures of somebody who is more like A: without them A is answered."""
    dice = np.random.default_rng(0)
    places = dice.standard_normal((3, 24)) * 3
    targets = np.repeat(np.arange(3), 30)
    values = places[targets] + dice.standard_normal((90, 24))
    wrong = 0.6 * places[0] + 0.4 * places[1] + 2 * dice.standard_normal(24)
    planted = np.array([30, 31, 32])  # the first of B
    values[planted] = wrong + 0.5 * dice.standard_normal((3, 24))
    questions = wrong + 0.5 * dice.standard_normal((20, 24))
    everything = np.arange(90)
    first = answers(trained(values, targets, everything), questions)
    assert (first == 1).mean() > 0.8
    neighbours = Neighbours(
        fit_centres(Features(values[None].astype(np.float32), targets)),
        [f"{number}.jpg" for number in everything],
        np.array(["A", "B", "C"])[targets],
        values.astype(np.float32),
        {"30.jpg": "https://example.org/30"},
        {"30.jpg": "keep", "31.jpg": "kept"},
        {},
    )
    question = Prediction("x", label="B", features=questions[0].astype(np.float32))
    nearest = neighbours.nearest(question)
    assert {each.file for each in nearest} == {"30.jpg", "31.jpg", "32.jpg"}
    assert nearest[0].similarity >= nearest[1].similarity >= nearest[2].similarity > 0.5
    (known,) = [each for each in nearest if each.file == "30.jpg"]
    assert (known.source, known.decision) == ("https://example.org/30", "keep")
    named = [int(each.file.removesuffix(".jpg")) for each in nearest]
    without = answers(trained(values, targets, np.setdiff1d(everything, named)), questions)
    others = dice.choice(np.setdiff1d(np.flatnonzero(targets == 1), named), 3, replace=False)
    at_random = answers(trained(values, targets, np.setdiff1d(everything, others)), questions)
    assert (without != first).sum() > 5 + (at_random != first).sum()


def test_an_answer_without_features_is_explained_by_nothing() -> None:
    empty = np.zeros((0, 4), np.float32)
    centres = Centres(np.zeros(4, np.float32), np.ones(4, np.float32), empty)
    neighbours = Neighbours(centres, [], np.array([], str), empty, {}, {}, {})
    assert neighbours.nearest(Prediction("x", problem="gone")) == []


def test_why_is_asked_of_the_training_at_hand_alone(
    folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "dvc.yaml").touch()
    (folder / "artifacts" / "features").mkdir(parents=True)
    (folder / "artifacts" / "features" / "index.json").write_text("{}")
    monkeypatch.chdir(folder)
    assert run("a/1.png", "--model", model, "--why") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "not the features that this model was trained on" in line
