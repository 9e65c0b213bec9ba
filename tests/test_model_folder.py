"""The model as a folder: complete, of a known format, nothing in it that runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from support.lifecycle_models import make_centres

from whoswho import paths, tables
from whoswho.artifacts.model.backbone import BackboneSource
from whoswho.artifacts.model.description import (
    FORMAT,
    HISTORY_COLUMNS,
    HeadShape,
    ModelDescription,
    model_digest,
    read_description,
    read_history,
    save_model,
    write_description,
)
from whoswho.artifacts.model.settings import PictureSettings
from whoswho.backbone import network
from whoswho.backbone.network import Network
from whoswho.errors import UserError
from whoswho.inference.model import load_model, outputs
from whoswho.pictures import tensors

ARCH = "resnet18"
LABELS = ("None", "아이유", "C++")
PICTURE = {
    "crop": "face", "margin": 0.3, "size": 64, "face_probability": 0.9, "min_face_size": 0.06,
}  # fmt: skip
SHAPE = HeadShape((16,), 0.2, standardize=True)
DESCRIPTION = ModelDescription(
    arch=ARCH,
    labels=LABELS,
    head=SHAPE,
    epoch=2,
    repeats=(),
    picture=PictureSettings(**PICTURE),
    temperature=1.5,
    min_similarity=0.4,
    cross_validation={"cv/accuracy": 0.75},
    params={"train.lr": 0.001},
    inputs={"dataset": "12"},
    backbone=BackboneSource(arch=ARCH, entry="random", sha256="34", origin="seed 0"),
)


def trained() -> Network:
    backbone, width = network.backbone_from(ARCH, network.random_backbone(ARCH, 0))
    for module in backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # as after training
            module.running_mean.uniform_(-0.1, 0.1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    head = network.build_head(width, len(LABELS), SHAPE)
    head.standardize.deviation.fill_(3)  # type: ignore[union-attr, operator]
    return Network(ARCH, backbone, head).eval()


@pytest.fixture(scope="module")
def net() -> Network:
    torch.manual_seed(0)
    return trained()


@pytest.fixture
def folder(net: Network, tmp_path: Path) -> Path:
    state = {name: value.detach() for name, value in net.state_dict().items()}
    state |= make_centres(512, len(LABELS)).to_state()
    history = [
        {
            "epoch": epoch, "train/loss": 1 / epoch, "train/accuracy": 0.5,
            "validation/loss": 1.1, "validation/accuracy": 0.25,
        }
        for epoch in (1, 2)
    ]  # fmt: skip
    with paths.fresh_folder(tmp_path / "model") as out:
        save_model(out, state, DESCRIPTION, history)
    return tmp_path / "model"


def test_a_model_answers_as_the_network_it_was_saved_from(folder: Path, net: Network) -> None:
    model = load_model(folder)
    dice = np.random.default_rng(0)
    images = [Image.fromarray(dice.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(5)]
    with torch.inference_mode():
        expected = net(tensors.to_tensor(images))
        features = net.backbone(tensors.to_tensor(images))
    given = outputs(model.network, images)
    assert given.logits == pytest.approx(expected.numpy(), rel=1e-3, abs=1e-4)
    assert given.features == pytest.approx(features.numpy(), rel=1e-3, abs=1e-4)
    answers = model.answer(images)
    probabilities = torch.softmax(expected.double() / 1.5, dim=1).numpy()
    assert answers.probabilities == pytest.approx(probabilities, abs=1e-5)
    directions = make_centres(512, len(LABELS)).directions
    length = features.norm(dim=1, keepdim=True)
    cosines = (features / length).numpy() @ directions.T
    assert answers.similarity == pytest.approx(cosines.max(axis=1), abs=1e-5)
    assert answers.unknown.tolist() == (cosines.max(axis=1) < 0.4).tolist()


def test_everything_about_a_model_comes_back(folder: Path) -> None:
    assert read_description(folder) == DESCRIPTION
    assert load_model(folder).labels == LABELS
    assert json.loads((folder / "model.json").read_bytes())["format"] == FORMAT
    assert "아이유" in (folder / "model.json").read_text(encoding="utf-8")
    tables.read(folder / "history.csv", HISTORY_COLUMNS)
    rows = read_history(folder)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert [row["train/loss"] for row in rows] == [1.0, 0.5]


def test_a_model_is_three_files_of_which_none_runs(folder: Path) -> None:
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["history.csv", "model.json", "weights.safetensors"]
    centres = {f"centres.{name}" for name in ("mean", "deviation", "directions")}
    tensors = set(load_file(folder / "weights.safetensors"))
    assert tensors == set(trained().state_dict()) | centres


def test_the_digest_names_weights_and_description(folder: Path) -> None:
    first = model_digest(folder)
    assert first == model_digest(folder)
    (folder / "history.csv").write_text("other")
    assert model_digest(folder) == first
    described = (folder / "model.json").read_text(encoding="utf-8")
    (folder / "model.json").write_text(described.replace("0.4", "0.5"), encoding="utf-8")
    second = model_digest(folder)
    spoil(folder / "weights.safetensors")
    assert len({first, second, model_digest(folder)}) == 3
    (folder / "model.json").unlink()
    with pytest.raises(UserError, match=r"model\.json: not there"):
        model_digest(folder)


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4] + b"\1\2\3\4")


@pytest.mark.parametrize("version", [1, 2, 4, "3", None])
def test_another_format_is_refused(version: object, folder: Path) -> None:
    edit(folder, format=version)
    with pytest.raises(UserError, match=rf"its format is {version}, this code reads format 3"):
        load_model(folder)
    with pytest.raises(UserError, match="format"):
        read_description(folder)


def edit(folder: Path, **changes: object) -> None:
    path = folder / "model.json"
    paths.write_json(path, json.loads(path.read_text(encoding="utf-8")) | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": ["A", "B"]},
        {"arch": "resnet50"},
        {"head": {"widths": [8], "dropout": 0, "standardize": True}},
    ],
)
def test_weights_for_something_else_are_refused(changes: dict[str, object], folder: Path) -> None:
    edit(folder, **changes)
    labels = len(changes.get("labels", LABELS))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=rf"does not fit model\.json.*has {labels} labels"):
        load_model(folder)


def test_a_description_that_lacks_something_is_refused(folder: Path) -> None:
    described = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    for name in ("labels", "head", "picture", "temperature", "min_similarity", "backbone"):
        (folder / "model.json").write_text(
            json.dumps({k: v for k, v in described.items() if k != name}), encoding="utf-8"
        )
        with pytest.raises(UserError, match=name):
            load_model(folder)


def test_damaged_and_absent_files_are_named(folder: Path) -> None:
    path = folder / "weights.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"weights\.safetensors: damaged"):
        load_model(folder)
    path.unlink()
    with pytest.raises(UserError, match=r"weights\.safetensors: not there"):
        load_model(folder)
    (folder / "model.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"model\.json: not JSON"):
        load_model(folder)


def test_surplus_weights_are_refused(folder: Path) -> None:
    path = folder / "weights.safetensors"
    save_file({**load_file(path), "head.more.weight": torch.ones(2)}, path)
    with pytest.raises(UserError, match="does not fit"):
        load_model(folder)


def test_repeats_become_mean_and_spread() -> None:
    rows = tuple(
        {"seed": seed, "validation/loss": loss, "validation/accuracy": accuracy}
        for seed, loss, accuracy in ((0, 1.0, 0.5), (1, 2.0, 0.7))
    )
    repeated = DESCRIPTION.model_copy(update={"repeats": rows})
    assert repeated.repeat_metrics == pytest.approx(
        {
            "validation/repeats": 2,
            "validation/loss_mean": 1.5, "validation/loss_deviation": 0.5**0.5,
            "validation/accuracy_mean": 0.6, "validation/accuracy_deviation": 0.02**0.5,
        }
    )  # fmt: skip
    assert DESCRIPTION.model_copy(update={"repeats": rows[:1]}).repeat_metrics == {}


def test_a_seed_stays_a_whole_number(tmp_path: Path) -> None:
    repeats = [{"seed": 3, "validation/loss": 1.0}]
    content = DESCRIPTION.model_dump() | {"repeats": repeats}
    write_description(tmp_path, ModelDescription.model_validate(content))
    assert '"seed": 3,' in (tmp_path / "model.json").read_text()
    write_description(tmp_path, read_description(tmp_path))
    assert '"seed": 3,' in (tmp_path / "model.json").read_text()
    assert '"validation/loss": 1.0' in (tmp_path / "model.json").read_text()
