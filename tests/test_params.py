"""params.yaml: whatever is wrong with it is said in one line that names the key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from support.repository import REPOSITORY

from whoswho import params
from whoswho.artifacts.model.description import HeadShape
from whoswho.backbone import network
from whoswho.errors import UserError

GOOD = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")


def load(folder: Path, text: str) -> params.Params:
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    return params.load_params(folder)


def test_the_blogs_recipe_is_one_command() -> None:
    """Its head, loss, batches, rate and epochs, by the command in docs/training.md."""
    text = (REPOSITORY / "docs" / "training.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"dvc exp run --temp (.*standardize=false.*)", text)
    changes = dict(change.split("=") for change in command.split("-S ")[1:])
    read = params.load_params(REPOSITORY)
    train = read.train.model_dump()
    for name, value in changes.items():
        train[name.strip().removeprefix("train.")] = YAML(typ="safe").load(value)
    blog = params.Train.model_validate(train)
    assert (blog.epochs, blog.batch, blog.lr) == (3, 32, 1e-3)
    assert (blog.optimizer, blog.schedule, blog.label_smoothing) == ("adam", "constant", 0.0)
    head = network.build_head(2048, 5, HeadShape(tuple(blog.head), blog.dropout, blog.standardize))
    assert [str(layer) for layer in head] == [
        "Linear(in_features=2048, out_features=128, bias=True)",
        "ReLU()",
        "Linear(in_features=128, out_features=5, bias=True)",
    ]
    assert (read.picture.size, read.backbone.unfreeze) == (224, 0)
    assert read.backbone.weights == ["IMAGENET1K_V2", "random"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: null", "name: a/b", "project.name: must be a name such as 'a-b', not 'a/b'"),
        ("  epochs: 30", "  epohcs: 30", "train.epohcs: unknown; did you mean train.epochs?"),
        ("  false_reject_rate: ", "  false_rejects: ", "did you mean train.false_reject_rate?"),
        ("\ntrain: ", "\ntrian: ", "trian: unknown; did you mean train?"),
        ("  epochs: 30", "  # ", "train.epochs: missing"),
        ("lr: 0.001", "lr: fast", "train.lr: input should be a valid number, not 'fast'"),
        ("lr: 0.001", "lr: -1", "train.lr: input should be greater than 0, not -1"),
        ("lr: 0.001", "lr: .nan", "train.lr: input should be a finite number"),
        ("epochs: 30", "epochs: true", "train.epochs: input should be a valid integer, not True"),
        ("epochs: 30", "epochs: 2.5", "train.epochs: input should be a valid integer, not 2.5"),
        ("epochs: 30", "epochs: 0", "train.epochs: input should be greater than or equal to 1"),
        ("head: [128]", "head: 128", "train.head: input should be a valid list, not 128"),
        ("unfreeze: 0 ", "unfreeze: 7 ", "backbone.unfreeze: 7 is not one of 0, 1, 2, 3, 4 or"),
        ("crop: face", "crop: nose", "picture.crop: 'nose' is not one of 'face' or 'whole'"),
        ("train: 0.70", "train: 0.90", "split: train + validation + test must be 1, not 1.2"),
        ("scale: [0.8, 1.2]", "scale: [2.0, 1.2]", "augment: scale must go from small to large"),
        ("significance: null", "significance: high", "promote.significance: input should be a"),
        ("  epochs: 30", "  epochs: 30\n  epochs: 4", 'found duplicate key "epochs"'),
        ("train:  ", "train: [", "line "),
    ],
)
def test_one_line_names_the_key_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in GOOD
    with pytest.raises(UserError) as error:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert str(tmp_path / "params.yaml") in str(error.value)


def test_an_absent_file_says_how_to_restore_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not there; restore it with `git checkout params.yaml`"):
        params.load_params(tmp_path)


def test_an_empty_file_and_another_encoding_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no sections"):
        load(tmp_path, "# nothing\n")
    (tmp_path / "params.yaml").write_bytes("a: 가나".encode("cp949"))
    with pytest.raises(UserError, match="not UTF-8"):
        params.load_params(tmp_path)


def test_numbers_are_read_as_dvc_reads_them(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD.replace("lr: 0.001", "lr: 1e-2")).train.lr == 0.01


def test_flatten_names_every_knob_as_in_the_file() -> None:
    flat = params.flatten(params.load_params(REPOSITORY))
    assert flat["train.lr"] == 1e-3
    assert flat["register.when"] == "always"
    for name in flat:
        section, _, key = name.partition(".")
        assert f"\n{section}:" in f"\n{GOOD}"
        assert f"\n  {key}:" in GOOD
