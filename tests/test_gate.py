"""The gate: a pure decision, with every reason it has."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from support.face_versions import judged, trained
from support.press_faces import PressFaces, fixture_press_faces  # noqa: F401

from whoswho.artifacts.model.description import FORMAT
from whoswho.lifecycle.registry.gate import ComparedModel, changes, decide
from whoswho.params import Promote

POLICY = Promote(
    margin=0.02, recall_floor=0.3, significance=None, strangers_margin=0.1, newcomer_likeness=0.7
)
TEST = [f"t{n}" for n in range(100)]
RIGHT, WRONG = judged("a", "a", "a"), judged("a", "b", "b")


def facts(name: str = "version 2", right: int = 90, **changed: object) -> ComparedModel:
    test = {picture: RIGHT if number < right else WRONG for number, picture in enumerate(TEST)}
    made = ComparedModel(
        name=name, format=str(FORMAT), labels=("a", "b"), untrained_backbone=False,
        train=frozenset({"p", "q"}), test=test, recall={"a": 0.9, "b": 0.8},
        strangers_caught=0.9, likeness={"a": 0.6, "b": 0.5},
    )  # fmt: skip
    return replace(made, **changed)  # type: ignore[arg-type]


def test_a_first_model_passes_without_a_champion() -> None:
    decision = decide(facts(), None, POLICY)
    assert decision.allowed
    assert decision.notes == ("there is no champion to compare with",)


def test_labels_told_without_their_faces_are_a_note_and_no_reason() -> None:
    told = {"surroundings": ["a"], "file": ["a", "b"]}
    decision = decide(facts(shortcuts=told), facts("version 1"), POLICY)
    assert decision.allowed
    assert decision.notes[:2] == (
        "told without the face above chance, by what surrounds it: a",
        "told without the face above chance, by the file's size, shape, brightness and site: a, b",
    )


@pytest.mark.parametrize(("right", "allowed"), [(95, True), (90, True), (88, True), (87, False)])
def test_the_margin_is_counted_on_the_common_test_pictures(right: int, allowed: bool) -> None:
    decision = decide(facts(right=right), facts("version 1", right=90), POLICY)
    assert decision.allowed is allowed
    assert f"{right} against 90 right of 100" in decision.notes[0]
    assert "McNemar p = " in decision.notes[0]


def test_pictures_that_only_one_of_them_was_tested_on_do_not_count() -> None:
    candidate = facts(right=100, test={"t0": WRONG, **{f"new{n}": RIGHT for n in range(99)}})
    decision = decide(candidate, facts("version 1", right=90), POLICY)
    assert not decision.allowed
    assert "0 against 1 right of 1 common" in decision.reasons[0]
    apart = decide(facts(test={"x": RIGHT}), facts("version 1"), POLICY)
    assert apart.reasons == ("it shares no test picture with version 1",)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"untrained_backbone": True}, "its backbone is untrained (random weights)"),
        ({"test": {}}, "it has no test pictures"),
        ({"recall": {"a": 0.9, "b": 0.29}}, "recall below 0.3 of b (0.29)"),
        ({"recall": {"a": 0.9, "b": None}}, "no test picture of b"),
        ({"labels": ("x", "y"), "recall": {"x": 1.0, "y": 1.0}}, "it knows none of the people of"),
        ({"strangers_caught": 0.79}, "of people left out in turn 79% are unknown to it, 90% to"),
        ({"train": frozenset({"t1", "t2"})}, "2 of its 100 test pictures also taught it"),
        (
            {"format": "9"},
            "version 2 is of format 9, this code reads format 3; newer code wrote it",
        ),
    ],
)
def test_each_reason_is_said(changed: dict[str, object], reason: str) -> None:
    decision = decide(facts(**changed), facts("version 1"), POLICY)
    assert not decision.allowed
    assert reason in "; ".join(decision.reasons)


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
    strict = Promote(
        margin=0.02,
        recall_floor=0.3,
        significance=0.05,
        strangers_margin=0.1,
        newcomer_likeness=0.7,
    )
    slightly, clearly = facts(right=91), facts(right=99)
    assert decide(slightly, facts("version 1", right=90), POLICY).allowed
    refused = decide(slightly, facts("version 1", right=90), strict)
    assert "not better than version 1 at significance 0.05" in refused.reasons[0]
    assert decide(clearly, facts("version 1", right=90), strict).allowed
    assert decide(slightly, None, strict).allowed


# Another list of people


def with_newcomer(**changed: object) -> ComparedModel:
    """`facts` with a third person c, and 50 test pictures of theirs."""
    test = facts().test | {f"c{n}": judged("c", "c", "c") for n in range(50)}
    made = facts(
        labels=("a", "b", "c"), test=test, recall={"a": 0.9, "b": 0.8, "c": 1.0},
        likeness={"a": 0.6, "b": 0.5, "c": 0.5},
    )  # fmt: skip
    return replace(made, **changed)  # type: ignore[arg-type]


def test_a_newcomer_passes_and_the_notes_say_what_changes() -> None:
    decision = decide(with_newcomer(), facts("version 1"), POLICY)
    assert decision.allowed
    assert "90 against 90 right of 100 common test pictures of the people" in decision.notes[0]
    assert decision.notes[1:] == (
        "other people than version 1: new c",
        "0 of 100 answers to common test pictures change",
    )


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"recall": {"a": 0.9, "b": 0.8, "c": 0.2}}, "recall below 0.3 of c (0.20)"),
        ({"strangers_caught": 0.5}, "it names more strangers than version 1"),
        ({"likeness": {"a": 0.6, "b": 0.5, "c": 0.3}}, "among those of c (0.30 against 0.55)"),
    ],
)
def test_what_speaks_against_a_newcomer(changed: dict[str, object], reason: str) -> None:
    decision = decide(with_newcomer(**changed), facts("version 1"), POLICY)
    assert not decision.allowed
    assert reason in "; ".join(decision.reasons)


def test_a_newcomer_that_takes_known_people_is_worse_than_the_champion() -> None:
    """Three of a's pictures are called c: also where c is told from everybody else."""
    test = dict(with_newcomer().test) | {f"t{n}": judged("a", "c", "c") for n in range(3)}
    decision = decide(with_newcomer(test=test), facts("version 1"), POLICY)
    assert "worse than version 1 beyond 0.02: 87 against 90" in decision.reasons[0]
    assert "3 of 100 answers to common test pictures change: a: a -> c (3)" in decision.notes


def test_a_person_may_be_taken_out() -> None:
    """Their test pictures count for nothing any more."""
    decision = decide(facts(), with_newcomer(name="version 1"), POLICY)
    assert decision.allowed
    assert "other people than version 1: gone c" in decision.notes


def test_what_users_see_change_counts_unknown_as_an_answer() -> None:
    before = facts(test={"t0": RIGHT, "t1": RIGHT, "t2": WRONG})
    after = facts(test={"t0": judged("a", "a", "unknown"), "t1": RIGHT, "t2": WRONG})
    assert changes(after, before) == [
        "1 of 3 answers to common test pictures change: a: a -> unknown"
    ]


def test_what_was_not_measured_is_said() -> None:
    bare = with_newcomer(likeness={}, strangers_caught=None)
    decision = decide(bare, facts("version 1"), POLICY)
    assert decision.allowed
    assert sum("not measured" in note for note in decision.notes) == 2


ADDED = {"sound": 10, "somebody else": 5, "strangers": 5}


@pytest.fixture(scope="module")
def additions(press_faces: PressFaces) -> list[tuple[str, ComparedModel, ComparedModel]]:
    """(kind, version with three people and a newcomer, champion with the three)."""
    names = np.array(press_faces.labels)[press_faces.targets]
    pairs = [
        (known, newcomer)
        for known in itertools.combinations(press_faces.labels, 3)
        for newcomer in press_faces.labels
        if newcomer not in known
    ]
    kinds = [kind for kind, count in ADDED.items() for _ in range(count)]
    dice = np.random.default_rng(0)
    dice.shuffle(kinds)
    champions: dict[tuple[str, ...], ComparedModel] = {}
    made = []
    for kind, (known, newcomer) in zip(kinds, pairs, strict=True):
        if known not in champions:
            rows = np.isin(names, known)
            champions[known] = trained("version 1", press_faces.vectors[rows], names[rows])
        given = poisoned(names, known, newcomer, kind, dice)
        rows = np.isin(given, [*known, newcomer])
        candidate = trained("version 2", press_faces.vectors[rows], given[rows])
        made.append((kind, candidate, champions[known]))
    return made


def poisoned(
    names: NDArray[np.str_], known: tuple[str, ...], newcomer: str, kind: str,
    dice: np.random.Generator,
) -> NDArray[np.str_]:  # fmt: skip
    """The labels once 30 % of the newcomer's folder are of one known person, or of strangers."""
    given = names.copy()
    if kind == "sound":
        return given
    whose = [dice.choice(known)] if kind == "somebody else" else set(names) - {*known, newcomer}
    there = np.flatnonzero(np.isin(names, list(whose)))
    count = round(0.3 / 0.7 * (names == newcomer).sum())
    given[dice.choice(there, count, replace=False)] = newcomer
    return given


def test_sound_additions_pass_and_poisoned_ones_are_refused(
    additions: list[tuple[str, ComparedModel, ComparedModel]],
) -> None:
    for kind, candidate, champion in additions:
        decision = decide(candidate, champion, POLICY)
        assert decision.allowed is (kind == "sound"), (kind, candidate.labels, decision)
        (newcomer,) = set(candidate.labels) - set(champion.labels)
        told = " ".join(decision.reasons)
        assert kind == "sound" or newcomer in told or "names more strangers" in told, told


def test_taking_one_of_the_four_out_again_passes(
    additions: list[tuple[str, ComparedModel, ComparedModel]],
) -> None:
    for kind, four, three in additions:
        if kind == "sound":
            decision = decide(replace(three, name="version 3"), four, POLICY)
            assert decision.allowed, decision
