"""`python -m bench.cleaning`: how well cleaning finds the dirt, and how fast.

Measured on press pictures judged by eye (../shared/cases/people beside a checkout; they are not
ours to hand on) and on sets made of them with known dirt. Nothing here changes a threshold.
"""

from __future__ import annotations

import csv
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import faces
from bench.faces import CASES, Rates, looked_at
from bench.processes import Measured, stage
from bench.workspace import REPOSITORY, copy_of_the_repository, set_params
from whoswho import params, paths
from whoswho.artifacts.decisions import Decision
from whoswho.artifacts.model.settings import PictureSettings
from whoswho.cleaning import checks, identity, people, seconds
from whoswho.params import Clean
from whoswho.pictures import embedding, tensors
from whoswho.pictures.faces import FaceFinder, main_face
from whoswho.pictures.opening import open_picture
from whoswho.pictures.prepare import prepare
from whoswho.workers import pool

# By eye; nobody judged the rest of the raw crawl, so what else is wrong in it counts as right.
CRAWLED_STRANGERS = {"hina_rabbani_khar/000134.jpg", "khawaja_asif/000176.jpg"}
SHARES = (0.05, 0.10, 0.20)
SEEDS = 5
EMBEDDED = 60  # pictures whose faces are told apart, to time it
ROUNDS = 3  # the fastest counts
COPIES = {"duplicate", "near_duplicate"}
WHOSE = {identity.NOT_THIS_PERSON, identity.SWAPPED, "cross_label", "placeholder"}
JUDGEMENTS = {
    people.NO_FACE, people.SEVERAL_FACES, identity.NOT_THIS_PERSON, identity.SWAPPED,
    "near_duplicate", "cross_label", "placeholder",
}  # fmt: skip


@dataclass(frozen=True)
class Portrait:
    """A picture in which a person saw one clear face: its label and the face's embedding."""

    label: str
    vector: NDArray[np.float64]


# --- The handed set ------------------------------------------------------------------------------


def truth_of(folder: Path) -> dict[str, dict[str, str]]:
    """The rows judged by eye, by file."""
    with (folder / "sports_celebrities_truth.csv").open(encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def copies(decisions: Sequence[Decision], folder: Path) -> None:
    """The same photograph twice, against the pairs found by eye."""
    with (folder / "sports_celebrities_pairs.csv").open(encoding="utf-8") as file:
        pairs = {frozenset((row["file_a"], row["file_b"])) for row in csv.DictReader(file)}
    marked = {
        frozenset((decision.file, decision.duplicate_of))
        for decision in decisions
        if {"duplicate", "near_duplicate"} & {*decision.reasons}
    }
    every = sorted(pairs | marked, key=sorted)
    print(
        f"the same photograph twice, {len(pairs)} pairs: "
        f"{Rates.of([pair in marked for pair in every], [pair in pairs for pair in every])}"
    )


def outcome(name: str, decisions: Sequence[Decision], usable: Mapping[str, bool]) -> None:
    """What became of the pictures that a person called usable, and of the others.

    Whose face it is nobody judged; a copy that goes is no loss.
    """
    fit = [each for each in decisions if usable.get(each.file)]
    unfit = [each for each in decisions if usable.get(each.file) is False]
    copied = sum(bool(COPIES & set(each.reasons)) for each in fit)
    gone = [each for each in fit if not each.kept and not COPIES & set(each.reasons)]
    lost = [each for each in gone if not WHOSE & set(each.reasons)]
    wrong = Counter(reason for each in lost for reason in each.reasons)
    print(
        f"{name}: of {len(fit)} usable pictures {sum(each.kept for each in fit)} kept, {copied} "
        f"dropped as copies, {len(gone) - len(lost)} for whose face it is, {len(lost)} wrongly "
        f"({', '.join(f'{count} {reason}' for reason, count in wrong.most_common())}); of "
        f"{len(unfit)} others {sum(not each.kept for each in unfit)} dropped"
    )


# --- Whose face it is ----------------------------------------------------------------------------


def mixtures(name: str, portraits: Sequence[Portrait], limits: Clean) -> None:
    """Other people's faces planted under every label: of people with a label, and without."""
    labels = sorted({portrait.label for portrait in portraits})
    for share in SHARES:
        for known in (True, False):
            flagged: list[bool] = []
            true: list[bool] = []
            named = 0
            for seed in range(SEEDS):
                dice = random.Random(seed)
                strangers = dice.sample(labels, 2) if not known else []
                rows = planted(portraits, strangers, share, dice)
                judged = identity.judge(
                    np.array([portrait.vector for portrait, _ in rows]),
                    [label for _, label in rows],
                    [False] * len(rows),
                    limits.identity_false_alarm_rate,
                )
                flagged += [place in judged.verdicts for place in range(len(rows))]
                true += [portrait.label != label for portrait, label in rows]
                named += sum(
                    verdict.reason == identity.SWAPPED and rows[place][0].label
                    == verdict.other_label for place, verdict in judged.verdicts.items()
                )  # fmt: skip
            whose = f"of the other labels, {named} named" if known else "of people without a label"
            print(
                f"not_this_person or swapped, {name}, {share:.0%} faces {whose}: "
                f"{Rates.of(flagged, true)}"
            )


def planted(
    portraits: Sequence[Portrait], strangers: Sequence[str], share: float, dice: random.Random
) -> list[tuple[Portrait, str]]:
    """Portraits and the label each lies under, `share` of every label's of somebody else.

    Args:
        strangers: the people planted, without a label of their own; none: those of other labels.
    """
    rows = [
        (portrait, portrait.label) for portrait in portraits if portrait.label not in strangers
    ]
    for label, own in sorted(Counter(label for _, label in rows).items()):
        others = [
            portrait
            for portrait in portraits
            if portrait.label != label and (not strangers or portrait.label in strangers)
        ]
        rows += [
            (portrait, label) for portrait in dice.sample(others, round(share * own / (1 - share)))
        ]
    return rows


def portraits_of(
    by_file: dict[str, people.FaceEvidence], clear: Iterable[str] | None = None
) -> list[Portrait]:
    """The single faces, of the files in `clear` where that is given."""
    wanted = set(by_file if clear is None else clear)
    return [
        Portrait(file.split("/")[0], evidence.vector.astype(np.float64))
        for file, evidence in by_file.items()
        if evidence.vector is not None and file in wanted
    ]


# --- Speed ---------------------------------------------------------------------------------------


def speed(data: Path, scratch: Path) -> None:
    """The stage as a process: without faces, with them for the first time, and once known."""
    workspace = copy_of_the_repository(scratch / "speed", clean={"faces": "any"})
    (workspace / "data.dvc").unlink()  # it names another set
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


def kinds_of_work(data: Path, limits: Clean, scratch: Path) -> None:
    """What clean's seconds of processor go to, a picture."""
    spent = checks.run(data, limits, [], scratch / "kinds", faces=None).spent
    number = sum(path.is_file() for path in data.rglob("*"))
    parts = ", ".join(f"{work} {1000 * took / number:.0f}" for work, took in spent.items())
    rate = pool.cores() * number / spent[seconds.DETECTION]
    print(f"clean, ms of a core a picture: {parts}; detection {rate:.1f} pictures/s on all cores")


def identity_in_processes(data: Path, limits: Clean) -> None:
    """Faces told apart in a process for each core, beside as many times dlib's rate in one."""
    finder = FaceFinder(limits.face_probability, limits.min_face_size)
    settings = PictureSettings("face", 0.3, 224, limits.face_probability, limits.min_face_size)
    marked = []
    for path in sorted(path for path in data.rglob("*") if path.is_file())[:EMBEDDED]:
        image = open_picture(path)
        if (face := main_face(finder.find(image))) is not None:
            seen = prepare(image, settings, face)
            marked.append(np.asarray(tensors.with_face(seen.image, seen.box)))
    files = {name: path.read_bytes() for name, path in (embedding.weight_files() or {}).items()}
    embedder, count = embedding.Embedder(files), pool.cores()
    alone, together = [], []
    with pool.process_pool(count, partial(embedding.load, files)) as processes:
        list(processes.map(embedding.embed_loaded, marked[: 4 * count]))  # they start
        for _ in range(ROUNDS):
            start = time.perf_counter()
            for pixels in marked:
                embedder.embed_masked(pixels)
            alone.append(len(marked) / (time.perf_counter() - start))
            start = time.perf_counter()
            list(processes.map(embedding.embed_loaded, marked, chunksize=4))
            together.append(len(marked) / (time.perf_counter() - start))
    print(
        f"faces told apart: {max(together):.1f} a second in {count} processes, "
        f"{max(together) / max(alone) / count:.2f} of {count} times dlib's {max(alone):.1f} in one"
    )


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
        print("not_this_person: not measured; dlib is not installed")
    faces.measure(limits, scratch / "faces")
    evidence = looked_at(data, limits, scratch / "faces")
    cleaned = checks.run(data, limits, [], scratch / "handed", faces=scratch / "faces")
    copies(cleaned.decisions, CASES)
    if embedding.available():
        single = [f for f, row in truth.items() if row["main_ok"] == "1" and row["same"] == "1"]
        mixtures("press pictures", portraits_of(evidence, single), limits)
        crawled = looked_at(CASES / "raw_crawl", limits, scratch / "faces")
        mixtures("raw crawl", portraits_of(crawled, set(crawled) - CRAWLED_STRANGERS), limits)
    crawl = checks.run(CASES / "raw_crawl", limits, [], scratch / "crawl", faces=scratch / "faces")
    for name in (*faces.CRAWLS, faces.CROPS):
        usable = {file: row.usable for file, row in faces.truth_of(name).items()}
        done = checks.run(CASES / name, limits, [], scratch / name, faces=scratch / "faces")
        outcome(name, done.decisions, usable)
    for name, decisions in (("press", cleaned.decisions), ("raw crawl", crawl.decisions)):
        counts = Counter(reason for decision in decisions for reason in decision.reasons)
        judged = sum(bool(JUDGEMENTS & set(decision.reasons)) for decision in decisions)
        kept = sum(decision.kept for decision in decisions)
        print(
            f"left to a person, {name}: {judged} of {len(decisions)} dropped by a judgement "
            f"({', '.join(f'{n} {reason}' for reason, n in counts.most_common())}), and at most "
            f"{round(settings.suspects.max_fraction * kept)} suspects of the {kept} kept"
        )
    kinds_of_work(data, limits, scratch)
    if embedding.available():
        identity_in_processes(data, limits)
    speed(data, scratch)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="whoswho-bench-") as folder:
        main(Path(folder))
