"""What every file of the sample is, as a seed decides it; nothing is drawn here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from whoswho.errors import UserError
from whoswho.sample import dirt
from whoswho.sample.people import PEOPLE
from whoswho.sample.person import Pose
from whoswho.sample.scene import Scene, any_pose, any_scene

LABELS = tuple(PEOPLE)
PORTRAITS = 44  # ordinary portraits a label; one more is stored in an odd format
FEWEST_PORTRAITS = 4  # a label needs some for its duplicates to be copies of


@dataclass(frozen=True)
class SampleFile:
    """What one file of the sample is, and all that is needed to draw it.

    Where cleaning has a reason of the same name as `kind`, that is the reason it should give;
    "portrait" is to be kept, "litter" is to be passed over.
    """

    path: str  # inside the drawn folder, with slashes: label/google_0001.jpg
    kind: str
    of: str = ""  # duplicate, near_duplicate, cross_label: the path of the other file
    how: str = ""  # near_duplicate: the change; portrait: the odd format; no_face: the place
    quality: int = 85  # of JPEG and WebP
    scene: Scene | None = None  # of files that are drawn, not copied
    people: tuple[tuple[str, Pose], ...] = ()  # who is in it (label, pose), from far to near

    @property
    def label(self) -> str:
        """The folder the file lies in; "" for litter beside the folders."""
        return self.path.rpartition("/")[0]


# The dirt of each label, in the order of LABELS: kind, and after a colon how.
_DIRT = (
    "several_faces:2, duplicate, near_duplicate:resized, not_a_picture, portrait:webp named jpg",
    "several_faces:2, duplicate, near_duplicate:encoded again, truncated, blank, "
    "portrait:exif turned",
    "several_faces:3, near_duplicate:mirrored, animated, too_small, portrait:cmyk",
    "several_faces:2, near_duplicate:cropped, no_face:landscape, extreme_shape, portrait:palette",
    "several_faces:3, duplicate, near_duplicate:encoded again, no_face:podium, portrait:grey",
)
# One picture found in the searches for two people: (whom it shows, the other label, the change)
_CROSS = ((0, 2, ""), (3, 4, "resized"))

_SIZES = ((300, 340), (280, 280), (320, 400), (400, 300), (260, 340), (360, 360), (250, 310))
_SMALL_SIZES = ((180, 220), (200, 200), (220, 190))  # PNG stores the noise of a camera dearly
_GROUP_SIZES = ((400, 300), (420, 280))
_BANNER_SIZES = ((630, 90),)
_SUFFIXES = (".jpg", ".png", ".webp")
_SUFFIX_FRACTIONS = (0.82, 0.08, 0.10)


def plan(seed: int = 0, portraits: int = PORTRAITS) -> list[SampleFile]:
    """Every file of the sample, sorted by path.

    portraits: ordinary portraits a label; tests ask for few, with all the dirt.
    """
    if seed < 0:
        raise UserError(f"sample: the seed is {seed}; it must be 0 or larger")
    if portraits < FEWEST_PORTRAITS:
        raise UserError(
            f"sample: {portraits} portraits a label asked for; it takes {FEWEST_PORTRAITS} or more"
        )
    files = [
        file for number in range(len(LABELS)) for file in _plan_label(seed, number, portraits)
    ]
    for shown, other, how in _CROSS:
        original, copy = _crossing(files, shown), _crossing(files, other)
        files[original] = replace(files[original], of=files[copy].path)
        files[copy] = replace(files[copy], of=files[original].path, how=how, scene=None, people=())
    litter = [f"{label}/{site}_done" for label in LABELS for site in ("google", "naver")]
    litter += [".DS_Store", f"{LABELS[1]}/.DS_Store"]
    files += [SampleFile(path, "litter") for path in litter]
    return sorted(files, key=lambda file: file.path)


def _crossing(files: list[SampleFile], number: int) -> int:
    """Index of the next picture of a label that is to lie under two."""
    return next(
        index
        for index, file in enumerate(files)
        if file.kind == "cross_label" and not file.of and file.label == LABELS[number]
    )


def _plan_label(seed: int, number: int, portraits: int) -> list[SampleFile]:
    """The pictures of one label, numbered as two crawled sites left them."""
    label, random = LABELS[number], np.random.default_rng([seed, number])
    crossing = sum(number in (shown, other) for shown, other, _ in _CROSS)
    planned = ["portrait"] * portraits + _DIRT[number].split(", ") + ["cross_label"] * crossing
    stems = [""] * len(planned)
    of_site = Counter[str]()
    for index in random.permutation(len(planned)):
        site = "google" if random.random() < 0.55 else "naver"
        of_site[site] += 1
        stems[index] = f"{site}_{of_site[site]:04d}"
    suffixes = [str(suffix) for suffix in random.choice(_SUFFIXES, portraits, p=_SUFFIX_FRACTIONS)]
    suffixes[:FEWEST_PORTRAITS] = [".jpg"] * FEWEST_PORTRAITS
    originals = iter(range(FEWEST_PORTRAITS))  # what copies are made of
    original: dict[int, int] = {}
    for index, entry in enumerate(planned):
        if entry.startswith(("duplicate", "near_duplicate")):
            original[index] = first = next(originals)
            # of equal copies the first by name stays: that is to be the original
            stems[first], stems[index] = sorted((stems[first], stems[index]))
    files: list[SampleFile] = []
    for index, entry in enumerate(planned):
        kind, _, how = entry.partition(":")
        of = f"{label}/{stems[original[index]]}.jpg" if index in original else ""
        suffix = suffixes[index] if index < portraits else _suffix(kind, how)
        recipe = np.random.default_rng([seed, number, index])
        scene, people = (None, ()) if of else _recipe(recipe, kind, how, number, suffix)
        path, quality = f"{label}/{stems[index]}{suffix}", int(recipe.integers(80, 91))
        files.append(SampleFile(path, kind, of, how, quality, scene, people))
    return files


def _suffix(kind: str, how: str) -> str:
    """The end of the name of a file that is no ordinary portrait."""
    if kind == "animated":
        return ".gif"
    return dirt.ODD_FORMATS.get(how, ".jpg")


def _recipe(
    random: np.random.Generator, kind: str, how: str, number: int, suffix: str
) -> tuple[Scene | None, tuple[tuple[str, Pose], ...]]:
    """The scene and the people of one drawn file; none where nobody is in it."""
    if kind in ("not_a_picture", "blank", "no_face"):
        return None, ()
    if kind == "several_faces":
        scene = any_scene(random, _GROUP_SIZES)
        count = int(how)
        others = [other for other in range(len(LABELS)) if other != number]
        company = [number, *random.choice(others, count - 1, replace=False)]
        people = []
        for seat, who in enumerate(random.permutation(company)):
            x = (seat + 0.5 + random.uniform(-0.06, 0.06)) / count * scene.width
            y = random.uniform(0.4, 0.5) * scene.height
            size = random.uniform(0.18, 0.22) * scene.height
            people.append((LABELS[who], any_pose(random, x, y, size)))
        return scene, tuple(people)
    if kind == "extreme_shape":
        scene = any_scene(random, _BANNER_SIZES)
        pose = any_pose(random, scene.width * random.uniform(0.2, 0.8), 0.48 * scene.height, 34)
        return scene, ((LABELS[number], pose),)
    small = kind == "animated" or suffix == ".png"
    scene = any_scene(random, _SMALL_SIZES if small else _SIZES)
    size = random.uniform(0.2, 0.31) * min(scene.width, scene.height)
    x = scene.width * random.uniform(0.4, 0.6)
    y = max(scene.height * random.uniform(0.36, 0.48), 1.15 * size)
    return scene, ((LABELS[number], any_pose(random, x, y, size)),)
