"""`python -m bench.duplicates`: which altered copies are found, what else is, and at what cost.

Every picture of the handed set (../shared/cases/people beside a checkout) and of the drawn sample
is altered in one way at a time and sought among all the pictures it was not made from. The cost
is that of 100,000 made hashes, a fifth of them a few bits from another, in a process of its own.
"""

from __future__ import annotations

import csv
import io
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from bench.processes import measure
from bench.workspace import REPOSITORY
from whoswho import params, sample
from whoswho.cleaning import duplicates
from whoswho.cleaning.fingerprints import RECORD, Fingerprint, fingerprint
from whoswho.cleaning.relations import ALIKE, NEAR_DUPLICATE, Relation, families
from whoswho.pictures.opening import open_picture

CASES = REPOSITORY.parent / "shared" / "cases" / "people"
# Found by these checks, then seen by eye: six crops that nobody had noticed.
CRAWLED_CROPS = (
    ("ali_amin_gandapur/000008.jpg", "ali_amin_gandapur/000086.jpg"),
    ("ali_amin_gandapur/000086.jpg", "ali_amin_gandapur/000162.jpg"),
    ("attaullah_tarar/000002.jpg", "attaullah_tarar/000022.jpg"),
    ("attaullah_tarar/000031.jpg", "attaullah_tarar/000213.jpg"),
    ("hina_rabbani_khar/000158.jpg", "hina_rabbani_khar/000225.jpg"),
    ("khawaja_asif/000005.jpg", "khawaja_asif/000359.jpg"),
)
HASHES = 100_000
PORTRAITS = 80  # a label, of five; each takes a quarter of a second to draw

Alteration = Callable[[Image.Image], Image.Image]


def cut(
    left: float, top: float, right: float, bottom: float, scale: float = 1.0, quality: int = 85
) -> Alteration:
    """Take these shares off the sides, resize, encode."""

    def altered(image: Image.Image) -> Image.Image:
        width, height = image.size
        part = image.crop(
            (
                round(left * width), round(top * height),
                round((1 - right) * width), round((1 - bottom) * height),
            )
        )  # fmt: skip
        return encoded(resized(part, scale), quality)

    return altered


def resized(image: Image.Image, scale: float) -> Image.Image:
    """The picture at another scale."""
    width, height = image.size
    return image.resize((max(1, round(width * scale)), max(1, round(height * scale))))


def encoded(image: Image.Image, quality: int) -> Image.Image:
    """The picture as it comes back from a JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def marked(
    image: Image.Image, across: float, down: float, size: float, whole: bool
) -> Image.Image:
    """Half-transparent letters (or, whole, a filled logo) at a place, in shares of the width."""
    letters = Image.new("L", image.size)
    pen = ImageDraw.Draw(letters)
    x, y, side = across * image.width, down * image.height, size * image.width
    if whole:
        pen.ellipse((x, y, x + side, y + side), fill=150)
    else:
        pen.text((x, y), "agency photo", fill=140, font_size=max(8, side))
    image = image.copy()
    image.paste((255, 255, 255), mask=letters)
    return encoded(image, 85)


def framed(image: Image.Image, sides: tuple[float, float], colour: str) -> Image.Image:
    """Borders, in shares of the width and of the height."""
    border = round(sides[0] * image.width), round(sides[1] * image.height)
    return encoded(ImageOps.expand(image, border, colour), 85)


ALTERATIONS: dict[str, Alteration] = {
    **{f"{p} % off each side": cut(p / 100, p / 100, p / 100, p / 100) for p in (2, 5, 10, 20)},
    **{f"{p} % off the top": cut(0, p / 100, 0, 0) for p in (2, 5, 10, 20)},
    **{f"{p} % off the left": cut(p / 100, 0, 0, 0) for p in (2, 5, 10, 20)},
    "cropped, half the size, q50": cut(0.10, 0.05, 0.08, 0.10, 0.5, 50),
    **{f"JPEG q{quality}": cut(0, 0, 0, 0, 1.0, quality) for quality in (30, 50)},
    **{f"{scale:g} of the size": cut(0, 0, 0, 0, scale) for scale in (0.3, 0.5, 0.7)},
    "letters in a corner": partial(marked, across=0.5, down=0.88, size=0.07, whole=False),
    "letters in the middle": partial(marked, across=0.1, down=0.45, size=0.12, whole=False),
    "logo of 10 % in a corner": partial(marked, across=0.86, down=0.05, size=0.10, whole=True),
    "logo of 20 % in the middle": partial(marked, across=0.4, down=0.35, size=0.20, whole=True),
    "mirrored": lambda image: encoded(ImageOps.mirror(image), 85),
    "mirrored, 10 % off each side": lambda image: cut(0.1, 0.1, 0.1, 0.1)(ImageOps.mirror(image)),
    "white frame of 6 %": partial(framed, sides=(0.06, 0.06), colour="white"),
    "black bars of 12 %": partial(framed, sides=(0, 0.12), colour="black"),
}


def related(prints: Sequence[Fingerprint]) -> list[Relation]:
    """The relations by the project's own params."""
    limits = params.load_params(REPOSITORY).clean
    return duplicates.relations(
        [each.without_copies() for each in prints],
        io.BytesIO(b"".join(each.copies for each in prints)),
        limits.near_duplicate_max_bits,
        limits.near_duplicate_min_correlation,
    )


def unlike(prints: Sequence[Fingerprint], pairs: Sequence[tuple[int, int]], name: str) -> None:
    """Print what is found in a set as it is."""
    relations = related(prints)
    same = [(relation.a, relation.b) for relation in relations if relation.kind != ALIKE]
    known = families(len(prints), pairs)
    wrong = sum(known[a] != known[b] for a, b in same)
    got = families(len(prints), same)
    kept = sum(got[a] == got[b] for a, b in pairs)
    print(
        f"{name}: {kept} of {len(pairs)} known pairs found, {wrong} other pairs called the same "
        f"photograph, {len(relations) - len(same)} look-alikes, among {len(prints)} pictures"
    )


def altered(
    images: Sequence[Image.Image], prints: Sequence[Fingerprint], pairs: Sequence[tuple[int, int]]
) -> None:
    """Print recall and false pairs of each alteration; equal pictures are altered once."""
    firsts = {each.pixels: place for place, each in reversed(list(enumerate(prints)))}
    chosen = sorted(firsts.values())
    count = len(prints)
    for name, change in ALTERATIONS.items():
        copies = [fingerprint(change(images[place])) for place in chosen]
        relations = related([*prints, *copies])
        made = [(place, count + number) for number, place in enumerate(chosen)]
        kinds = {(relation.a, relation.b): relation.kind for relation in relations}
        same = sum(kinds.get(pair) == NEAR_DUPLICATE for pair in made)
        alike = families(count + len(made), [(pair.a, pair.b) for pair in relations])
        together = sum(alike[a] == alike[b] for a, b in made)
        known = families(count + len(made), [*pairs, *made])
        called = [(pair.a, pair.b) for pair in relations if pair.kind != ALIKE]
        wrong = sum(known[a] != known[b] for a, b in called)
        print(
            f"  {name:30} recall {same / len(made):.3f}, "
            f"kept together {together / len(made):.3f}, "
            f"precision {1 - wrong / max(1, len(called)):.3f} ({wrong} false pairs)"
        )


def handed() -> None:
    """The press and crawled photographs."""
    files = sorted(
        path
        for part in ("sports_celebrities", "raw_crawl")
        for path in (CASES / part).rglob("*")
        if path.is_file()
    )
    place = {path.relative_to(CASES).as_posix(): number for number, path in enumerate(files)}
    with (CASES / "sports_celebrities_pairs.csv").open(encoding="utf-8", newline="") as file:
        pairs = [
            (place[f"sports_celebrities/{row['file_a']}"],
             place[f"sports_celebrities/{row['file_b']}"])
            for row in csv.DictReader(file)
        ]  # fmt: skip
    pairs += [(place[f"raw_crawl/{a}"], place[f"raw_crawl/{b}"]) for a, b in CRAWLED_CROPS]
    images = [open_picture(path) for path in files]
    start = time.perf_counter()
    prints = [fingerprint(image) for image in images]
    print(f"a print takes {1000 * (time.perf_counter() - start) / len(images):.1f} ms")
    unlike(prints, pairs, "the handed set")
    altered(images, prints, pairs)


def drawn(scratch: Path) -> None:
    """Portraits of five invented people, all different."""
    folder = scratch / "drawn"
    sample.draw(folder, 1, PORTRAITS)
    files = [
        file.path for file in sample.plan(1, PORTRAITS) if file.kind == "portrait" and not file.how
    ]
    prints = []
    images = []
    for number, name in enumerate(files):
        image = open_picture(folder / name)
        prints.append(fingerprint(image))
        if number % 4 == 0:
            images.append(image)
    start = time.perf_counter()
    unlike(prints, [], "drawn portraits")
    print(f"relating them took {time.perf_counter() - start:.1f} s")
    altered(images, prints[::4], [])


class OneRecord(io.BytesIO):
    """A store in which every picture has the same grey copies: only the hashes are measured."""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Stay at the only record."""
        return super().seek(0)


def hashes() -> None:
    """Print what relating made hashes costs; run in a process of its own."""
    dice = np.random.default_rng(0)
    made = dice.integers(0, 2**63, (2, HASHES), dtype=np.uint64)
    near = HASHES // 5
    for side in made:
        change = np.zeros(near, dtype=np.uint64)
        for _ in range(10):
            bit = np.uint64(1) << dice.integers(0, 63, near, dtype=np.uint64)
            change |= np.where(dice.random(near) < 0.6, bit, np.uint64(0))
        side[:near] = side[dice.integers(near, HASHES, near)] ^ change
    grey = Image.effect_noise((64, 64), 80).convert("RGB")
    record = np.frombuffer(fingerprint(grey).copies, dtype=RECORD).copy()
    record["count"] = 0  # no landmarks
    prints = [
        Fingerprint(f"{place:06}", 1, int(bits), int(mirrored), b"")
        for place, (bits, mirrored) in enumerate(made.T)
    ]
    start = time.perf_counter()
    relations = duplicates.relations(prints, OneRecord(record.tobytes()), 10, 0.95)
    seconds = time.perf_counter() - start
    import resource  # Windows has none; tests of this module's recipes run there

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{HASHES} hashes: {seconds:.1f} s, {peak:.0f} MB at most, {len(relations)} pairs")


def main(scratch: Path) -> None:
    """Print a line for each."""
    measured = measure(sys.executable, "-m", "bench.duplicates", "hashes", cwd=REPOSITORY)
    print(
        f"{HASHES} hashes related in {measured.seconds:.1f} s, with all imports, and "
        f"{measured.peak_mb:.0f} MB"
    )
    if CASES.is_dir():
        handed()
    else:
        print("altered copies of photographs: not measured; ../shared/cases is absent")
    drawn(scratch)


if __name__ == "__main__":
    if sys.argv[1:] == ["hashes"]:
        hashes()
    else:
        with tempfile.TemporaryDirectory(prefix="whoswho-bench-") as folder:
            main(Path(folder))
