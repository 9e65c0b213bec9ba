"""The gate: a pure decision, with every reason it has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from whoswho.artifacts.model.description import FORMAT
from whoswho.lifecycle.gate import ComparedModel, decide
from whoswho.params import Promote

POLICY = Promote(margin=0.02, recall_floor=0.3, significance=None)
TEST = {f"t{n}": True for n in range(100)}


def facts(name: str = "version 2", right: int = 90, **changed: object) -> ComparedModel:
    test = {picture: number < right for number, picture in enumerate(TEST)}
    made = ComparedModel(
        name=name, format=str(FORMAT), labels=("a", "b"), untrained_backbone=False,
        train=frozenset({"p", "q"}), test=test, recall={"a": 0.9, "b": 0.8},
    )  # fmt: skip
    return replace(made, **changed)  # type: ignore[arg-type]


def test_a_first_model_passes_without_a_champion() -> None:
    decision = decide(facts(), None, POLICY)
    assert decision.allowed
    assert decision.notes == ("there is no champion to compare with",)


@pytest.mark.parametrize(("right", "allowed"), [(95, True), (90, True), (88, True), (87, False)])
def test_the_margin_is_counted_on_the_common_test_pictures(right: int, allowed: bool) -> None:
    decision = decide(facts(right=right), facts("version 1", right=90), POLICY)
    assert decision.allowed is allowed
    assert f"{right} against 90 right of 100" in decision.notes[0]
    assert "McNemar p = " in decision.notes[0]


def test_pictures_that_only_one_of_them_was_tested_on_do_not_count() -> None:
    candidate = facts(right=100, test={"t0": False, **{f"new{n}": True for n in range(99)}})
    decision = decide(candidate, facts("version 1", right=90), POLICY)
    assert not decision.allowed
    assert "0 against 1 right of 1 common" in decision.reasons[0]
    apart = decide(facts(test={"x": True}), facts("version 1"), POLICY)
    assert apart.reasons == ("it shares no test picture with version 1",)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"untrained_backbone": True}, "its backbone is untrained (random weights)"),
        ({"test": {}}, "it has no test pictures"),
        ({"recall": {"a": 0.9, "b": 0.29}}, "recall below 0.3 of b (0.29)"),
        ({"recall": {"a": 0.9, "b": None}}, "no test picture of b"),
        ({"labels": ("a", "c"), "recall": {"a": 1.0, "c": 1.0}}, "new c, gone b"),
        ({"train": frozenset({"t1", "t2"})}, "2 of its 100 test pictures also taught it"),
        ({"format": "9"}, "version 2 is of format 9"),
    ],
)
def test_each_reason_is_said(changed: dict[str, object], said: str) -> None:
    decision = decide(facts(**changed), facts("version 1"), POLICY)
    assert not decision.allowed
    assert said in "; ".join(decision.reasons)


def test_a_champion_taught_with_the_test_pictures_cannot_be_compared() -> None:
    decision = decide(facts(), facts("version 1", train=frozenset({"t5"})), POLICY)
    assert "1 of its 100 test pictures taught version 1" in decision.reasons[0]


def test_a_champion_of_an_unknown_format_is_refused() -> None:
    assert not decide(facts(), facts("version 1", format="9"), POLICY).allowed


def test_all_reasons_come_at_once() -> None:
    decision = decide(facts(untrained_backbone=True, recall={"a": 0.1, "b": 0.2}), None, POLICY)
    assert len(decision.reasons) == 2
    assert "a (0.10), b (0.20)" in decision.reasons[1]


def test_labels_in_another_order_are_the_same_labels() -> None:
    assert decide(facts(labels=("b", "a")), facts("version 1"), POLICY).allowed


def test_significance_is_asked_only_where_the_policy_says_so() -> None:
    strict = Promote(margin=0.02, recall_floor=0.3, significance=0.05)
    slightly, clearly = facts(right=91), facts(right=99)
    assert decide(slightly, facts("version 1", right=90), POLICY).allowed
    refused = decide(slightly, facts("version 1", right=90), strict)
    assert "not better than version 1 at significance 0.05" in refused.reasons[0]
    assert decide(clearly, facts("version 1", right=90), strict).allowed
    assert decide(slightly, None, strict).allowed
