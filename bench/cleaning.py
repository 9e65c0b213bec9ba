"""`python -m bench.cleaning`: how well cleaning finds the dirt, and how fast.

Measured on press pictures judged by eye (../shared/cases/people beside a checkout; they are not
ours to hand on) and on sets made of them with known dirt. Nothing here changes a threshold.
"""

from __future__ import annotations

import csv
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.processes import Measured, stage
from bench.workspace import REPOSITORY, copy_of_the_repository, set_params
from whoswho import params, paths
from whoswho.artifacts.decisions import Decision
from whoswho.artifacts.model.settings import Face
from whoswho.cleaning import checks, identity, people
from whoswho.params import Clean
from whoswho.pictures import embedding
from whoswho.pictures.face_cache import FaceCache
from whoswho.pictures.faces import count
from whoswho.pictures.opening import open_picture
from whoswho.pictures.prepare import face_square
from whoswho.sample import scene

CASES = REPOSITORY.parent / "shared" / "cases" / "people"
# By eye; nobody judged the rest of the raw crawl, so what else is wrong in it counts as right.
CRAWLED_STRANGERS = {"hina_rabbani_khar/000134.jpg", "khawaja_asif/000176.jpg"}
SHARES = (0.05, 0.10, 0.20)
SEEDS = 5
JUDGEMENTS = {
    people.NO_FACE, people.SEVERAL_FACES, identity.NOT_THIS_PERSON, identity.SWAPPED,
    "near_duplicate", "cross_label", "placeholder",
}  # fmt: skip


@dataclass(frozen=True)
class Portrait:
    """A picture in which a person saw one clear face: its label and the face's embedding."""

    label: str
    vector: NDArray[np.float64]


def rates(found: Iterable[bool], true: Iterable[bool]) -> str:
    """Precision and recall of what was found against what is true."""
    table = Counter(zip(found, true, strict=True))
    right, extra, missed = table[True, True], table[True, False], table[False, True]
    precision = f"{right / (right + extra):.3f}" if right + extra else "-"
    recall = f"{right / (right + missed):.3f}" if right + missed else "-"
    return (
        f"precision {precision}, recall {recall} ({right} right, {extra} false, {missed} missed)"
    )


# --- The handed set ------------------------------------------------------------------------------


def truth_of(folder: Path) -> dict[str, dict[str, str]]:
    """The rows judged by eye, by file."""
    with (folder / "sports_celebrities_truth.csv").open(encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def looked_at(data: Path, limits: Clean, cache: Path) -> dict[str, people.FaceEvidence]:
    """The faces in every file below `data`, by file."""
    files = sorted(path for path in data.rglob("*") if path.is_file())
    with FaceCache(cache) as kept:
        found = people.find_faces([(path, paths.sha256(path)) for path in files], limits, kept)
    names = [path.relative_to(data).as_posix() for path in files]
    return dict(zip(names, found, strict=True))


def groups_and_faces(
    found: dict[str, people.FaceEvidence], truth: dict[str, dict[str, str]], limits: Clean
) -> None:
    """several_faces on the pictures judged by eye."""
    several = [count(found[file].faces, limits.second_face_min_ratio) > 1 for file in truth]
    groups = [int(row["faces"]) > 1 and row["main_ok"] == "0" for row in truth.values()]
    print(f"several_faces, {len(truth)} press pictures: {rates(several, groups)}")


def faceless(
    data: Path,
    found: dict[str, people.FaceEvidence],
    truth: dict[str, dict[str, str]],
    limits: Clean,
    scratch: Path,
) -> None:
    """no_face: the largest part beside the only face of a picture, drawn places, and the rest."""
    made = scratch / "faceless"
    made.mkdir()
    for number, (file, row) in enumerate(truth.items()):
        faces = found[file].faces
        if row["faces"] == "1" and len(faces) == 1:
            cut = beside(open_picture(data / file), faces[0], limits)
            if cut is not None:
                cut.save(made / f"cut_{number}.png")
    cuts = len(list(made.iterdir()))
    dice = np.random.default_rng(0)
    for number in range(20):
        picture = scene.draw_picture(scene.any_scene(dice, [(320, 240)]), [])
        Image.fromarray(picture).save(made / f"drawn_{number}.png")
    nothing = looked_at(made, limits, scratch / "faces")
    absent = [not one.faces for one in nothing.values()] + [
        not found[file].faces for file in truth
    ]
    true = [True] * len(nothing) + [False] * len(truth)
    print(
        f"no_face, {cuts} cuts beside a face, 20 drawn places, {len(truth)} press pictures: "
        f"{rates(absent, true)}"
    )


def beside(image: Image.Image, face: Face, limits: Clean) -> Image.Image | None:
    """The largest of the four parts beside a face that cleaning would look at; None if none is."""
    left, top, right, bottom = face_square(image.size, face, 0.5)
    parts = [
        (0, 0, image.width, top), (0, bottom, image.width, image.height),
        (0, 0, left, image.height), (right, 0, image.width, image.height),
    ]  # fmt: skip
    sized = [(min(r - x, b - y), (x, y, r, b)) for x, y, r, b in parts]
    side, box = max(sized)
    long_side = max(box[2] - box[0], box[3] - box[1])
    if side < limits.min_side or long_side > limits.max_aspect_ratio * side:
        return None
    return image.crop(box)


def copies(decisions: Sequence[Decision], folder: Path) -> None:
    """The same photograph twice, against the pairs found by eye."""
    with (folder / "sports_celebrities_pairs.csv").open(encoding="utf-8") as file:
        pairs = {frozenset((row["file_a"], row["file_b"])) for row in csv.DictReader(file)}
    found = {
        frozenset((one.file, one.duplicate_of))
        for one in decisions
        if {"duplicate", "near_duplicate"} & {*one.reasons}
    }
    every = sorted(pairs | found, key=sorted)
    print(
        f"the same photograph twice, {len(pairs)} pairs: "
        f"{rates([pair in found for pair in every], [pair in pairs for pair in every])}"
    )


# --- Whose face it is ----------------------------------------------------------------------------


def mixtures(name: str, portraits: Sequence[Portrait], limits: Clean) -> None:
    """Other people's faces planted under every label: of people with a label, and without."""
    labels = sorted({one.label for one in portraits})
    for share in SHARES:
        for known in (True, False):
            found: list[bool] = []
            true: list[bool] = []
            named = 0
            for seed in range(SEEDS):
                dice = random.Random(seed)
                strangers = dice.sample(labels, 2) if not known else []
                rows = planted(portraits, strangers, share, dice)
                judged = identity.judge(
                    np.array([one.vector for one, _ in rows]),
                    [label for _, label in rows],
                    [False] * len(rows),
                    limits.identity_false_alarm_rate,
                )
                found += [place in judged.verdicts for place in range(len(rows))]
                true += [one.label != label for one, label in rows]
                named += sum(
                    verdict.reason == identity.SWAPPED and rows[place][0].label
                    == verdict.other_label for place, verdict in judged.verdicts.items()
                )  # fmt: skip
            whose = f"of the other labels, {named} named" if known else "of people without a label"
            print(
                f"not_this_person or swapped, {name}, {share:.0%} faces {whose}: "
                f"{rates(found, true)}"
            )


def planted(
    portraits: Sequence[Portrait], strangers: Sequence[str], share: float, dice: random.Random
) -> list[tuple[Portrait, str]]:
    """Portraits and the label each lies under, `share` of every label's of somebody else.

    Args:
        strangers: the people planted, without a label of their own; none: those of other labels.
    """
    rows = [(one, one.label) for one in portraits if one.label not in strangers]
    for label, own in sorted(Counter(label for _, label in rows).items()):
        others = [
            one
            for one in portraits
            if one.label != label and (not strangers or one.label in strangers)
        ]
        rows += [(one, label) for one in dice.sample(others, round(share * own / (1 - share)))]
    return rows


def portraits_of(
    found: dict[str, people.FaceEvidence], clear: Iterable[str] | None = None
) -> list[Portrait]:
    """The single faces, of the files in `clear` where that is given."""
    wanted = set(found if clear is None else clear)
    return [
        Portrait(file.split("/")[0], one.vector.astype(np.float64))
        for file, one in found.items()
        if one.vector is not None and file in wanted
    ]


# --- Speed ---------------------------------------------------------------------------------------


def speed(data: Path, scratch: Path) -> None:
    """The stage as a process: without faces, with them for the first time, and once known."""
    workspace = copy_of_the_repository(scratch / "speed", clean={"faces": "any"})
    shutil.copytree(data, workspace / "data")
    number = sum(path.is_file() for path in data.rglob("*"))

    def say(what: str, done: Measured) -> None:
        print(
            f"clean, {what}: {number / done.seconds:.1f} pictures/s ({done.seconds:.1f} s for "
            f"{number}, {done.processor / number * 1000:.0f} ms of processor each)"
        )

    say("faces not looked at", stage("clean", workspace))
    set_params(workspace, clean={"faces": "one", "identity_false_alarm_rate": 0.0})
    say("faces found", stage("clean", workspace))
    shutil.rmtree(workspace / paths.FACES)
    set_params(workspace, clean={"identity_false_alarm_rate": 0.01})
    say("faces found and told apart", stage("clean", workspace))
    set_params(workspace, clean={"face_probability": 0.97})
    say("another threshold, faces known", stage("clean", workspace))


def main(scratch: Path) -> None:
    """Print a line for each measure."""
    if not (CASES / "sports_celebrities_truth.csv").exists():
        print(
            "cleaning: not measured; the pictures judged by eye are not in ../shared/cases/people"
        )
        return
    scratch = scratch / "cleaning"
    scratch.mkdir()
    settings = params.load_params(REPOSITORY)
    limits, truth, data = settings.clean, truth_of(CASES), CASES / "sports_celebrities"
    if not embedding.available():
        print("not_this_person: not measured; the extra `faces` is not installed")
    found = looked_at(data, limits, scratch / "faces")
    groups_and_faces(found, truth, limits)
    faceless(data, found, truth, limits, scratch)
    cleaned = checks.run(data, limits, [], scratch / "handed", faces=scratch / "faces")
    copies(cleaned.decisions, CASES)
    if embedding.available():
        single = [f for f, row in truth.items() if row["main_ok"] == "1" and row["same"] == "1"]
        mixtures("press pictures", portraits_of(found, single), limits)
        crawled = looked_at(CASES / "raw_crawl", limits, scratch / "faces")
        mixtures("raw crawl", portraits_of(crawled, set(crawled) - CRAWLED_STRANGERS), limits)
    crawl = checks.run(CASES / "raw_crawl", limits, [], scratch / "crawl", faces=scratch / "faces")
    for name, decisions in (("press", cleaned.decisions), ("raw crawl", crawl.decisions)):
        counts = Counter(reason for one in decisions for reason in one.reasons)
        judged = sum(bool(JUDGEMENTS & set(one.reasons)) for one in decisions)
        kept = sum(one.kept for one in decisions)
        print(
            f"left to a person, {name}: {judged} of {len(decisions)} dropped by a judgement "
            f"({', '.join(f'{n} {reason}' for reason, n in counts.most_common())}), and at most "
            f"{round(settings.suspects.max_fraction * kept)} suspects of the {kept} kept"
        )
    speed(data, scratch)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="whoswho-bench-") as folder:
        main(Path(folder))
