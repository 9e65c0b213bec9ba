"""Training: the blog's recipe to the number, the same result however often it is interrupted."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from support.drawn_sets import draw_set
from support.gpu import PLACE, needs_cuda, needs_gpu
from support.repository import REPOSITORY
from torch import nn

from whoswho import params
from whoswho.artifacts.features import Features, load_features
from whoswho.artifacts.model.description import METRICS, HeadShape, HistoryRow, mean_and_std
from whoswho.artifacts.model.settings import PictureSettings
from whoswho.artifacts.split import Dataset
from whoswho.backbone import extraction, network
from whoswho.backbone.compute import device
from whoswho.backbone.loading import loader
from whoswho.backbone.loading.process_group import ProcessGroup
from whoswho.backbone.network import State, Unfreeze
from whoswho.errors import UserError
from whoswho.training import loop
from whoswho.training.batches import epoch_order, join_small_batch, split_batches
from whoswho.training.checkpoint import Checkpoint
from whoswho.training.data import network_task
from whoswho.training.fit import Fitted, fit
from whoswho.training.inputs import Recipe, TrainingData, training_key
from whoswho.training.loop import Trainer
from whoswho.training.optimization import MOMENTUM, build_optimizer
from whoswho.training.standardization import feature_mean_and_std

ARCH = "resnet18"
AUGMENT = params.Augment(views=2, shear=10.0, scale=[0.8, 1.2], flip=0.5, seed=0)
RECIPE = params.load_params(REPOSITORY).train.model_copy(
    update={"epochs": 3, "device": "cpu", "precision": "fp32"}
)
UNFREEZE: tuple[Unfreeze, ...] = (0, 1, 2, 3, 4, "all")
K_BATCHES_AND_ONE = {"train": {"A": 5, "B": 4}, "validation": {"A": 2, "B": 2}}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Nine pictures to learn from: two batches of four and one."""
    return draw_set(tmp_path_factory.mktemp("set"), K_BATCHES_AND_ONE, size=32)


@pytest.fixture(scope="module")
def backbone() -> State:
    return network.random_backbone(ARCH, 0)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Features]:
    """Features as a backbone gives them, 65 pictures of three labels seen twice."""
    dice = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("features")
    features = {}
    for split, views, count in (("train", 2, 65), ("validation", 1, 20)):
        targets = np.arange(count) % 3
        values = dice.normal(18, 19, (views, count, 40)) + 12 * np.eye(3, 40)[targets]
        np.save(folder / f"{split}.npy", values.astype(np.float32))
        mapped = np.load(folder / f"{split}.npy", mmap_mode="r")
        features[split] = Features(mapped, targets.astype(np.int64))
    return features


def three_labels() -> Dataset:
    picture = PictureSettings("whole", 0.3, 64, 0.9, 0.06)
    return Dataset(Path("artifacts/dataset"), ("A", "B", "C"), picture, {})


def fit_with(
    data: TrainingData, unfreeze: Unfreeze, train: dict[str, object], **settings: object
) -> Fitted:
    """Train as the blog does, but for `train` and those of `settings` that are params of train."""
    changed = {k: v for k, v in settings.items() if k in RECIPE.model_fields}
    recipe = Recipe(RECIPE.model_copy(update=train | changed), AUGMENT, unfreeze)
    more = {k: v for k, v in settings.items() if k not in RECIPE.model_fields}
    return fit(data, recipe, **more)  # type: ignore[arg-type]


def fit_head(stored: dict[str, Features], **settings: object) -> Fitted:
    return fit_with(TrainingData(three_labels(), ARCH, {}, stored), 0, {}, **settings)


def fit_network(
    dataset: Dataset, backbone: State, unfreeze: Unfreeze, batch: int = 4, **settings: object
) -> Fitted:
    train: dict[str, object] = {"batch": batch, "epochs": 2, "backbone_lr": 0.01}
    return fit_with(TrainingData(dataset, ARCH, backbone, None), unfreeze, train, **settings)


@pytest.fixture
def validation_logits(monkeypatch: pytest.MonkeyPatch) -> list[NDArray[np.float32]]:
    """The logits of the validation pictures after each epoch that is trained from here on."""
    recorded: list[NDArray[np.float32]] = []
    plain = Trainer.validation_logits

    def recording(self: Trainer) -> NDArray[np.float32]:
        recorded.append(plain(self))
        return recorded[-1]

    monkeypatch.setattr(Trainer, "validation_logits", recording)
    return recorded


def same_state(first: Fitted, second: Fitted) -> bool:
    return save(first.state) == save(second.state)


def learning_names(unfreeze: Unfreeze) -> tuple[str, ...]:
    """Starts of the names, in a ResNet's backbone, of what learns."""
    if unfreeze == "all":
        return ("",)
    return tuple(f"layer{n}." for n in range(int(unfreeze), 5)) if unfreeze else ()


# The recipe


@pytest.mark.parametrize("standardize", [False, True])
def test_stored_features_give_the_losses_of_a_plain_loop(
    standardize: bool, stored: dict[str, Features]
) -> None:
    train, watched = stored["train"], stored["validation"]
    head = network.build_head(40, 3, HeadShape((128,), 0.0, standardize), 0)
    if standardize:
        rows = torch.from_numpy(np.array(train.values, np.float64)).reshape(-1, 40)
        head.standardize.mean.copy_(rows.mean(0))  # type: ignore[union-attr, operator]
        head.standardize.deviation.copy_(rows.std(0, correction=0))  # type: ignore[union-attr, operator]
    adam = torch.optim.Adam(head.parameters())
    expected = []
    for epoch in range(3):
        loss_sum = right = 0.0
        order = epoch_order(RECIPE, epoch, train.targets)
        for start in range(0, 65, 32):
            chosen = order[start : start + 32]
            x = torch.from_numpy(train.values[epoch % 2][chosen])
            y = torch.from_numpy(train.targets[chosen])
            logits = head(x)
            loss = nn.functional.cross_entropy(logits, y)
            adam.zero_grad()
            loss.backward()
            adam.step()
            loss_sum += loss.item() * len(y)
            right += (logits.argmax(1) == y).sum().item()
        with torch.inference_mode():
            logits = head(torch.from_numpy(np.array(watched.values[0])))
            y = torch.from_numpy(watched.targets)
            values = (
                loss_sum / 65, right / 65, nn.functional.cross_entropy(logits, y).item(),
                (logits.argmax(1) == y).float().mean().item(),
            )  # fmt: skip
        row = dict(zip(METRICS, values, strict=True))
        expected.append({"epoch": epoch + 1, **row})
    history = fit_head(stored, standardize=standardize).history
    assert len(history) == 3
    for actual, row in zip(history, expected, strict=True):
        assert actual == pytest.approx(row, rel=1e-5)


def test_standardised_features_learn_where_the_blogs_head_hardly_does(
    stored: dict[str, Features],
) -> None:
    with_it = fit_head(stored, epochs=8).history[-1]["validation/loss"]
    without = fit_head(stored, epochs=8, standardize=False).history[-1]["validation/loss"]
    assert with_it < 0.9 * without


def test_mean_and_deviation_are_those_of_all_rows_and_a_constant_stays_finite() -> None:
    rows = np.random.default_rng(0).normal(5, 2, (5000, 3)).astype(np.float32)
    rows[:, 1] = 7
    mean, deviation = feature_mean_and_std(iter([rows[:4500], rows[4500:]]))
    assert mean.numpy() == pytest.approx(rows.mean(axis=0), rel=1e-5)
    assert deviation.numpy() == pytest.approx([rows[:, 0].std(), 1, rows[:, 2].std()], rel=1e-4)


def test_the_fitted_network_is_backbone_and_head_and_says_what_it_said_of_validation(
    dataset: Dataset,
    backbone: State,
    tmp_path: Path,
    validation_logits: list[NDArray[np.float32]],
) -> None:
    body, width = network.backbone_from(ARCH, backbone)
    extraction.extract(dataset, body, width, "0" * 64, AUGMENT, tmp_path)
    stored = load_features(tmp_path, dataset, "0" * 64)
    fitted = fit(TrainingData(dataset, ARCH, backbone, stored), Recipe(RECIPE, AUGMENT, 0))
    assert {name for name in fitted.state if name.startswith("backbone.")} == {
        f"backbone.{name}" for name in backbone
    }
    head = network.build_head(width, 2, fitted.head)
    head.load_state_dict(
        {n.removeprefix("head."): v for n, v in fitted.state.items() if n.startswith("head.")}
    )
    with torch.inference_mode():
        logits = head.eval()(torch.from_numpy(np.array(stored["validation"].values[0])))
    assert torch.equal(logits, torch.from_numpy(validation_logits[fitted.epoch - 1]))


# C1


@pytest.mark.parametrize("unfreeze", UNFREEZE)
def test_frozen_tensors_equal_the_backbone_file_after_training(
    unfreeze: Unfreeze, dataset: Dataset, backbone: State, stored: dict[str, Features]
) -> None:
    before = {name: value.clone() for name, value in backbone.items()}
    if unfreeze == 0:
        fitted = fit_with(TrainingData(three_labels(), ARCH, backbone, stored), 0, {})
    else:
        fitted = fit_network(dataset, backbone, unfreeze)
    learns = learning_names(unfreeze)
    for name, value in before.items():
        assert torch.equal(backbone[name], value), (
            f"{name}: training changed the caller's backbone"
        )
        same = torch.equal(fitted.state[f"backbone.{name}"], value)
        assert same == (not name.startswith(learns)), name


@pytest.mark.parametrize("batch", [1, 4, 8, 9, 32])
def test_every_picture_is_learned_from_whatever_the_batch(
    batch: int, dataset: Dataset, backbone: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The last block of a ResNet sees one place of a picture of 32 pixels: a batch norm that learns
    # there raises on a single picture.
    sizes: list[int] = []
    plain = loop.forward

    def counting(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        return plain(module, x)

    monkeypatch.setattr(loop, "forward", counting)
    fitted = fit_network(dataset, backbone, 4, batch, epochs=1)
    assert sum(sizes) == 9
    assert (1 in sizes) == (batch == 1)
    assert math.isfinite(fitted.history[0]["train/loss"])


def test_only_a_last_single_picture_joins_its_neighbours() -> None:
    def sizes(count: int, batch: int) -> list[int]:
        joined = join_small_batch(split_batches(np.arange(count), batch), 2)
        assert np.concatenate(joined).tolist() == list(range(count))
        return [len(part) for part in joined]

    assert sizes(33, 32) == [33]
    assert sizes(65, 32) == [32, 33]
    assert sizes(66, 32) == [32, 32, 2]
    assert sizes(3, 1) == [1, 1, 1]
    assert sizes(1, 32) == [1]


# The same result


def test_training_twice_gives_the_same_bytes_and_another_seed_does_not(
    stored: dict[str, Features],
) -> None:
    first = fit_head(stored, dropout=0.3)
    assert same_state(first, fit_head(stored, dropout=0.3))
    assert not same_state(first, fit_head(stored, dropout=0.3, seed=1))


def test_fine_tuning_twice_gives_the_same_bytes(dataset: Dataset, backbone: State) -> None:
    assert same_state(fit_network(dataset, backbone, 3), fit_network(dataset, backbone, 3))


class Cut(BaseException):
    """An interruption."""


def interrupted(at: int, seen: list[HistoryRow]) -> object:
    def on_epoch(row: HistoryRow) -> None:
        seen.append(row)
        if row["epoch"] == at:
            raise Cut

    return on_epoch


def same_after_a_kill(fit: Callable[..., Fitted], whole: Fitted, folder: Path, at: int) -> None:
    """Cut a training after epoch `at` and take it up again: it ends as the whole one did."""
    kept = Checkpoint(folder / "kept.pt", "key")
    with pytest.raises(Cut):
        fit(checkpoint=kept, on_epoch=interrupted(at, []))
    resumed = fit(checkpoint=kept)
    assert resumed.history == whole.history
    assert same_state(resumed, whole)


@pytest.mark.parametrize("way", ["head", "network"])
def test_an_interrupted_training_ends_as_if_it_had_not_been(
    way: str, dataset: Dataset, backbone: State, stored: dict[str, Features], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def fit(**more: object) -> Fitted:
        if way == "head":
            return fit_head(stored, epochs=4, dropout=0.3, **more)
        return fit_network(dataset, backbone, 4, epochs=4, dropout=0.3, **more)

    whole = fit()
    kept = Checkpoint(tmp_path / "kept" / "training.pt", "key")
    for at in (1, 3):
        with pytest.raises(Cut):
            fit(checkpoint=kept, on_epoch=interrupted(at, []))
    seen: list[HistoryRow] = []
    capsys.readouterr()
    resumed = fit(checkpoint=kept, on_epoch=seen.append)
    assert capsys.readouterr().out == "training goes on after epoch 3\n"
    assert same_state(whole, resumed)
    assert resumed.history == whole.history == seen
    assert [row["epoch"] for row in seen] == [1, 2, 3, 4]
    assert [path.name for path in kept.path.parent.iterdir()] == ["training.pt"]
    kept.remove()
    assert not kept.path.exists()
    kept.remove()


def test_a_process_of_another_machine_goes_on_from_the_main_ones_checkpoint(
    stored: dict[str, Features], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Checkpoint(tmp_path / "kept.pt", "key")
    whole = fit_head(stored, checkpoint=kept)
    snapshot = kept.read()
    monkeypatch.setattr(ProcessGroup, "from_main", lambda self, value: snapshot)
    monkeypatch.setattr(ProcessGroup, "data_parallel", lambda self, module: module)
    older = Checkpoint(tmp_path / "older.pt", "key")
    older.write({"history": []})
    other = fit_head(stored, checkpoint=older, process_group=ProcessGroup(1, 2))
    assert other.history == whole.history
    assert same_state(other, whole)


def test_processes_that_open_pictures_change_nothing(
    dataset: Dataset, backbone: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = functools.partial(fit_network, dataset, backbone, 4, epochs=3, dropout=0.3)
    whole = fit()
    monkeypatch.setattr(loader, "num_workers", lambda device: 2)
    monkeypatch.setattr(loader, "MIN_PICTURES", 1)
    same_after_a_kill(fit, whole, tmp_path, at=1)


def test_an_epoch_cut_before_its_checkpoint_is_done_again_once(
    stored: dict[str, Features], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Checkpoint(tmp_path / "training.pt", "key")
    write = Checkpoint.write

    def cut_in_second(self: Checkpoint, state: dict[str, object]) -> None:
        if len(state["history"]) == 2:  # type: ignore[arg-type]
            raise Cut
        write(self, state)

    monkeypatch.setattr(Checkpoint, "write", cut_in_second)
    first: list[HistoryRow] = []
    with pytest.raises(Cut):
        fit_head(stored, checkpoint=kept, on_epoch=first.append)
    monkeypatch.undo()
    seen: list[HistoryRow] = []
    resumed = fit_head(stored, checkpoint=kept, on_epoch=seen.append)
    # The row was never told before its checkpoint lay on disk, so none can be told twice.
    assert [row["epoch"] for row in first] == [1]
    assert [row["epoch"] for row in seen] == [1, 2, 3]
    assert same_state(resumed, fit_head(stored))


@pytest.mark.parametrize("damage", ["half", "text", "other key"])
def test_a_checkpoint_of_no_use_is_told_and_training_starts_anew(
    damage: str, stored: dict[str, Features], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "training.pt"
    with pytest.raises(Cut):
        fit_head(stored, checkpoint=Checkpoint(path, "key"), on_epoch=interrupted(2, []))
    if damage == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if damage == "text":
        path.write_text("no checkpoint")
    kept = Checkpoint(path, "other" if damage == "other key" else "key")
    fitted = fit_head(stored, checkpoint=kept)
    (line,) = capsys.readouterr().out.splitlines()
    assert same_state(fitted, fit_head(stored))
    why = "another configuration" if damage == "other key" else "damaged"
    assert str(path) in line
    assert why in line
    assert "anew" in line


def test_the_key_tells_inputs_and_settings_apart() -> None:
    known = {"dataset": "1", "backbone": "2", "features": "3"}
    recipe = Recipe(RECIPE, AUGMENT, 0)
    keys = {
        training_key(known, recipe),
        training_key({**known, "features": "4"}, recipe),
        training_key(known, Recipe(RECIPE.model_copy(update={"lr": 0.1}), AUGMENT, 0)),
        training_key(known, Recipe(RECIPE, AUGMENT.model_copy(update={"seed": 1}), 0)),
        training_key(known, Recipe(RECIPE, AUGMENT, 4)),
    }
    assert len(keys) == 5
    assert training_key(dict(reversed(known.items())), recipe) in keys


# What can go wrong


def test_a_loss_that_is_not_finite_names_epoch_batch_and_cause_and_keeps_the_rest(
    stored: dict[str, Features], tmp_path: Path
) -> None:
    kept = Checkpoint(tmp_path / "training.pt", "key")
    seen: list[HistoryRow] = []
    values = np.array(stored["train"].values)
    finite = {**stored, "train": dataclasses.replace(stored["train"], values=values)}

    def poison(row: HistoryRow) -> None:
        seen.append(row)
        values[1, epoch_order(RECIPE, 1, finite["train"].targets)[40]] = (
            np.inf
        )  # in the second batch of epoch 2

    with pytest.raises(UserError, match=r"loss is nan in epoch 2, batch 2.*inputs are not finite"):
        fit_head(finite, checkpoint=kept, on_epoch=poison)
    state = kept.read()
    assert state is not None
    assert state["history"] == seen
    assert all(bool(torch.isfinite(value).all()) for value in state["module"].values())


def test_a_learning_rate_too_high_is_named(stored: dict[str, Features]) -> None:
    with pytest.raises(
        UserError, match=r"in epoch \d+, batch \d+;.*too high \(1e\+30\).*train\.lr"
    ):
        fit_head(stored, lr=1e30)


@pytest.mark.parametrize("keep", ["last", "validation/loss"])
def test_a_loss_that_is_not_finite_in_validation_alone_is_named(
    stored: dict[str, Features], keep: str, tmp_path: Path
) -> None:
    """One epoch of one batch: its loss is from before the step that ruins the head (J1)."""
    kept = Checkpoint(tmp_path / "training.pt", "key")
    with pytest.raises(UserError, match=r"loss is \S+ in epoch 1, validation;.*too high"):
        fit_head(stored, lr=1e30, epochs=1, batch=1000, keep=keep, checkpoint=kept)
    assert kept.read() is None


def test_features_that_are_not_finite_stop_before_the_first_epoch(
    stored: dict[str, Features],
) -> None:
    values = np.array(stored["train"].values)
    values[0, 3, 5] = np.nan
    bad = {**stored, "train": dataclasses.replace(stored["train"], values=values)}
    with pytest.raises(UserError, match=r"artifacts/features.*not finite.*backbone\.weights"):
        fit_head(bad)


@pytest.mark.parametrize("on_a_gpu", [False, True])
def test_too_little_memory_names_a_batch_to_try(
    on_a_gpu: bool, stored: dict[str, Features], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
        if on_a_gpu:
            raise torch.OutOfMemoryError
        return torch.empty(2**60)

    monkeypatch.setattr(loop, "forward", full)
    with pytest.raises(UserError, match=r"train\.batch: 32 pictures.*try 16"):
        fit_head(stored)
    with pytest.raises(UserError, match=r"train\.batch: 1 pictures.*the fewest.*picture\.size"):
        fit_head(stored, batch=1)


def test_an_absent_device_is_named() -> None:
    absent = "mps" if not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(UserError, match=rf"train\.device: {absent} is not there.*cpu"):
        device.pick(absent)
    assert device.pick("cpu").type == "cpu"
    assert device.pick("auto").type in ("cpu", "cuda", "mps")


# On a GPU

# Rates so small that two ways of computing answer with the same weights.
STILL = {"epochs": 1, "lr": 1e-9, "backbone_lr": 1e-9}


@needs_gpu
def test_a_gpu_learns_a_head_as_the_processor_does(
    stored: dict[str, Features], validation_logits: list[NDArray[np.float32]]
) -> None:
    settings: dict[str, object] = {"epochs": 5, "dropout": 0.0, "clip": 1.0}
    here, there = (fit_head(stored, device=place, **settings) for place in ("cpu", PLACE.type))
    for first, second in zip(here.history, there.history, strict=True):
        assert second == pytest.approx(first, rel=1e-3)
    assert validation_logits[9] == pytest.approx(validation_logits[4], rel=1e-2, abs=1e-2)
    assert all(value.device.type == "cpu" for value in there.state.values())


@needs_gpu
def test_a_gpu_fine_tunes_as_the_processor_does(tmp_path: Path, backbone: State) -> None:
    # Batch norms over many places do not magnify rounding, nor does SGD.
    many = draw_set(tmp_path, {"train": {"A": 16, "B": 16}, "validation": {"A": 4, "B": 4}}, 96)
    fit = functools.partial(
        fit_network, many, backbone, 3, batch=16, optimizer="sgd", lr=1e-3, backbone_lr=1e-4,
        dropout=0.0, standardize=False,
    )  # fmt: skip
    here, there = (fit(device=place) for place in ("cpu", PLACE.type))
    for first, second in zip(here.history, there.history, strict=True):
        assert second == pytest.approx(first, rel=1e-2)


@needs_gpu
@pytest.mark.parametrize(("precision", "near"), [("fp32", 0.02), ("bf16", 0.05), ("fp16", 0.02)])
def test_a_gpu_of_any_precision_stays_near_the_processor(
    precision: str,
    near: float,
    dataset: Dataset,
    backbone: State,
    validation_logits: list[NDArray[np.float32]],
) -> None:
    fit_network(dataset, backbone, 4, **STILL)
    there = fit_network(dataset, backbone, 4, device=PLACE.type, precision=precision, **STILL)
    assert validation_logits[1] == pytest.approx(validation_logits[0], abs=near)
    assert {value.dtype for value in there.state.values()} == {torch.float32, torch.int64}


@needs_cuda
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_gives_the_same_bytes_twice_and_after_a_kill(
    precision: str, dataset: Dataset, backbone: State, tmp_path: Path
) -> None:
    fit = functools.partial(
        fit_network, dataset, backbone, 3, device="cuda", precision=precision, epochs=3,
        accumulate=2, clip=1.0, dropout=0.3, optimizer="adamw",
    )  # fmt: skip
    whole = fit()
    same_after_a_kill(fit, whole, tmp_path, at=2)


@needs_cuda
def test_a_full_gpu_names_a_batch_to_try(tmp_path: Path, backbone: State) -> None:
    many = draw_set(tmp_path, {"train": {"A": 64, "B": 64}, "validation": {"A": 1, "B": 1}}, 160)
    torch.cuda.empty_cache()
    # The network and its gradients fit, what a step of so many pictures keeps does not.
    held = torch.cuda.memory_reserved() + 400 * 2**20
    torch.cuda.set_per_process_memory_fraction(held / torch.cuda.mem_get_info()[1])
    try:
        with pytest.raises(UserError, match=r"train\.batch: 128 pictures .* cuda:0; try 64 with"):
            fit_network(many, backbone, "all", batch=128, device="cuda", standardize=False)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


# Ways of learning


def test_lower_blocks_learn_more_slowly(dataset: Dataset, backbone: State) -> None:
    train = RECIPE.model_copy(update={"backbone_lr": 0.01, "backbone_decay": 0.1, "lr": 0.003})
    data = TrainingData(dataset, ARCH, backbone, None)
    recipe = Recipe(train, AUGMENT, "all")
    task = network_task(data, recipe, torch.device("cpu"), ProcessGroup())
    rates = [group["lr"] for group in task.groups]
    assert rates == pytest.approx([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 3e-3])
    learning = {id(p) for p in task.module.parameters() if p.requires_grad}
    assert {id(p) for group in task.groups for p in group["params"]} == learning


def test_accumulated_batches_make_the_steps_of_one_large_batch(
    stored: dict[str, Features],
) -> None:
    ways = {"balance": "weights", "label_smoothing": 0.1, "clip": 0.5}
    large = fit_head(stored, batch=32, **ways)
    parts = fit_head(stored, batch=8, accumulate=4, **ways)
    for first, second in zip(large.history, parts.history, strict=True):
        assert second == pytest.approx(first, rel=1e-4)
    small = fit_head(stored, batch=8, **ways)
    assert small.history[-1] != pytest.approx(large.history[-1], rel=1e-3)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_each_optimizer_is_torchs(optimizer: str) -> None:
    kinds = {
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
        "sgd": functools.partial(torch.optim.SGD, momentum=MOMENTUM),
    }
    draw = torch.Generator().manual_seed(0)
    start = [torch.randn(3, 2, generator=draw), torch.randn(4, generator=draw)]
    own, theirs = ([tensor.clone().requires_grad_() for tensor in start] for _ in range(2))
    train = RECIPE.model_copy(update={"optimizer": optimizer, "weight_decay": 0.1})
    groups = [{"params": own[:1], "lr": 0.1}, {"params": own[1:], "lr": 0.01}]
    ours = build_optimizer(train, groups)
    reference = kinds[optimizer](
        [{"params": theirs[:1], "lr": 0.1}, {"params": theirs[1:], "lr": 0.01}], weight_decay=0.1
    )
    for _ in range(6):
        for parameters, moving in ((own, ours), (theirs, reference)):
            moving.zero_grad()
            sum((p**3).sum() + p.sin().sum() for p in parameters).backward()  # type: ignore[union-attr]
            moving.step()
        for tensor, other in zip(own, theirs, strict=True):
            assert torch.equal(tensor, other)


def test_a_clipped_step_is_no_longer_than_its_limit(
    stored: dict[str, Features], monkeypatch: pytest.MonkeyPatch
) -> None:
    norms: list[float] = []
    plain = Trainer._optimizer_step

    def watching(self: Trainer) -> None:
        plain(self)
        gradients = [p.grad.flatten() for p in self.task.module.parameters() if p.grad is not None]
        norms.append(torch.cat(gradients).norm().item())

    monkeypatch.setattr(Trainer, "_optimizer_step", watching)
    fit_head(stored, optimizer="sgd", clip=0.05)
    assert max(norms) == pytest.approx(0.05, rel=1e-3)
    norms.clear()
    fit_head(stored, optimizer="sgd")
    assert max(norms) > 0.1


def overfitting(stored: dict[str, Features]) -> dict[str, Features]:
    """Validation labels that nothing taught: its loss rises from some epoch on."""
    watched = stored["validation"]
    turned = dataclasses.replace(watched, targets=np.roll(watched.targets, 1))
    return {**stored, "validation": turned}


@pytest.mark.parametrize("keep", ["validation/loss", "validation/accuracy"])
def test_the_best_epoch_is_kept_and_patience_ends_the_rest(
    keep: str,
    stored: dict[str, Features],
    tmp_path: Path,
    validation_logits: list[NDArray[np.float32]],
) -> None:
    worse = overfitting(stored)
    whole = fit_head(worse, epochs=12, keep=keep)
    values = [row[keep] for row in whole.history]
    best = (max if keep.endswith("accuracy") else min)(values)
    assert whole.epoch == 1 + values.index(best)
    assert whole.epoch < 12, "the case must have a best epoch before its last"
    logits = torch.from_numpy(validation_logits[whole.epoch - 1])
    targets = torch.from_numpy(worse["validation"].targets)
    measured = {
        "validation/loss": nn.functional.cross_entropy(logits, targets).item(),
        "validation/accuracy": (logits.argmax(1) == targets).double().mean().item(),
    }
    assert measured[keep] == pytest.approx(best)
    stopped = fit_head(worse, epochs=12, keep=keep, patience=2)
    assert len(stopped.history) < 12
    assert len(stopped.history) - stopped.epoch == 2
    assert stopped.history == whole.history[: len(stopped.history)]
    # Also where the best epoch lies before an interruption.
    kept = Checkpoint(tmp_path / "training.pt", "key")
    with pytest.raises(Cut):
        fit_head(
            worse, epochs=12, keep=keep, checkpoint=kept, on_epoch=interrupted(whole.epoch + 1, [])
        )
    resumed = fit_head(worse, epochs=12, keep=keep, checkpoint=kept)
    assert same_state(resumed, whole)


def test_everything_at_once_resumes_to_the_same_bytes(
    dataset: Dataset, backbone: State, tmp_path: Path
) -> None:
    def fit(**more: object) -> Fitted:
        return fit_network(
            dataset, backbone, 3, epochs=4, optimizer="sgd", schedule="cosine", warmup=1.5,
            clip=1.0, label_smoothing=0.1, balance="sampler", accumulate=2, dropout=0.2,
            keep="validation/loss", precision="bf16", weight_decay=0.01, **more,
        )  # fmt: skip

    whole = fit()
    same_after_a_kill(fit, whole, tmp_path, at=2)


def test_sixteen_bit_fine_tuning_stays_near_thirty_two(
    dataset: Dataset, backbone: State, validation_logits: list[NDArray[np.float32]]
) -> None:
    # In training mode a batch norm over four pictures of one place enlarges any rounding.
    exact = fit_network(dataset, backbone, 4, **STILL)
    rounded = fit_network(dataset, backbone, 4, precision="bf16", **STILL)
    assert rounded.history[0] != exact.history[0]
    assert validation_logits[1] == pytest.approx(validation_logits[0], abs=0.05)
    assert all(value.dtype != torch.bfloat16 for value in rounded.state.values())


def test_repeats_have_their_own_seeds_and_the_first_is_the_model(
    stored: dict[str, Features],
) -> None:
    once = fit_head(stored)
    several = fit_head(stored, repeats=3)
    assert same_state(once, several)
    assert [row["seed"] for row in several.repeats] == [0, 1, 2]
    assert several.repeats[1] == {"seed": 1, **without_epoch(fit_head(stored, seed=1).history[-1])}
    losses = [row["validation/loss"] for row in several.repeats]
    assert len(set(losses)) == 3
    mean, deviation = mean_and_std(several.repeats, "validation/loss")
    assert mean == pytest.approx(np.mean(losses))
    assert deviation == pytest.approx(np.std(losses, ddof=1))
    assert f"over 3 seeds {np.mean([r['validation/accuracy'] for r in several.repeats]):.3f}" in (
        several.sentence
    )


def without_epoch(row: HistoryRow) -> HistoryRow:
    return {name: value for name, value in row.items() if name != "epoch"}


def test_repeats_of_a_fine_tuned_backbone_are_an_error(dataset: Dataset, backbone: State) -> None:
    with pytest.raises(UserError, match=r"train\.repeats: 2 repeats need a frozen backbone"):
        fit_network(dataset, backbone, 4, repeats=2)


def test_a_set_without_validation_pictures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no validation pictures"):
        draw_set(tmp_path, {"train": {"A": 2, "B": 2}})
