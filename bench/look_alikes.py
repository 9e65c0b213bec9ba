"""`python -m bench.look_alikes`: stretched copies are found, a card relates nobody.

Every second picture of each handed set (../shared/cases/people beside a checkout) is cropped to 70
to 100 % of its width and height, stretched by 0.8 to 1.25, lettered on a bar over it or below it,
and saved as a JPEG of quality 60. What is found is counted from several agreements on; then the
agreement is chosen on three sets and judged on the fourth. On cards and backgrounds, of pictures
that show different photographs, nothing is to be found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from bench.duplicates import CASES, encoded, related
from whoswho.cleaning import duplicates
from whoswho.cleaning.fingerprints import Fingerprint, fingerprint
from whoswho.cleaning.relations import families, look_alike_groups
from whoswho.pictures.opening import ImageOpenError, open_picture

SETS = ("sports_celebrities", "raw_crawl", "film_actors_crawl", "idol_face_crops")
AGREEMENTS = (0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8)
PORTRAITS = 60
BARS = ((0, 0, 0), (255, 255, 255), (180, 20, 30), (20, 40, 140))
CARD = (480, 600)


def pictures(name: str) -> list[Image.Image]:
    """Every second picture of a set that can be opened."""
    files = sorted(path for path in (CASES / name).rglob("*") if path.is_file())[::2]
    images = []
    for path in files:
        try:
            images.append(open_picture(path))
        except ImageOpenError as error:
            print(f"{path.name}: {error}")
    return images


def stretched(image: Image.Image, seed: int) -> Image.Image:
    """A crop of 70 to 100 %, its width scaled by 0.8 to 1.25 against its height, captioned."""
    dice = np.random.default_rng(seed)
    width, height = (round(side * dice.uniform(0.7, 1)) for side in image.size)
    left, top = (
        round(dice.uniform(0, whole - part))
        for whole, part in zip(image.size, (width, height), strict=True)
    )
    stretch = np.exp(dice.uniform(np.log(0.8), np.log(1.25))) ** 0.5
    scale = dice.uniform(0.6, 1)
    size = max(40, round(width * scale * stretch)), max(40, round(height * scale / stretch))
    part = image.crop((left, top, left + width, top + height)).resize(size)
    return encoded(captioned(part, dice), 60)


def captioned(image: Image.Image, dice: np.random.Generator) -> Image.Image:
    """With a lettered bar of 8 to 15 % of the height, half of the time over the picture."""
    width, height = image.size
    bar = max(8, round(height * dice.uniform(0.08, 0.15)))
    top = height - bar if dice.random() < 0.5 else height
    colour = BARS[dice.integers(len(BARS))]
    captioned = Image.new("RGB", (width, top + bar), colour)
    captioned.paste(image.crop((0, 0, width, top)), (0, 0))
    letters = "white" if sum(colour) < 400 else "black"
    ImageDraw.Draw(captioned).text(
        (width * 0.04, top + bar * 0.15),
        "Press conference, Monday evening",
        letters,
        font_size=max(7, bar * 0.6),
    )
    return captioned


def news_card(image: Image.Image, fraction: float) -> Image.Image:
    """A portrait over a fraction of the width of a news card."""
    width, height = CARD
    card = Image.new("RGB", CARD, (20, 40, 110))
    pen = ImageDraw.Draw(card)
    pen.rectangle((0, 0, width, 66), fill=(190, 20, 30))
    pen.text((24, 12), "DAILY NEWS 24", "white", font_size=40)
    pen.ellipse((408, 9, 456, 57), fill="yellow")
    pen.rectangle((0, 528, width, height), fill=(240, 240, 240))
    pen.text((24, 540), "Breaking: the latest reports", "black", font_size=26)
    pen.text((24, 570), "www.daily-news.example", "black", font_size=16)
    size = round(width * fraction), min(438, round(width * fraction * 1.1))
    card.paste(ImageOps.fit(image, size), ((width - size[0]) // 2, 297 - size[1] // 2))
    return encoded(card, 85)


def plain_card(image: Image.Image, fraction: float) -> Image.Image:
    """The same on light grey."""
    card = Image.new("RGB", CARD, (235, 235, 235))
    size = round(CARD[0] * fraction), round(CARD[0] * fraction * 1.1)
    card.paste(ImageOps.fit(image, size), ((CARD[0] - size[0]) // 2, 300 - size[1] // 2))
    return encoded(card, 85)


def halves(image: Image.Image, fraction: float) -> Image.Image:
    """A portrait before a wall half dark and half light, 400 pixels a side."""
    wall = Image.new("RGB", (400, 400), (30, 30, 30))
    wall.paste((220, 220, 220), (200, 0, 400, 400))
    side = round(400 * fraction)
    wall.paste(ImageOps.fit(image, (side, side)), ((400 - side) // 2, (400 - side) // 2))
    return encoded(wall, 85)


def counted(
    originals: Sequence[Fingerprint], copies: Sequence[Fingerprint], known: Sequence[int]
) -> tuple[float, int]:
    """The fraction of copies in one group with their original, and how many pairs are wrong."""
    count = len(originals)
    every = [*originals, *copies]
    relations = related(every)
    group = look_alike_groups(relations, [each.pixels for each in every])
    right = sum(group[place] == group[place + count] for place in range(count))
    wrong = sum(known[pair.a % count] != known[pair.b % count] for pair in relations)
    return right / count, wrong


def stretches(prints: dict[str, list[Fingerprint]], copies: dict[str, list[Fingerprint]]) -> None:
    """Print what is found of the stretched copies, from each agreement on and in turn."""
    chosen = duplicates._AGREEMENT
    table: dict[str, list[tuple[float, int]]] = {}
    for name in SETS:
        count = len(prints[name])
        # What is found as it is, and from the highest agreement on, was looked at: each pair is
        # of one photograph, or of a collage and one that it holds.
        duplicates._AGREEMENT = AGREEMENTS[-1]
        sure = related([*prints[name], *copies[name]])
        duplicates._AGREEMENT = chosen
        sure += related(prints[name])
        known = families(count, [(pair.a % count, pair.b % count) for pair in sure])
        table[name] = []
        for agreement in AGREEMENTS:
            duplicates._AGREEMENT = agreement
            table[name].append(counted(prints[name], copies[name], known))
        duplicates._AGREEMENT = chosen
        row = ", ".join(
            f"{agreement:g}: {recall:.3f} ({wrong})"
            for agreement, (recall, wrong) in zip(AGREEMENTS, table[name], strict=True)
        )
        print(f"{name}: in one group, and wrong pairs, by agreement: {row}", flush=True)
    for unseen in SETS:
        others = [table[name] for name in SETS if name != unseen]
        # The lowest without a wrong pair, and one step of safety.
        clean = [not any(each[step][1] for each in others) for step in range(len(AGREEMENTS))]
        step = min(clean.index(True) + 1, len(AGREEMENTS) - 1)
        recall, wrong = table[unseen][step]
        tuned = min(each[step][0] for each in others)
        print(
            f"{unseen} never seen: agreement {AGREEMENTS[step]:g} chosen on the others, which "
            f"find {tuned:.3f} and up; it finds {recall:.3f}, {wrong} wrong pairs",
            flush=True,
        )


def cards(name: str, images: Sequence[Image.Image], prints: Sequence[Fingerprint]) -> None:
    """Print what is found among different photographs on one card."""
    known = families(len(prints), [(pair.a, pair.b) for pair in related(prints)])
    different = [place for place in range(len(prints)) if known[place] == place][:PORTRAITS]
    for way, fractions in (
        (news_card, (0.6, 0.7, 0.9)),
        (plain_card, (0.6, 0.7)),
        (halves, (0.3,)),
    ):
        for fraction in fractions:
            relations = related([fingerprint(way(images[place], fraction)) for place in different])
            largest = max(
                Counter(look_alike_groups(relations, list(map(str, different)))).values()
            )
            pairs = len(list(combinations(different, 2)))
            print(
                f"{name}, {len(different)} on {way.__name__} {fraction:.0%}: {len(relations)} of "
                f"{pairs} pairs related, largest group {largest}",
                flush=True,
            )


def main() -> None:
    """Print a line for each."""
    if not CASES.is_dir():
        print("stretched copies and cards: not measured; ../shared/cases is absent")
        return
    images = {name: pictures(name) for name in SETS}
    prints = {name: [fingerprint(image) for image in images[name]] for name in SETS}
    copies = {
        name: [fingerprint(stretched(image, seed)) for seed, image in enumerate(images[name])]
        for name in SETS
    }
    stretches(prints, copies)
    for name in SETS:
        cards(name, images[name], prints[name])


if __name__ == "__main__":
    main()
