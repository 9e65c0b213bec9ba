"""`whoswho export`: the folder answers as the model does, and without this program."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.drawn_sets import draw_set
from support.lifecycle_models import make_model
from support.pictures import portrait

from whoswho import cli, paths
from whoswho.arches import DLIB
from whoswho.artifacts.model.description import read_description, write_description
from whoswho.artifacts.model.settings import PictureSettings
from whoswho.artifacts.split import open_prepared
from whoswho.backbone.weights import packages
from whoswho.errors import UserError
from whoswho.exporting import export
from whoswho.inference.model import load_model
from whoswho.inference.predictor import Predictor
from whoswho.pictures import embedding

LABELS = ("O'Neil", "장원영")
PICTURE = PictureSettings("whole", 0.3, 64, 0.9, 0.06)
# Runs a program as if the packages named first were not installed.
WITHOUT = """
import json, runpy, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv.pop(1))))
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, its card, and prepared test pictures of which it calls some unknown."""
    root = tmp_path_factory.mktemp("export 새")
    (root / "dvc.yaml").touch()
    (root / "params.yaml").write_text("{}")
    counts = {split: dict.fromkeys(LABELS, 6) for split in ("train", "validation", "test")}
    dataset = draw_set(root / paths.DATASET, counts)
    folder = root / paths.MODEL
    folder.mkdir(parents=True)
    make_model(folder, LABELS, seed=3)
    images = [open_prepared(example.path) for example in dataset.examples["test"]]
    similarity = load_model(folder).answer(images).similarity
    limit = float(np.median(similarity))
    description = read_description(folder)
    changes = {"picture": PICTURE, "min_similarity": limit, "temperature": 1.7}
    write_description(folder, description.model_copy(update=changes))
    (root / paths.REPORTS).mkdir()
    (root / paths.REPORTS / "model_card.md").write_text("the card")
    return root


def exported(workspace: Path, target: Path, form: export.Format) -> list[str]:
    return export.export(workspace / paths.MODEL, "mine", target, form, workspace)


@pytest.fixture(scope="module")
def onnx(workspace: Path) -> tuple[Path, list[str]]:
    """The folder, and what was said of it: the slowest of the three."""
    return workspace / "onnx", exported(workspace, workspace / "onnx", "onnx")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "torchscript", "safetensors"])
def test_the_folder_answers_as_the_model_does(
    workspace: Path, tmp_path: Path, form: export.Format, onnx: tuple[Path, list[str]]
) -> None:
    out, lines = onnx
    if form != "onnx":
        out, lines = tmp_path / "out", exported(workspace, tmp_path / "out", form)
    assert "12 test pictures: the same names, probabilities differ by at most" in lines[1]
    difference = float(lines[1].rpartition(" ")[2])
    assert difference < 1e-4
    settings = json.loads((out / export.SETTINGS).read_text("utf-8"))
    assert (out / settings["file"]).stat().st_size > 1_000_000
    assert tuple(settings["labels"]) == LABELS
    assert settings["temperature"] == 1.7
    assert settings["picture"]["size"] == 64
    assert (out / export.CARD).read_text("utf-8") == "the card"
    if form == "safetensors":
        again = load_model(out)
        assert again.labels == LABELS


@pytest.mark.slow
def test_the_example_needs_onnxruntime_and_pillow_alone(
    workspace: Path, tmp_path: Path, onnx: tuple[Path, list[str]]
) -> None:
    example = onnx[0] / "example.py"
    tree = ast.parse(example.read_text("utf-8"))
    roots = {alias.name for node in tree.body if isinstance(node, ast.Import)
             for alias in node.names}  # fmt: skip
    assert roots == {"json", "sys", "numpy", "onnxruntime"}  # numpy comes with onnxruntime
    code = [line for line in example.read_text("utf-8").split('"""')[2].splitlines() if line]
    assert len(code) <= 30
    portrait(0).save(tmp_path / "a.png")
    (expected,) = Predictor(workspace / paths.MODEL).predict([tmp_path / "a.png"])
    absent = json.dumps(["torch", "torchvision", "whoswho", "mlflow"])
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, absent, example, tmp_path / "a.png"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    name, numbers = done.stdout.strip().split("\t")
    probability, similarity = map(float, numbers.split())
    assert name == expected.title
    assert probability == pytest.approx(expected.probability, abs=2e-4)
    assert similarity == pytest.approx(expected.similarity, abs=2e-4)


@pytest.mark.slow
def test_of_dlibs_backbone_the_head_alone_is_exported(tmp_path: Path) -> None:
    state = packages.state_in(embedding.PACKAGE)
    (tmp_path / "model").mkdir()
    folder = make_model(tmp_path / "model", LABELS, backbone=state, arch=DLIB)
    for form in ("onnx", "safetensors"):
        lines = export.export(folder, "mine", tmp_path / form, form, tmp_path)
        assert "the head alone" in lines[1]
        assert (tmp_path / form / export.FILES[form]).stat().st_size < 1_000_000
        assert not (tmp_path / form / "example.py").exists()
        settings = json.loads((tmp_path / form / export.SETTINGS).read_text("utf-8"))
        assert settings["input"]["dimensions"] == ["pictures", 128]


def test_answers_that_differ_export_nothing(workspace: Path) -> None:
    model = load_model(workspace / paths.MODEL)

    def wrong(pixels: np.ndarray) -> export.Arrays:
        count = len(pixels)
        return np.tile([0.9, 0.1], (count, 1)), np.zeros(count), np.zeros(count, bool)

    with pytest.raises(UserError, match="nothing was exported"):
        export.compare(model, wrong, workspace)


def test_what_is_there_stays(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "kept.txt").write_text("kept")
    monkeypatch.chdir(workspace)
    command = ["export", str(tmp_path), "--format", "safetensors", "--model", "artifacts/model"]
    with pytest.raises(SystemExit) as ended:
        cli.main(command)
    assert ended.value.code == 2
    assert "name a new folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_an_absent_package_is_named(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"needs onnxruntime: .*\[export\]"):
        exported(workspace, tmp_path / "out", "onnx")
    assert list(tmp_path.iterdir()) == []
