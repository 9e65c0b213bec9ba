"""The same photograph saved again, cropped, framed, marked, mirrored: found, and nothing else."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations, groupby
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps
from support.repository import REPOSITORY

from whoswho import params
from whoswho.artifacts.decisions import Decision
from whoswho.artifacts.model.settings import Face
from whoswho.cleaning import checks, duplicates, hamming, people
from whoswho.cleaning.fingerprints import RECORD, Fingerprint, fingerprint
from whoswho.cleaning.relations import Relation, look_alike_groups
from whoswho.pictures.opening import open_picture

DEFAULTS = params.load_params(REPOSITORY).clean
SIZE = (360, 280)


def scene(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Shapes of many sizes over smooth ground: something to hold on to everywhere."""
    dice = np.random.default_rng(seed)
    coarse = Image.fromarray(dice.integers(60, 200, (5, 6, 3), dtype=np.uint8))
    image = coarse.resize(size, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for _ in range(45):
        x, y = dice.integers(0, size[0]), dice.integers(0, size[1])
        across, down = dice.integers(8, 60, 2)
        colour = tuple(int(value) for value in dice.integers(0, 256, 3))
        shape = pen.ellipse if dice.random() < 0.6 else pen.rectangle
        shape((x - across / 2, y - down / 2, x + across / 2, y + down / 2), fill=colour)
    return image


def encoded(image: Image.Image, quality: int = 80) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def cropped(
    image: Image.Image, left: float, top: float, right: float, bottom: float
) -> Image.Image:
    """Without these shares of the sides."""
    width, height = image.size
    return image.crop(
        (
            round(left * width), round(top * height),
            round((1 - right) * width), round((1 - bottom) * height),
        )
    )  # fmt: skip


def marked(image: Image.Image) -> Image.Image:
    """Half-transparent letters across the middle."""
    image = image.copy()
    letters = Image.new("L", image.size)
    width, height = image.size
    ImageDraw.Draw(letters).text(
        (width * 0.1, height * 0.45), "agency photo", fill=140, font_size=width // 8
    )
    image.paste((255, 255, 255), mask=letters)
    return image


ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "quality 30": partial(encoded, quality=30),
    "0.3 of the size": lambda image: image.resize((image.width * 3 // 10, image.height * 3 // 10)),
    "2 % off each side": lambda image: cropped(image, 0.02, 0.02, 0.02, 0.02),
    "10 % off one side": lambda image: cropped(image, 0, 0.10, 0, 0),
    "10 % off each side": lambda image: cropped(image, 0.10, 0.10, 0.10, 0.10),
    "20 % off two sides": lambda image: cropped(image, 0.20, 0.20, 0, 0),
    "20 % off each side": lambda image: cropped(image, 0.20, 0.20, 0.20, 0.20),
    "cropped and small": lambda image: cropped(image, 0.1, 0.05, 0.08, 0.1).resize((150, 120)),
    "squeezed": lambda image: image.resize((image.width * 4 // 5, image.height)),
    "cropped and stretched": lambda image: cropped(image, 0.15, 0.05, 0.05, 0.1).resize(
        (300, 190)
    ),
    "mirrored": ImageOps.mirror,
    "mirrored and cropped": lambda image: cropped(ImageOps.mirror(image), 0.1, 0.1, 0.1, 0.1),
    "marked": marked,
    "framed": lambda image: ImageOps.expand(image, image.width // 14, "white"),
    "bars above and below": lambda image: ImageOps.expand(image, (0, image.height // 8), "black"),
}


def captioned(image: Image.Image) -> Image.Image:
    """With a bar of text over its lowest eighth."""
    image = image.copy()
    width, height = image.size
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, height * 7 / 8, width, height), fill=(180, 20, 30))
    pen.text(
        (width / 20, height * 0.89), "Monday evening, in town", "white", font_size=height / 14
    )
    return image


def on_card(portrait: Image.Image, fraction: float) -> Image.Image:
    """A portrait on a news card, over a fraction of its width."""
    card = Image.new("RGB", (400, 500), (20, 40, 110))
    pen = ImageDraw.Draw(card)
    pen.rectangle((0, 0, 400, 55), fill=(190, 20, 30))
    pen.text((20, 8), "DAILY NEWS 24", "white", font_size=34)
    pen.rectangle((0, 440, 400, 500), fill=(240, 240, 240))
    pen.text((20, 446), "Breaking: the latest reports", "black", font_size=22)
    pen.text((20, 476), "www.daily-news.example", "black", font_size=14)
    portrait = portrait.resize((round(400 * fraction), round(400 * fraction * 0.95)))
    card.paste(portrait, ((400 - portrait.width) // 2, 250 - portrait.height // 2))
    return encoded(card)


def on_halves(portrait: Image.Image) -> Image.Image:
    """A small portrait before a wall half dark and half light."""
    wall = Image.new("RGB", (400, 400), (30, 30, 30))
    wall.paste((220, 220, 220), (200, 0, 400, 400))
    wall.paste(portrait.resize((120, 120)), (140, 140))
    return encoded(wall)


def related(
    prints: Sequence[Fingerprint | None], bits: int = 10, least_correlation: float = 0.95
) -> list[Relation]:
    nothing = bytes(RECORD.itemsize)
    store = io.BytesIO(b"".join(each.copies if each else nothing for each in prints))
    kept = [each.without_copies() if each else None for each in prints]
    return duplicates.relations(kept, store, bits, least_correlation)


def kinds(relations: Sequence[Relation]) -> dict[tuple[int, int], str]:
    return {(relation.a, relation.b): relation.kind for relation in relations}


@pytest.fixture(scope="module")
def scenes() -> list[Image.Image]:
    return [scene(seed) for seed in range(24)]


@pytest.fixture(scope="module")
def prints(scenes: list[Image.Image]) -> list[Fingerprint]:
    return [fingerprint(image) for image in scenes]


# --- Pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_copy_is_the_same_photograph(
    name: str, scenes: list[Image.Image], prints: list[Fingerprint]
) -> None:
    copies = [fingerprint(encoded(ALTERED[name](image))) for image in scenes]
    relations = [
        relation for relation in related([*prints, *copies]) if relation.kind == "near_duplicate"
    ]
    count = len(scenes)
    right = [relation for relation in relations if relation.b == relation.a + count]
    assert len(right) >= 0.9 * count
    assert relations == right
    assert all(
        relation.correlation >= DEFAULTS.near_duplicate_min_correlation for relation in right
    )
    assert all(relation.is_mirrored == name.startswith("mirrored") for relation in right)


def test_different_pictures_are_no_copies(prints: list[Fingerprint]) -> None:
    assert related(prints) == []


def test_a_crop_says_how_much_of_the_larger_picture_it_shows() -> None:
    image = scene(1)
    pair = [fingerprint(picture) for picture in (image, cropped(image, 0.2, 0.2, 0, 0))]
    (relation,) = related(pair)
    assert relation.overlap == pytest.approx(0.64, abs=0.03)


@pytest.mark.parametrize("seed", range(4))
def test_shots_of_one_burst_are_not_the_same(seed: int) -> None:
    """The camera has moved, and the person in front of the scene otherwise."""
    scenery, person = scene(seed, (400, 320)), scene(seed + 50, (60, 90))
    shots = []
    for left, top, at in ((0, 0, (150, 130)), (24, 16, (146, 122))):
        shot = scenery.crop((left, top, left + 360, top + 290))
        shot.paste(person, at)
        shots.append(fingerprint(shot))
    assert set(kinds(related(shots)).values()) <= {"alike"}


def test_a_stretched_crop_under_a_caption_is_kept_together(
    scenes: list[Image.Image], prints: list[Fingerprint]
) -> None:
    """Field report G4: width and height scaled differently, cropped, lettered, saved again."""
    copies = []
    for seed, image in enumerate(scenes):
        dice = np.random.default_rng(seed)
        left, top = dice.uniform(0, 0.2, 2)
        part = cropped(image, left, top, 0.25 - left, 0.2 - top)
        stretch = dice.uniform(0.8, 1.25) ** 0.5
        part = part.resize((round(part.width * stretch), round(part.height / stretch)))
        copies.append(fingerprint(encoded(captioned(part), 60)))
    relations = related([*prints, *copies])
    right = [relation for relation in relations if relation.b == relation.a + len(scenes)]
    assert len(right) >= 0.9 * len(scenes)
    assert relations == right


@pytest.mark.parametrize("fraction", [0.6, 0.7, 0.9])
def test_a_card_relates_nobody(scenes: list[Image.Image], fraction: float) -> None:
    """Field report G3."""
    assert related([fingerprint(on_card(image, fraction)) for image in scenes]) == []


def test_a_background_relates_nobody(scenes: list[Image.Image]) -> None:
    """What many pictures have in common counts nothing; a copy is still found."""
    walls = [on_halves(image) for image in scenes]
    again = encoded(walls[0].resize((300, 300)), 60)
    relations = related([fingerprint(image) for image in (*walls, again)])
    assert kinds(relations) == {(0, len(walls)): "near_duplicate"}


def test_what_a_logo_hides_looks_alike() -> None:
    """Too much to be sure; the split still keeps the two on one side."""
    for seed in (0, 2, 3):
        covered = cropped(scene(seed), 0.1, 0.1, 0, 0)
        ImageDraw.Draw(covered).ellipse((100, 80, 140, 120), fill="white")
        pair = [fingerprint(image) for image in (scene(seed), covered)]
        assert kinds(related(pair)) == {(0, 1): "alike"}


def test_what_shares_a_part_only_is_not_related() -> None:
    """One logo on the walls behind two people, one on either side of a collage."""
    logo = scene(3, (110, 90))
    walls = [scene(seed) for seed in (4, 5)]
    for wall in walls:
        wall.paste(logo, (20, 20))
    assert related([fingerprint(wall) for wall in walls]) == []


def test_a_chain_of_near_copies_does_not_swallow_its_ends() -> None:
    """Each is near the next only: what is dropped is near what stays."""
    base, other = scene(1), scene(2)
    chain = [fingerprint(Image.blend(base, other, share)) for share in np.linspace(0, 1, 25)]
    pairs = kinds(related(chain))
    assert pairs[0, 1] == "near_duplicate"
    assert pairs.get((0, 24)) is None


def test_of_equal_pixels_the_first_stands_for_all(prints: list[Fingerprint]) -> None:
    first, second = prints[:2]
    copy = fingerprint(encoded(scene(0)))
    relations = related([first, second, None, first, copy, first])
    assert kinds(relations) == {
        (0, 3): "duplicate", (0, 5): "duplicate", (0, 4): "near_duplicate",
    }  # fmt: skip


def test_nothing_to_compare() -> None:
    assert related([]) == []
    assert related([None, None]) == []
    flat = fingerprint(Image.new("RGB", (200, 150), "grey"))
    thin = fingerprint(Image.new("RGB", (3000, 2), "white"))
    dot = fingerprint(Image.new("RGB", (1, 1)))
    assert related([flat, thin, dot]) == []


def test_order_and_names_change_nothing(
    scenes: list[Image.Image], prints: list[Fingerprint]
) -> None:
    altered = [
        fingerprint(encoded(change(scenes[number])))
        for number, change in enumerate(ALTERED.values())
    ]
    every = [*prints, *altered]
    expected = {
        (
            frozenset((every[relation.a].pixels, every[relation.b].pixels)),
            relation.kind,
            relation.correlation,
        )
        for relation in related(every)
    }
    for seed in (1, 2):
        order = np.random.default_rng(seed).permutation(len(every))
        again = [every[place] for place in order]
        relations = related(again)
        assert relations == sorted(relations, key=lambda relation: (relation.a, relation.b))
        assert expected == {
            (
                frozenset((again[relation.a].pixels, again[relation.b].pixels)),
                relation.kind,
                relation.correlation,
            )
            for relation in relations
        }


def test_the_limits_are_the_users(scenes: list[Image.Image], prints: list[Fingerprint]) -> None:
    pair = [prints[0], fingerprint(marked(scenes[0]))]
    assert kinds(related(pair, 10, 0.9)) == {(0, 1): "near_duplicate"}
    assert kinds(related(pair, 0, 1.0)) == {(0, 1): "alike"}
    assert kinds(related(prints[:4], 64, 0.95)) == {}


def test_thousands_of_copies_cost_what_thousands_of_pictures_cost(
    prints: list[Fingerprint],
) -> None:
    """A site's sign for a missing picture, encoded afresh each time, in many sizes."""
    sign, other = prints[:2]
    family = [
        Fingerprint(f"{number:05}", number, sign.bits ^ number % 3, sign.mirrored, sign.copies)
        for number in range(1500)
    ]
    relations = related([*family, other])
    assert len(relations) <= len(family) * (duplicates.MOST_COPIES + 1)
    assert {relation.kind for relation in relations} == {"near_duplicate"}
    # All are related to the largest, which is the one to stay.
    largest = len(family) - 1
    assert {relation.a for relation in relations if relation.b == largest} == set(range(largest))


# --- Real photographs ----------------------------------------------------------------------------


def test_real_photographs(cases: Path) -> None:
    """All the pairs that were found by eye, six crops that were not, and no other pair."""
    people = cases / "people"
    files = sorted(
        path
        for part in ("sports_celebrities", "raw_crawl")
        for path in (people / part).rglob("*")
        if path.is_file()
    )
    names = [path.relative_to(people).as_posix() for path in files]
    relations = related([fingerprint(open_picture(path)) for path in files])
    with (people / "sports_celebrities_pairs.csv").open(encoding="utf-8", newline="") as file:
        pairs = {
            frozenset(f"sports_celebrities/{row[side]}" for side in ("file_a", "file_b"))
            for row in csv.DictReader(file)
        }
    crops = {
        frozenset(f"raw_crawl/{label}/{number}.jpg" for number in numbers)
        for label, *numbers in (
            ("attaullah_tarar", "000031", "000213"), ("hina_rabbani_khar", "000158", "000225"),
            ("attaullah_tarar", "000002", "000022"), ("khawaja_asif", "000005", "000359"),
            ("ali_amin_gandapur", "000008", "000086"), ("ali_amin_gandapur", "000086", "000162"),
        )
    }  # fmt: skip
    same = {
        frozenset((names[relation.a], names[relation.b]))
        for relation in relations
        if relation.kind != "alike"
    }
    assert same == pairs | crops
    assert len(relations) == len(same)


def test_stretched_crops_of_real_photographs(cases: Path) -> None:
    """Field report G4 on pictures of three sets."""
    files = sorted(
        path
        for part in ("sports_celebrities", "raw_crawl", "idol_face_crops")
        for path in (cases / "people" / part).rglob("*")
        if path.is_file()
    )[::16]
    images = [open_picture(path) for path in files]
    copies = []
    for seed, image in enumerate(images):
        dice = np.random.default_rng(seed)
        (left, top), (wide, high) = dice.uniform(0, 0.15, 2), dice.uniform(0, 0.15, 2)
        part, stretch = cropped(image, left, top, wide, high), dice.uniform(0.8, 1.25) ** 0.5
        part = part.resize((round(part.width * stretch), round(part.height / stretch)))
        copies.append(encoded(captioned(part), 60))
    relations = related([fingerprint(image) for image in (*images, *copies)])
    right = [relation for relation in relations if relation.b == relation.a + len(images)]
    assert len(right) >= 0.9 * len(images)
    assert relations == right


def test_portraits_on_one_card_are_not_related(cases: Path) -> None:
    """Field report G3 with photographs."""
    files = sorted((cases / "people" / "sports_celebrities").rglob("*.jpg"))[::8]
    for change in (lambda image: on_card(image, 0.7), on_halves):
        assert related([fingerprint(change(open_picture(path))) for path in files]) == []


# --- Close hashes --------------------------------------------------------------------------------


def close_pairs(queries: np.ndarray, targets: np.ndarray, most: int) -> set[tuple[int, int, int]]:
    """What comparing all finds."""
    distance = np.bitwise_count(queries[:, None] ^ targets)
    return {(int(i), int(j), int(distance[i, j])) for i, j in np.argwhere(distance <= most)}


def close(queries: np.ndarray, targets: np.ndarray, most: int, best: int) -> hamming.Pairs:
    """What the search finds, sorted by query, then target."""
    parts = hamming.close(queries, targets, most, best)
    rows, places, distance = map(np.concatenate, zip(*parts, strict=True))
    order = np.lexsort((places, rows))
    return rows[order], places[order], distance[order]


def families(seed: int, count: int) -> np.ndarray:
    """Hashes of 63 bits: some equal, some a few bits apart, some anywhere, some with few bits."""
    dice = np.random.default_rng(seed)
    made = dice.integers(0, 2**63, count, dtype=np.uint64)
    for number in range(0, count, 3):
        change = sum(1 << int(bit) for bit in dice.integers(0, 63, dice.integers(0, 16)))
        made[number] = made[dice.integers(0, count)] ^ np.uint64(change)
    made[: count // 10] &= np.uint64(0xFFFF)
    return made


@pytest.mark.parametrize("most", [0, 3, 10, 14, 40, 68])
def test_no_close_hash_is_missed(most: int) -> None:
    queries, targets = families(0, 700), np.concatenate([families(1, 400), families(0, 500)])
    rows, places, distance = close(queries, targets, most, len(targets))
    triples = list(zip(rows.tolist(), places.tolist(), distance.tolist(), strict=True))
    assert triples == sorted(close_pairs(queries, targets, most))


@pytest.mark.parametrize("chunks", [3, 4, 5, 8])
def test_no_close_hash_is_missed_however_the_bits_are_dealt(chunks: int) -> None:
    queries, targets = np.unique(families(0, 900)), np.unique(families(0, 1500))
    for most in (1, 6, 11):
        pairs = [
            pair
            for rows, places in hamming._Chunks(chunks, most).pairs(queries, targets)
            for pair in zip(rows.tolist(), places.tolist(), strict=True)
        ]
        assert len(pairs) == len(set(pairs))
        assert set(pairs) == {pair[:2] for pair in close_pairs(queries, targets, most)}


def test_of_many_close_hashes_the_first_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "_HELD", 50)
    monkeypatch.setattr(hamming, "_AT_ONCE", 64)
    hashes = families(2, 400)
    hashes[100:300] = hashes[7] ^ np.arange(200, dtype=np.uint64) % np.uint64(50)
    rows, places, _ = close(hashes, hashes, 6, 5)
    every = sorted(close_pairs(hashes, hashes, 6))
    for query in range(len(hashes)):
        expected = [place for row, place, _ in every if row == query][:5]
        assert places[rows == query].tolist() == expected


def test_no_close_hash_is_missed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few are sought, searched and compared at a time."""
    for name, value in (
        ("_QUERIES_AT_ONCE", 170), ("_FIRST_PART", 16), ("_GROWTH", 3), ("_LARGEST_PART", 100),
        ("_AT_ONCE", 64), ("_BUCKET", 1.0),
    ):  # fmt: skip
        monkeypatch.setattr(hamming, name, value)
    hashes = families(3, 600)
    expected = sorted(close_pairs(hashes, hashes, 9))
    for best in (4, len(hashes)):
        rows, places, distance = close(hashes, hashes, 9, best)
        triples = list(zip(rows.tolist(), places.tolist(), distance.tolist(), strict=True))
        assert triples == [
            pair for _, own in groupby(expected, lambda pair: pair[0]) for pair in list(own)[:best]
        ]


def compared(monkeypatch: pytest.MonkeyPatch, hashes: np.ndarray, best: int) -> int:
    """How many pairs of hashes a search compares."""
    counts = []
    scan = hamming._scan

    def counting(
        queries: np.ndarray, targets: np.ndarray, most: int
    ) -> Iterator[hamming.IndexPairs]:
        counts.append(len(queries) * len(targets))
        return scan(queries, targets, most)

    with monkeypatch.context() as patch:
        patch.setattr(hamming, "_scan", counting)
        close(hashes, hashes, 10, best)
    return sum(counts)


def test_what_has_enough_close_hashes_is_sought_no_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Copies of a few pictures: four times as many are compared with four times as many."""
    few, many = (
        np.array([number % 8 * 0x0123456789ABCD ^ number << 3 for number in range(count)],
                 dtype=np.uint64) for count in (4000, 16000)
    )  # fmt: skip
    assert compared(monkeypatch, many, 9) < 4.5 * compared(monkeypatch, few, 9)


def test_of_hashes_anywhere_one_pair_in_ten_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = np.random.default_rng(0).integers(0, 2**63, 50_000, dtype=np.uint64)
    assert compared(monkeypatch, hashes, 9) < 50_000**2 / 10


def test_pairs_in_either_order_come_once_and_sorted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "_QUERIES_AT_ONCE", 50)
    hashes, others = families(4, 300), families(4, 300)
    others[::4] ^= np.uint64(1)  # either order then has another distance
    group = np.arange(300) // 7
    parts = list(hamming.unordered_pairs(hashes, others, 14, 300, group, 50))
    assert len(parts) > 5
    triples = [tuple(map(int, row)) for part in parts for row in zip(*part, strict=True)]
    expected = {
        (min(a, b), max(a, b), distance)
        for a, b, distance in close_pairs(hashes, others, 14)
        if group[a] != group[b]
    }
    assert triples == sorted(expected)
    assert len(triples) > len({triple[:2] for triple in triples})
    seen = [set(group[smaller]) for smaller, *_ in parts]
    assert all(not first & second for first, second in combinations(seen, 2))


def test_few_pairs_of_many_hashes_are_compared() -> None:
    """What the choice between the ways costs: one in fifteen, and all where all are close."""
    plan = hamming._plan(100_000, 100_000, 14)
    assert plan is not None
    candidates = sum(plan.changes(chunk) / 2 ** plan.width(chunk) for chunk in range(plan.count))
    assert candidates < 0.07
    assert hamming._plan(100_000, 100_000, 68) is None
    assert hamming._plan(300, 300, 14) is None


def test_the_hash_of_the_mirror_image_is_that_of_the_mirrored_picture(
    scenes: list[Image.Image],
) -> None:
    for image in scenes[:4]:
        square = image.resize((96, 96))
        there, back = (fingerprint(picture) for picture in (square, ImageOps.mirror(square)))
        assert (there.bits, there.mirrored) == (back.mirrored, back.bits)


def test_unrelated_scenes_have_unrelated_hashes(prints: list[Fingerprint]) -> None:
    distances = [(a.bits ^ b.bits).bit_count() for a, b in combinations(prints, 2)]
    assert np.mean(distances) > 25


# --- Groups --------------------------------------------------------------------------------------


def groups(relations: Sequence[Relation], contents: Sequence[str]) -> set[frozenset[str]]:
    """The groups by the contents of their pictures."""
    members: dict[int, set[str]] = {}
    for content, group in zip(contents, look_alike_groups(relations, contents), strict=True):
        members.setdefault(group, set()).add(content)
    return {frozenset(each) for each in members.values()}


def test_a_chain_of_look_alikes_does_not_grow() -> None:
    """Each of a group is alike its representative; copies of one photograph stay together."""
    letters = "abcdefgh"
    chain = [Relation(i, i + 1, "alike") for i in range(7)]
    assert max(map(len, groups(chain, letters))) == 3
    copies = [Relation(i, i + 1, "near_duplicate") for i in range(7)]
    assert groups(copies, letters) == {frozenset(letters)}
    hub = [Relation(i, 4, "alike") for i in range(4)] + [Relation(4, 7, "alike")]
    assert groups(hub, letters) == {frozenset("abcdeh"), frozenset("f"), frozenset("g")}
    assert groups([], letters) == {frozenset(letter) for letter in letters}


@pytest.mark.parametrize("seed", range(5))
def test_order_changes_no_group(seed: int) -> None:
    dice = np.random.default_rng(seed)
    contents = [f"{number:02}" for number in range(40)]
    pairs = {tuple(sorted(dice.choice(40, 2, replace=False).tolist())) for _ in range(40)}
    made = [(a, b, "near_duplicate" if dice.random() < 0.3 else "alike") for a, b in pairs]
    expected = groups([Relation(*each) for each in made], contents)
    order = dice.permutation(40).tolist()
    moved = [Relation(*sorted((order[a], order[b])), kind) for a, b, kind in made]
    placed = sorted(range(40), key=order.__getitem__)
    assert groups(moved, [contents[place] for place in placed]) == expected


# --- What cleaning makes of it -------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two labels of pictures that have nothing to do with each other."""
    folder = tmp_path / "data"
    for place, label in enumerate(("a", "b")):
        (folder / label).mkdir(parents=True)
        for number in range(5):
            scene(200 + 10 * place + number).save(folder / label / f"{number}.png")
    return folder


def cleaned(data: Path, **changes: object) -> dict[str, Decision]:
    limits = DEFAULTS.model_copy(update=changes)
    outcome = checks.run(data, limits, [], data.parent / "clean")
    return {decision.file: decision for decision in outcome.decisions}


def test_of_a_crop_and_the_whole_the_whole_stays(data: Path) -> None:
    cropped(scene(1), 0.1, 0.1, 0.15, 0).save(data / "a" / "crop.png")
    scene(1).save(data / "a" / "whole.png")
    decisions = cleaned(data, faces="any")
    assert decisions["a/whole.png"].decision == "kept"
    crop = decisions["a/crop.png"]
    assert (crop.reasons, crop.duplicate_of) == (("near_duplicate",), "a/whole.png")
    assert crop.group == decisions["a/whole.png"].group


def test_the_crop_of_a_refused_group_stays(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two people one was cut away: the whole picture goes, its larger crop takes its place."""
    for name, cut in (("whole", 0.0), ("crop", 0.1), ("less", 0.2)):
        cropped(scene(1), cut, cut / 2, 0, 0).save(data / "a" / f"{name}.png")
    cropped(scene(2), 0.1, 0, 0, 0).save(data / "a" / "other_crop.png")
    scene(2).save(data / "a" / "other.png")
    face = Face(10, 10, 90, 110, 0.99)
    looks: list[Path] = []

    def find_faces(pictures: Sequence[tuple[Path, str]], *_: object) -> list[people.FaceEvidence]:
        names = [path.name for path, _ in pictures]
        looks.extend(path for path, _ in pictures)
        return [people.FaceEvidence([face] * (2 if name == "whole.png" else 1)) for name in names]

    monkeypatch.setattr(people, "find_faces", find_faces)
    decisions = cleaned(data, identity_false_alarm_rate=0.0)
    reasons = {
        name: (";".join(decision.reasons), decision.duplicate_of)
        for name in ("whole", "crop", "less", "other", "other_crop")
        for decision in [decisions[f"a/{name}.png"]]
    }
    assert reasons == {
        "whole": ("several_faces", ""),
        "crop": ("", ""),
        "less": ("near_duplicate", "a/crop.png"),
        "other": ("", ""),
        "other_crop": ("near_duplicate", "a/other.png"),
    }
    assert len(looks) == len(set(looks)) == 13
