"""The split is a function of the pictures themselves, and grows with them without drifting."""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict

import pytest

from whoswho.errors import UserError
from whoswho.pictures.splitting import assign

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}
Picture = tuple[str, str, str]


def alone(label: str, *numbers: int) -> list[Picture]:
    hashes = [hashlib.sha256(f"{label}/{n}".encode()).hexdigest() for n in numbers]
    return [(sha256, label, sha256) for sha256 in hashes]


def grouped(label: str, sizes: list[int]) -> list[Picture]:
    pictures, number = [], 0
    for size in sizes:
        members = [
            hashlib.sha256(f"{label}/{number + n}".encode()).hexdigest() for n in range(size)
        ]
        pictures += [(sha256, label, min(members)) for sha256 in members]
        number += size
    return pictures


def test_the_fractions_hold_in_every_label() -> None:
    pictures = alone("a", *range(100)) + alone("b", *range(40)) + alone("c", *range(7))
    split = assign(pictures, FRACTIONS, 0)
    counts = defaultdict(Counter)
    for sha256, label, _ in pictures:
        counts[label][split[sha256]] += 1
    assert counts["a"] == {"test": 15, "validation": 15, "train": 70}
    assert counts["b"] == {"test": 6, "validation": 6, "train": 28}
    assert counts["c"] == {"test": 1, "validation": 1, "train": 5}
    assert len(split) == 147


def test_order_and_repetition_change_nothing() -> None:
    pictures = grouped("a", [1, 3, 2] * 9) + grouped("b", [1] * 20)
    expected = assign(pictures, FRACTIONS, 0)
    for turn in range(5):
        mixed = pictures[:]
        random.Random(turn).shuffle(mixed)
        assert assign(mixed, FRACTIONS, 0) == expected


def test_another_seed_draws_another_split() -> None:
    pictures = alone("a", *range(60))
    assert assign(pictures, FRACTIONS, 0) != assign(pictures, FRACTIONS, 1)


def test_groups_stay_together() -> None:
    dice = random.Random(3)
    for _ in range(50):
        pictures = grouped("a", [dice.randint(1, 5) for _ in range(dice.randint(3, 30))])
        split = assign(pictures, FRACTIONS, dice.randrange(100))
        homes = defaultdict(set)
        for sha256, _, group in pictures:
            homes[group].add(split[sha256])
        assert all(len(home) == 1 for home in homes.values())
        assert set(split.values()) == {"train", "validation", "test"}


def test_the_name_of_a_group_does_not_matter() -> None:
    """It may change with a dropped copy; what ranks is the smallest picture that is there."""
    pictures = grouped("a", [1, 3, 2] * 9)
    renamed = [(sha256, label, f"{group[::-1]}") for sha256, label, group in pictures]
    assert assign(renamed, FRACTIONS, 0) == assign(pictures, FRACTIONS, 0)


def test_groups_over_two_labels_stay_together() -> None:
    a, b = alone("a", *range(20)), alone("b", *range(20))
    b = [
        (sha256, label, a[n][2] if n < 8 else group) for n, (sha256, label, group) in enumerate(b)
    ]
    split = assign(a + b, FRACTIONS, 0)
    for n in range(8):
        assert split[a[n][0]] == split[b[n][0]]
    assert {split[sha256] for sha256, _, _ in b} == {"train", "validation", "test"}


@pytest.mark.parametrize("grown", [1, 3])
def test_what_is_added_moves_at_most_the_boundary(grown: int) -> None:
    """Of the pictures that were there, so many move as were added, and none from test to train."""
    left_the_test = 0
    for turn in range(200):
        count = 20 + turn % 40
        before = alone(f"label {turn}", *range(count))
        after = before + alone(f"label {turn}", *range(1000, 1000 + grown))
        was, now = assign(before, FRACTIONS, 0), assign(after, FRACTIONS, 0)
        moved = [(was[sha256], now[sha256]) for sha256 in was if was[sha256] != now[sha256]]
        assert ("test", "train") not in moved
        assert ("train", "test") not in moved
        for boundary in ({"test", "validation"}, {"validation", "train"}):
            assert sum(set(pair) == boundary for pair in moved) <= grown
        left_the_test += any(pair[0] == "test" for pair in moved)
    assert left_the_test < 200 * 0.15 * 1.5 * grown  # the chance that a new one lands there


def test_other_labels_do_not_notice() -> None:
    a = alone("a", *range(30))
    assert (
        assign(a, FRACTIONS, 0).items() <= assign(a + alone("b", *range(50)), FRACTIONS, 0).items()
    )


def test_without_a_test_fraction_there_is_no_test() -> None:
    split = assign(alone("a", *range(10)), {"train": 0.8, "validation": 0.2, "test": 0}, 0)
    assert Counter(split.values()) == {"train": 8, "validation": 2}


@pytest.mark.parametrize("count", range(3, 12))
def test_small_labels_have_at_least_one_in_each(count: int) -> None:
    few, many = {"train": 0.98, "validation": 0.01, "test": 0.01}, {"test": 0.98}
    for fractions in (FRACTIONS, few, {"train": 0.01, "validation": 0.01} | many):
        split = assign(alone("a", *range(count)), fractions, 0)
        assert set(split.values()) == {"train", "validation", "test"}


@pytest.mark.parametrize("count", [1, 2])
def test_a_label_too_small_is_named_with_its_count(count: int) -> None:
    pictures = alone("a", *range(30)) + alone("장원영", *range(count))
    with pytest.raises(UserError, match=f"'장원영': {count} picture"):
        assign(pictures, FRACTIONS, 0)


def test_look_alikes_alone_do_not_fill_the_splits() -> None:
    with pytest.raises(UserError, match="9 pictures, all look-alikes in 2 groups") as caught:
        assign(grouped("a", [5, 4]), FRACTIONS, 0)
    assert "cut away the frame or background that they share" in str(caught.value)


def test_two_pictures_are_enough_for_two_splits() -> None:
    split = assign(alone("a", 1, 2), {"train": 0.5, "validation": 0.5, "test": 0.0}, 0)
    assert sorted(split.values()) == ["train", "validation"]
