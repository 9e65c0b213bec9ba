"""The learning rate over time, and what a mistake losss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from support.repository import REPOSITORY

from whoswho import params
from whoswho.training.batches import epoch_order
from whoswho.training.optimization import Loss, build_optimizer, build_scheduler, training_dtype

RECIPE = params.load_params(REPOSITORY).train
UNEVEN = np.array([0] * 30 + [1] * 10 + [2] * 2)


def recipe(**changes: object) -> params.Train:
    return params.Train.model_validate(RECIPE.model_dump() | changes)


def rates(train: params.Train, steps: int) -> list[float]:
    """The learning rate of each step, of a highest one of 1."""
    optimizer = build_optimizer(train, [{"params": [torch.zeros(1)], "lr": 1.0}])
    scheduler = build_scheduler(train, optimizer, steps)
    learning_rates = []
    for _ in range(train.epochs * steps):
        learning_rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return learning_rates


def test_the_blogs_rate_is_constant() -> None:
    assert set(rates(RECIPE, 7)) == {1.0}


def test_the_rate_rises_in_a_line_and_falls_in_a_cosine() -> None:
    learning_rates = rates(recipe(epochs=10, warmup=2, schedule="cosine"), 10)
    rise = np.diff(learning_rates[:20])
    assert rise == pytest.approx(np.full(19, rise[0]))
    assert 0 < learning_rates[0] < 0.06
    assert max(learning_rates) == learning_rates[20] == 1
    assert np.all(np.diff(learning_rates[20:]) < 0)
    assert learning_rates[60] == pytest.approx((1 + math.cos(math.pi / 2)) / 2)
    assert 0 < learning_rates[-1] < 0.001
    assert set(rates(recipe(epochs=4, warmup=0.5), 10)[5:]) == {1.0}


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_an_optimizer_steps_as_torchs_own_does(name: str) -> None:
    """And takes its state up again; what is left out is the import of torch's compiler."""
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[name]
    more = {"momentum": 0.9} if name == "sgd" else {}
    start = torch.linspace(-1, 1, 7)
    ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    train = recipe(optimizer=name, weight_decay=0.01)
    mine = build_optimizer(train, [{"params": [ours], "lr": 0.1}])
    other = kind([{"params": [theirs], "lr": 0.1}], weight_decay=0.01, **more)
    assert isinstance(mine, kind)
    for step in range(4):
        if step == 2:
            state = mine.state_dict()
            assert state["param_groups"] == other.state_dict()["param_groups"]
            mine = build_optimizer(train, [{"params": [ours], "lr": 0.5}])
            mine.load_state_dict(state)
        for values, optimizer in ((ours, mine), (theirs, other)):
            optimizer.zero_grad()
            (values**3).sum().backward()
            optimizer.step()
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, start)


def test_a_rare_labels_mistakes_weigh_as_much_as_a_common_ones() -> None:
    loss = Loss(recipe(balance="weights"), UNEVEN, 4)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=UNEVEN)
    assert loss.weights[:3].numpy() == pytest.approx(expected)
    per_label = [loss.weight(UNEVEN[label == UNEVEN]) for label in range(3)]
    assert per_label == pytest.approx([14, 14, 14])


@pytest.mark.parametrize("balance", ["none", "weights"])
def test_the_loss_is_torchs_mean(balance: str) -> None:
    loss = Loss(recipe(balance=balance, label_smoothing=0.1), UNEVEN, 3)
    logits = torch.randn(42, 3, generator=torch.Generator().manual_seed(0))
    targets = torch.from_numpy(UNEVEN)
    expected = torch.nn.functional.cross_entropy(
        logits, targets, weight=loss.weights, label_smoothing=0.1
    )
    mean = loss.sum(logits, targets).item() / loss.weight(UNEVEN)
    assert mean == pytest.approx(expected.item(), rel=1e-5)


def test_the_sampler_draws_each_label_equally_often_and_every_picture_of_a_rare_one() -> None:
    train = recipe(balance="sampler")
    drawn = epoch_order(train, 0, UNEVEN)
    assert np.bincount(UNEVEN[drawn]).tolist() == [14, 14, 14]
    assert {40, 41} <= set(drawn.tolist())
    assert len(set(drawn[UNEVEN[drawn] == 0].tolist())) == 14
    assert epoch_order(train, 0, UNEVEN).tolist() == drawn.tolist()
    assert epoch_order(train, 1, UNEVEN).tolist() != drawn.tolist()


def test_without_a_sampler_an_epoch_is_every_picture_once() -> None:
    first, second = (epoch_order(RECIPE, epoch, UNEVEN) for epoch in (0, 1))
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(42))
    assert first.tolist() != second.tolist()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patience": 3}, "patience needs a metric to watch"),
        ({"warmup": 3, "epochs": 3}, "warmup must end before the last epoch"),
        ({"balance": "weight"}, "balance"),
        ({"backbone_decay": 0.0}, "backbone_decay"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipe(**changes)


def test_precision_is_the_devices_own() -> None:
    device = torch.device("cpu")
    assert training_dtype(device, "fp32") == torch.float32
    assert training_dtype(device, "bf16") == torch.bfloat16
    assert training_dtype(device, "auto") in (torch.float32, torch.bfloat16)
    assert training_dtype(torch.device("mps"), "auto") == torch.float32
