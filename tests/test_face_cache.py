"""No file is looked at twice, whatever threshold moved; what is damaged is looked at again."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageFilter
from support.repository import REPOSITORY

from whoswho import params, paths
from whoswho.artifacts.model.settings import Face
from whoswho.cleaning import people
from whoswho.cleaning.people import FaceEvidence
from whoswho.params import Clean
from whoswho.pictures import embedding, face_cache
from whoswho.pictures.face_cache import FILE, FaceCache
from whoswho.stages import clean as clean_stage

CLEAN = params.load_params(REPOSITORY).clean
HASH, OTHER = "a" * 64, "b" * 64


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "faces"


def keep(folder: Path, *rows: tuple[str, str, bytes]) -> None:
    with FaceCache(folder) as cache:
        for row in rows:
            cache.put(*row)


def kept(folder: Path | None, sha256: str, version: str) -> bytes | None:
    with FaceCache(folder) as cache:
        return cache.get(sha256, version)


# --- The file ------------------------------------------------------------------------------------


def test_what_was_kept_is_there_in_the_next_run(folder: Path) -> None:
    keep(folder, (HASH, "v1", b"one"), (HASH, "v2", b"two"), (OTHER, "v1", b""))
    assert [kept(folder, *key) for key in ((HASH, "v1"), (HASH, "v2"), (OTHER, "v1"))] == [
        b"one", b"two", b"",
    ]  # fmt: skip
    assert kept(folder, OTHER, "v2") is None
    keep(folder, (HASH, "v1", b"again"))
    assert kept(folder, HASH, "v1") == b"again"


def test_no_folder_keeps_nothing() -> None:
    with FaceCache(None) as cache:
        cache.put(HASH, "v", b"x")
        assert cache.get(HASH, "v") is None
        assert cache.forget([HASH]) == 0
        assert cache.problem == ""


@pytest.mark.parametrize("column", ["value", "checksum", "version", "sha256"])
def test_a_damaged_row_is_no_row(folder: Path, column: str) -> None:
    keep(folder, (HASH, "v", b"value"))
    with sqlite3.connect(folder / FILE) as table:
        changed = {"value": b"valuf", "checksum": b"12345678", "version": "w", "sha256": OTHER}
        table.execute(f"UPDATE finds SET {column} = ?", (changed[column],))
    for sha256 in (HASH, OTHER):
        for version in ("v", "w"):
            assert kept(folder, sha256, version) is None


@pytest.mark.parametrize("damage", ["text", "cut", "holes"])
def test_a_damaged_file_is_made_anew(folder: Path, damage: str) -> None:
    keep(folder, *((f"{n:064x}", "v", bytes(300)) for n in range(200)))
    file = folder / FILE
    data = file.read_bytes()
    broken = {
        "text": b"no database at all" * 100,
        "cut": data[: len(data) // 2],
        "holes": data[:4096] + b"\xff" * (len(data) - 4096),
    }
    file.write_bytes(broken[damage])
    with FaceCache(folder) as cache:
        values = [cache.get(f"{n:064x}", "v") for n in range(200)]
        assert set(values) <= {None, bytes(300)}
        assert cache.problem == ""
        cache.put(HASH, "v", b"new")
        cache.flush()
        assert cache.get(HASH, "v") == b"new"


def test_where_it_cannot_lie_the_run_goes_on_and_says_so(folder: Path) -> None:
    folder.write_text("a file in the place of the folder")
    with FaceCache(folder) as cache:
        assert cache.get(HASH, "v") is None
        cache.put(HASH, "v", b"x")
        cache.flush()
    assert str(folder) in cache.problem
    assert "not kept" in cache.problem


def test_a_killed_run_leaves_what_it_had_found(folder: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path;"
        "from whoswho.pictures.face_cache import FaceCache, AT_ONCE\n"
        "with FaceCache(Path(sys.argv[1])) as cache:\n"
        "    for number in range(AT_ONCE + 10): cache.put(f'{number:064x}', 'v', b'x')\n"
        "    os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, folder], check=False, env=surroundings())
    there = sum(kept(folder, f"{n:064x}", "v") is not None for n in range(100))
    assert there == face_cache.AT_ONCE


def test_processes_writing_at_once_lose_nothing(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from whoswho.pictures.face_cache import FaceCache\n"
        "with FaceCache(Path(sys.argv[1])) as cache:\n"
        "    for n in range(60): cache.put(f'{n:063x}{sys.argv[2]}', 'v', b'x'); cache.flush()\n"
        "    print(cache.problem, end='')"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, folder, str(which)],
            env=surroundings(), stdout=subprocess.PIPE, text=True,
        )
        for which in range(3)
    ]  # fmt: skip
    assert [process.communicate()[0] for process in running] == ["", "", ""]
    for which in range(3):
        assert all(kept(folder, f"{n:063x}{which}", "v") == b"x" for n in range(60))


def surroundings() -> dict[str, str]:
    return {"PYTHONPATH": str(REPOSITORY / "src"), "PATH": os.environ["PATH"]}


def test_what_is_forgotten_is_overwritten(folder: Path) -> None:
    secret = b"128 numbers of a face that is to be forgotten" * 5
    keep(folder, (HASH, "v1", secret), (HASH, "v2", secret), (OTHER, "v1", b"stays"))
    with FaceCache(folder) as cache:
        assert cache.forget([HASH, "c" * 64]) == 2
        assert cache.forget([HASH]) == 0
        assert cache.get(OTHER, "v1") == b"stays"
    assert secret[:40] not in (folder / FILE).read_bytes()
    assert HASH.encode() not in (folder / FILE).read_bytes()


def test_forgetting_where_nothing_was_kept_makes_no_file(folder: Path) -> None:
    with FaceCache(folder) as cache:
        assert cache.forget([HASH]) == 0
    assert not folder.exists()


# --- What the checks keep in it ------------------------------------------------------------------


class Counted:
    """Stands in for detector and embedder, and counts how often each is asked.

    A picture of width 100 has a sure face and an unsure one of the same height.
    """

    def __init__(self) -> None:
        self.detected = 0
        self.embedded = 0

    def find_all(self, image: Image.Image) -> list[Face]:
        self.detected += 1
        return [Face(5, 5, 45, 55, 0.99), Face(50, 5, 90, 55, 0.9)]

    def embed(self, image: Image.Image, face: Face) -> embedding.Vector:
        self.embedded += 1
        return np.full(embedding.SIZE, face.probability, np.float32)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    stand_in = Counted()
    monkeypatch.setattr(people, "_finder", lambda smallest: stand_in)
    monkeypatch.setattr(embedding, "embed", stand_in.embed)
    return stand_in


@pytest.fixture
def pictures(tmp_path: Path) -> list[tuple[Path, str]]:
    files = []
    for number in range(4):
        file = tmp_path / f"{number}.png"
        Image.effect_noise((100, 100), 20 + number).convert("RGB").save(file)
        files.append((file, paths.sha256(file)))
    return files


def look(
    pictures: Sequence[tuple[Path, str]], folder: Path | None, **changes: object
) -> list[FaceEvidence]:
    limits: Clean = CLEAN.model_copy(update=changes)
    with FaceCache(folder) as cache:
        return people.find_faces(pictures, limits, cache)


def test_a_file_is_looked_at_once(
    pictures: list[tuple[Path, str]], folder: Path, counted: Counted
) -> None:
    first = look(pictures, folder)
    assert (counted.detected, counted.embedded) == (4, 4)
    again = look(pictures, folder)
    assert (counted.detected, counted.embedded) == (4, 4)
    for earlier, later in zip(first, again, strict=True):
        assert earlier.faces == later.faces == [Face(5, 5, 45, 55, 0.99)]
        assert earlier.brightness == later.brightness == pytest.approx(128, abs=10)
        assert earlier.vector is not None
        assert later.vector is not None
        assert earlier.vector.tobytes() == later.vector.tobytes()
    assert look(pictures, None)[0].faces == first[0].faces
    assert counted.detected == 8


def test_a_changed_threshold_finds_nothing_anew(
    pictures: list[tuple[Path, str]], folder: Path, counted: Counted
) -> None:
    look(pictures, folder)
    assert [len(each.faces) for each in look(pictures, folder, face_probability=0.8)] == [2] * 4
    assert [len(each.faces) for each in look(pictures, folder, face_probability=0.999)] == [0] * 4
    look(pictures, folder, second_face_min_ratio=0.3, identity_false_alarm_rate=0.05)
    assert (counted.detected, counted.embedded) == (4, 4)


@pytest.fixture
def half_blurred(tmp_path: Path) -> tuple[Path, str]:
    """A picture of noise whose right half is blurred; `Counted` sees a face in either."""
    file = tmp_path / "half.png"
    image = Image.effect_noise((100, 100), 60).convert("RGB")
    right = image.crop((50, 0, 100, 100)).filter(ImageFilter.GaussianBlur(8))
    image.paste(right, (50, 0))
    image.save(file)
    return file, paths.sha256(file)


def test_a_blurred_second_face_is_background(
    pictures: list[tuple[Path, str]],
    half_blurred: tuple[Path, str],
    folder: Path,
    counted: Counted,
) -> None:
    limits = CLEAN.model_copy(update={"face_probability": 0.8})
    look([pictures[0], half_blurred], folder, face_probability=0.8)
    sharp, blurred = look([pictures[0], half_blurred], folder, face_probability=0.8)
    assert counted.detected == 2
    assert (people.counted(sharp, limits), people.problem(sharp, limits)) == (2, "several_faces")
    assert people.scores(sharp)["several_faces"] == 1.0
    assert (people.counted(blurred, limits), people.problem(blurred, limits)) == (1, "")
    assert people.scores(blurred)["several_faces"] == 0.0
    assert blurred.vector is not None  # of the face that counts
    assert list(blurred.faces) == [Face(5, 5, 45, 55, 0.99), Face(50, 5, 90, 55, 0.9)]
    everything = {"face_probability": 0.8, "second_face_min_sharpness": 0.0}
    (all_count,) = look([half_blurred], folder, **everything)
    assert people.counted(all_count, CLEAN.model_copy(update=everything)) == 2
    assert counted.detected == 2


def test_a_sharp_second_face_stands_before_a_taller_blurred_one(
    half_blurred: tuple[Path, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, blurred, sharp = (
        Face(0, 0, 45, 90, 0.99), Face(55, 0, 95, 60, 0.99), Face(5, 50, 45, 90, 0.99),
    )  # fmt: skip
    finder = SimpleNamespace(find_all=lambda image: [main, blurred, sharp])
    monkeypatch.setattr(people, "_finder", lambda smallest: finder)
    (evidence,) = look([half_blurred], folder, second_face_min_ratio=0.3)
    assert list(evidence.faces) == [main, sharp, blurred]
    assert people.scores(evidence)["several_faces"] == round(40 / 90, 4)


def test_identity_turned_on_later_embeds_without_detecting_again(
    pictures: list[tuple[Path, str]], folder: Path, counted: Counted
) -> None:
    assert look(pictures, folder, identity_false_alarm_rate=0.0)[0].vector is None
    assert (counted.detected, counted.embedded) == (4, 0)
    assert look(pictures, folder)[0].vector is not None
    assert (counted.detected, counted.embedded) == (4, 4)


def test_other_bytes_or_another_search_are_looked_at(
    pictures: list[tuple[Path, str]], folder: Path, counted: Counted
) -> None:
    look(pictures, folder)
    look(pictures, folder, min_face_size=0.2)
    assert counted.detected == 8
    moved = pictures[0][0].with_name("elsewhere.png")
    shutil.copy(pictures[0][0], moved)
    look([(moved, paths.sha256(moved))], folder)
    assert counted.detected == 8
    Image.effect_noise((100, 100), 99).convert("RGB").save(moved)
    look([(moved, paths.sha256(moved))], folder)
    assert counted.detected == 9


def test_a_damaged_embedding_is_made_again(
    pictures: list[tuple[Path, str]], folder: Path, counted: Counted
) -> None:
    look(pictures, folder)
    with sqlite3.connect(folder / FILE) as table:
        table.execute("UPDATE finds SET value = x'00' WHERE version LIKE 'embedding %'")
    (evidence, *_) = look(pictures, folder)
    assert (counted.detected, counted.embedded) == (4, 8)
    assert evidence.vector is not None
    assert evidence.vector.shape == (embedding.SIZE,)


def test_the_stage_with_another_threshold_detects_nothing(
    tmp_path: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a queued experiment, whose folder is another, finds what the root has."""
    for label in ("a", "b"):
        for number in range(4):
            file = tmp_path / "data" / label / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            dice = np.random.default_rng(10 * number + (label == "b"))
            coarse = Image.fromarray(dice.integers(0, 256, (7, 9, 3), dtype=np.uint8))
            coarse.resize((120, 100), Image.Resampling.BICUBIC).save(file)
    text = (REPOSITORY / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    clean_stage.main()
    assert (counted.detected, counted.embedded) == (8, 8)
    before = (tmp_path / paths.CLEAN / "decisions.csv").read_bytes()
    clean_stage.main()
    assert (tmp_path / paths.CLEAN / "decisions.csv").read_bytes() == before

    queued = tmp_path / "queued"
    shutil.copytree(tmp_path / "data", queued / "data")
    (queued / "dvc.yaml").touch()
    changed = text.replace("face_probability: 0.95", "face_probability: 0.98")
    assert changed != text
    (queued / "params.yaml").write_text(changed, encoding="utf-8")
    monkeypatch.chdir(queued)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    clean_stage.main()
    assert (counted.detected, counted.embedded) == (8, 8)
    assert not (queued / paths.FACES).exists()
