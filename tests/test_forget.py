"""Taking pictures down: what goes, what is named, and that it never comes back."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import lifecycle_outputs as small
from support.lifecycle_store import fixture_made, fixture_root  # noqa: F401
from support.pipeline import PORTRAITS, Workspace, built_sample, commit
from support.repository import REPOSITORY
from support.traces_left import CLOSE, Everything, Vectors, faces, features, look

from bench.workspace import environment
from whoswho import cli, git, paths, sample, tables
from whoswho.artifacts.decisions import Decision, write_decisions
from whoswho.artifacts.model.settings import PictureSettings
from whoswho.artifacts.split import SplitRow, write_dataset
from whoswho.crawl import collection, finished
from whoswho.crawl.commons import Commons
from whoswho.crawl.site import CrawlSource, Search
from whoswho.dataset import forgotten, manifest, versions
from whoswho.errors import UserError
from whoswho.lifecycle import holders
from whoswho.lifecycle.registry import completion
from whoswho.lifecycle.serving import running
from whoswho.lifecycle.tracking.store import open_store
from whoswho.pictures import embedding, opening
from whoswho.pictures.face_cache import FaceCache
from whoswho.takedown import committed, removal, traces
from whoswho.takedown.request import TakedownRequest

IMAGE = "https://pictures.example/mina/1.jpg"
TABLE = "data/manifest/0001_ab12cd34.csv"
PAGE = "https://pages.example/mina?page=2"


def sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def md5(content: str) -> str:
    return hashlib.md5(content.encode()).hexdigest()


class Set:
    """A repository with data/ and its tables, as small as DVC accepts one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows: list[dict[str, str]] = []
        (root / ".dvc").mkdir(parents=True)
        (root / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
        shutil.copy(REPOSITORY / "dvc.yaml", root)
        shutil.copy(REPOSITORY / "review.csv", root)

    def put(self, file: str, content: str, image: str = "", page: str = "") -> str:
        """Write a picture; one with an address gets its row in the manifest."""
        path = self.root / "data" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        if image:
            self.row(file, content, image, page)
        return sha256(content)

    def row(self, file: str, content: str, image: str, page: str = "") -> None:
        label = file.split("/")[0]
        self.rows.append({
            "file": file, "label": label, "site": "google", "search": label, "rank": "1",
            "page_url": page, "image_url": image, "sha256": sha256(content),
        })  # fmt: skip
        self.write_rows()

    def write_rows(self) -> None:
        tables.write(self.root / TABLE, manifest.COLUMNS, self.rows)

    def review(self, *rows: tuple[str, str, str, str]) -> None:
        columns = ("sha256", "label", "decision", "other_label", "why", "when")
        tables.write(
            self.root / "review.csv", columns,
            [dict(zip(columns, (*row, "", ""), strict=True)) for row in rows],
        )  # fmt: skip

    def clean(self, *groups: tuple[str, ...]) -> None:
        """Outputs of clean; the files of one group look alike."""
        rows = []
        for group in groups:
            hashes = [paths.sha256(self.root / "data" / file) for file in group]
            rows += [
                Decision(file, file.split("/")[0], sha256=sha256, group=min(hashes))
                for file, sha256 in zip(group, hashes, strict=True)
            ]
        write_decisions(self.root / "artifacts/clean", rows)

    def split(self, *files: str) -> None:
        """Outputs of the stages from preprocess on, for a dataset of these files."""
        rows = []
        for file in files:
            digest = paths.sha256(self.root / "data" / file)
            label = file.split("/")[0]
            rows.append(
                SplitRow(file, digest, label, "train", digest, "face", f"train/{digest}.png")
            )
            self.out(f"artifacts/dataset/train/{digest}.png")
        settings = PictureSettings("face", 0.3, 64, 0.9, 0.06)
        write_dataset(self.root / "artifacts/dataset", rows, settings)
        for out in (
            "artifacts/backbone/weights.safetensors", "artifacts/features/train.npy",
            "artifacts/suspects/suspects.csv", "artifacts/model/model.json",
            "artifacts/evaluation/predictions.csv", "artifacts/registered.json",
            "reports/predictions.csv", "reports/mistakes.png", ".whoswho/checkpoints/last.pt",
        ):  # fmt: skip
            self.out(out)

    def out(self, file: str) -> None:
        (self.root / file).parent.mkdir(parents=True, exist_ok=True)
        (self.root / file).write_text(f"of {file}")

    def cache(self) -> None:
        """What lies here into DVC's cache, with a lock of three stages that names it."""
        stages = {
            "clean": ("data", "artifacts/clean"),
            "preprocess": ("artifacts/clean", "artifacts/dataset"),
            "train": ("artifacts/dataset", "artifacts/model"),
        }
        lock = "schema: '2.0'\nstages:\n"
        for stage, (read, written) in stages.items():
            lock += f"  {stage}:\n    cmd: python\n"
            for kind, path in (("deps", read), ("outs", written)):
                name = self._object(json.dumps([
                    {"md5": self._object(file.read_bytes()), "relpath":
                        file.relative_to(self.root / path).as_posix()}
                    for file in sorted((self.root / path).rglob("*")) if file.is_file()
                ]).encode(), ".dir")  # fmt: skip
                lock += f"    {kind}:\n    - path: {path}\n      hash: md5\n      md5: {name}\n"
        (self.root / "dvc.lock").write_text(lock)

    def _object(self, content: bytes, ending: str = "") -> str:
        name = hashlib.md5(content).hexdigest() + ending
        file = self.root / ".dvc/cache/files/md5" / name[:2] / name[2:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return name

    def held(self, kind: str, target: str) -> dict[str, str]:
        """Names of the objects that hold what is asked for."""
        named = [[target] if each == kind else [] for each in KINDS]
        its_traces = traces.find(self.root, TakedownRequest.parse(*named))
        return removal.held(versions.opened(self.root), self.root, its_traces)[0]

    def there(self, folder: str = ".") -> set[str]:
        """Every file, without DVC's own and without the pictures' bar."""
        return {
            path.relative_to(self.root).as_posix()
            for path in (self.root / folder).rglob("*")
            if (path.is_file() or path.is_symlink())
            and ".dvc" not in path.parts
            and not path.name.endswith("lock")
            and path.parent != self.root / "data/forgotten"
        } - {"dvc.yaml", "review.csv"}

    def take(self, **request: str) -> traces.Traces:
        """Find and remove."""
        named = {kind: [request.get(kind, "")] if kind in request else [] for kind in KINDS}
        its_traces = traces.find(self.root, TakedownRequest.parse(*named.values()))
        removal.remove(self.root, its_traces)
        return its_traces

    def run(self, *arguments: str, code: int = 0) -> str:
        """`whoswho forget …`; all it printed."""
        return self.cli("forget", *arguments, code=code)

    def cli(self, *arguments: str, code: int | None = 0) -> str:
        """`whoswho …` with nobody at a terminal; all it printed. `code` None: any exit code."""
        output = io.StringIO()
        ended = 0
        with pytest.MonkeyPatch.context() as nobody, chdir(self.root):
            nobody.setattr(sys, "stdin", io.StringIO())
            with redirect_stdout(output), redirect_stderr(output):
                try:
                    cli.main(arguments)
                except SystemExit as end:
                    ended = int(end.code or 0)
        assert code in (ended, None), output.getvalue()
        return output.getvalue()


KINDS = ("url", "sha256", "label")


@pytest.fixture(name="made_set")
def fixture_made_set(tmp_path: Path) -> Set:
    made = Set(tmp_path / "repository")
    made.put("Mina/google_0001.jpg", "one", IMAGE, PAGE)
    made.put("Mina/google_0002.jpg", "two", "https://pictures.example/2.jpg", PAGE)
    made.put("Mina/naver_0001.jpg", "three", "https://pictures.example/3.jpg")
    made.put("Jun/google_0001.jpg", "four", "https://pictures.example/4.jpg")
    made.put("Jun/google_0002.jpg", "one", "https://mirror.example/1.jpg")
    made.put("Jun/.ipynb_checkpoints/copy.jpg", "one")
    return made


def test_all_copies_of_the_bytes_go_with_their_rows(made_set: Set) -> None:
    made_set.review((sha256("one"), "Jun", "keep", ""), (sha256("four"), "Jun", "keep", ""))
    made_set.take(sha256=sha256("one").upper())
    assert made_set.there() == {
        TABLE, "data/Mina/google_0002.jpg", "data/Mina/naver_0001.jpg",
        "data/Jun/google_0001.jpg",
    }  # fmt: skip
    rows = tables.read(made_set.root / TABLE, manifest.COLUMNS)
    assert {row["sha256"] for row in rows} == {sha256("two"), sha256("three"), sha256("four")}
    (row,) = tables.read(made_set.root / "review.csv")
    assert row["sha256"] == sha256("four")


def test_what_goes_is_barred_by_its_bytes_and_its_addresses(made_set: Set) -> None:
    made_set.take(sha256=sha256("one"))
    barred = forgotten.load(made_set.root / "data")
    assert barred.bars_picture(sha256("one"))
    assert barred.bars_address(IMAGE)
    assert barred.bars_address("https://mirror.example/1.jpg"), "the copy's address as well"
    assert not barred.bars_address(PAGE), "other people's pictures stand on that page"
    assert not barred.bars_label("Mina")
    (table,) = (made_set.root / "data/forgotten").iterdir()
    text = table.read_text()
    assert "example" not in text
    assert re.fullmatch(r"kind,sha256\n((picture|address|label),[0-9a-f]{64}\n)+", text)


def test_an_address_is_of_a_picture_or_of_a_page(made_set: Set) -> None:
    made_set.take(url=IMAGE.replace("https", "http") + "#top")
    assert "data/Mina/google_0001.jpg" not in made_set.there()
    assert "data/Jun/google_0002.jpg" not in made_set.there(), "the same bytes"
    assert "data/Mina/google_0002.jpg" in made_set.there()
    made_set.take(url=PAGE)
    assert "data/Mina/google_0002.jpg" not in made_set.there()
    barred = forgotten.load(made_set.root / "data")
    assert barred.bars_address(PAGE)
    assert barred.bars_picture(sha256("two"))


def test_a_picture_edited_since_its_crawl_goes_by_its_address(made_set: Set) -> None:
    made_set.put("Mina/google_0001.jpg", "one, turned upright")
    drawn = [made_set.root / path for path in (*paths.COMPARISON, paths.REGISTER_PAGE)]
    for path in drawn:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    made_set.take(url=IMAGE)
    assert not [path for path in drawn if path.exists()]
    assert "data/Mina/google_0001.jpg" not in made_set.there()
    assert "data/Jun/google_0002.jpg" not in made_set.there(), "the bytes that were fetched"
    barred = forgotten.load(made_set.root / "data")
    assert barred.bars_picture(sha256("one"))
    assert barred.bars_picture(sha256("one, turned upright"))


def test_thumbnails_given_as_data_are_not_one_address(made_set: Set) -> None:
    for number in (1, 2):
        made_set.put(f"Jun/naver_000{number}.jpg", f"small {number}", "data:image/jpeg")
    made_set.take(sha256=sha256("small 1"))
    assert "data/Jun/naver_0001.jpg" not in made_set.there()
    assert "data/Jun/naver_0002.jpg" in made_set.there()
    barred = forgotten.load(made_set.root / "data")
    assert {bar.kind for bar in barred} == {forgotten.PICTURE}


def test_a_label_goes_whole_and_so_does_what_was_moved_to_it(made_set: Set) -> None:
    for file in ("Mina/Thumbs.db", "Mina/.DS_Store", "Jun/.DS_Store", "Jun/google_done"):
        (made_set.root / "data" / file).write_text("" if "done" in file else "same everywhere")
    for file in ("Mina/google_done", "Mina/empty.jpg", "Jun/empty.jpg"):
        (made_set.root / "data" / file).touch()
    moved = made_set.put("Jun/google_0009.jpg", "Mina among Jun's")
    made_set.review((moved, "Jun", "keep", "Mina"), (sha256("four"), "Jun", "drop", ""))
    made_set.row("", "never had", "https://pictures.example/404.jpg")
    made_set.rows[-1]["label"] = "Mina"
    made_set.write_rows()
    made_set.take(label="Mina")
    alike = {"data/Jun/.DS_Store", "data/Jun/google_done", "data/Jun/empty.jpg"}
    assert made_set.there() == {TABLE, "data/Jun/google_0001.jpg", *alike}
    assert not (made_set.root / "data/Mina").exists(), "the folder's name is a trace"
    assert "Mina" not in (made_set.root / TABLE).read_text()
    assert "Mina" not in (made_set.root / "review.csv").read_text()
    barred = forgotten.load(made_set.root / "data")
    assert barred.bars_label("Mina")
    assert barred.bars_picture(moved)
    assert barred.bars_address("https://pictures.example/404.jpg")


def test_a_set_already_split_and_a_label_in_another_unicode_form(tmp_path: Path) -> None:
    made = Set(tmp_path)
    decomposed = unicodedata.normalize("NFD", "한가상")
    for split in ("train", "validation", "test"):
        made.put(f"{split}/{decomposed}/a.jpg", f"{split} a")
        made.put(f"{split}/Jun/b.jpg", f"{split} b")
    copied = made.put("test/Jun/c.jpg", "train a")
    made.take(label="한가상")
    assert made.there() == {f"data/{split}/Jun/b.jpg" for split in paths.SPLITS}
    assert forgotten.load(tmp_path / "data").bars_picture(copied)
    with pytest.raises(UserError, match="--label train: no such label"):
        its_traces = traces.find(tmp_path, TakedownRequest.parse([], [], ["train"]))
        traces.check_known(its_traces, elsewhere=False)


def test_links_are_names_and_what_they_lead_to_outside_stays(made_set: Set) -> None:
    outside = made_set.root.parent / "album.jpg"
    outside.write_text("one")
    cached = made_set.root / ".dvc/cache/files/md5" / md5("one")[:2] / md5("one")[2:]
    cached.parent.mkdir(parents=True)
    cached.write_text("one")
    links = {"out.jpg": outside, "dvc.jpg": cached, "in.jpg": Path("google_0001.jpg")}
    for name, target in links.items():
        (made_set.root / "data/Mina" / name).symlink_to(target)
    its_traces = traces.find(made_set.root, TakedownRequest.parse([], [sha256("one")], []))
    assert {"Mina/dvc.jpg", "Mina/in.jpg"} <= set(its_traces.files)
    assert "Mina/out.jpg" not in its_traces.files, "nothing outside is read"
    _, (place,) = removal.held(versions.opened(made_set.root), made_set.root, its_traces)
    assert list(place.objects.values()) == [str(cached)]
    removal.remove(made_set.root, its_traces)
    assert cached.is_file(), "a name is not the object; that is named"
    made_set.take(label="Mina")
    assert outside.read_text() == "one"
    assert not (made_set.root / "data/Mina").exists()


def test_a_file_that_cannot_be_opened_is_named_and_stops_nothing(
    made_set: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = made_set.root / "data/Jun/google_0001.jpg"

    def refuse(path: Path) -> str:  # root, as whom tests may run, can open everything
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(paths, "sha256", refuse)
    output = made_set.run("--sha256", sha256("one"), "--yes")
    assert "cannot be opened" in output
    assert "data/Jun/google_0001.jpg" in output
    assert closed.is_file()
    assert not (made_set.root / "data/Jun/google_0002.jpg").exists()
    # Of a label that goes, it goes by its folder.
    assert "cannot be opened" not in made_set.run("--label", "Jun", "--yes")
    assert not closed.exists()


def test_a_row_that_leads_out_of_data_removes_nothing_there(made_set: Set) -> None:
    made_set.out("keep.txt")
    made_set.row("../keep.txt", "x", "https://pictures.example/x.jpg")
    made_set.take(url="https://pictures.example/x.jpg")
    assert "keep.txt" in made_set.there()
    assert "../keep.txt" not in (made_set.root / TABLE).read_text()


def test_rows_go_out_of_the_tables_of_all_crawls(made_set: Set) -> None:
    """Rows that a later crawl replaced name the person too."""
    other = made_set.root / "data/manifest/0002_00000000.csv"
    untouched = made_set.root / "data/manifest/0003_00000000.csv"
    moved = manifest.ManifestRow(
        "Mina/naver_0001.jpg", "Mina", image_url="https://pictures.example/3.jpg",
        sha256=sha256("three"), note=manifest.GONE,
    )  # fmt: skip
    (made_set.root / "data/Mina/naver_0001.jpg").rename(made_set.root / "data/Jun/moved.jpg")
    here = dataclasses.replace(moved, file="Jun/moved.jpg", label="Jun", note="")
    manifest.write(other, [moved, here])
    row = manifest.ManifestRow("Jun/google_0001.jpg", "Jun", sha256=sha256("four"))
    manifest.write(untouched, [row])
    before = untouched.read_bytes()
    its_traces = made_set.take(label="Mina")
    assert "Jun/moved.jpg" not in its_traces.files, "it is Jun's"
    rows = [row for file in manifest.files(made_set.root / "data") for row in tables.read(file)]
    assert [row["file"] for row in rows if row["sha256"] == sha256("three")] == ["Jun/moved.jpg"]
    assert not any("Mina" in "".join(row.values()) for row in rows)
    assert untouched.read_bytes() == before
    made_set.take(url=here.image_url)
    assert not other.exists(), "a table without rows"
    assert "data/Jun/moved.jpg" not in made_set.there()


def test_a_label_whose_folder_somebody_removed_is_known(made_set: Set) -> None:
    shutil.rmtree(made_set.root / "data/Mina")
    collection.Collection(made_set.root / "data").close()
    output = made_set.run("--label", "Mina", "--yes")
    assert "rows of data/manifest/" in output
    files = [made_set.root / file for file in made_set.there("data/manifest")]
    assert files
    assert not any("Mina" in file.read_text() for file in files)


def test_what_a_model_learned_from_takes_every_output_with_it(made_set: Set) -> None:
    made_set.clean(("Mina/google_0001.jpg", "Jun/google_0002.jpg"), ("Mina/google_0002.jpg",))
    made_set.split("Mina/google_0001.jpg", "Mina/google_0002.jpg")
    made_set.take(sha256=sha256("two"))
    left = {file for file in made_set.there() if not file.startswith("data/")}
    assert left == {"artifacts/backbone/weights.safetensors"}, "it knows no picture"


def test_what_cleaning_dropped_takes_only_what_speaks_of_it(made_set: Set) -> None:
    made_set.clean(("Mina/google_0001.jpg",), ("Mina/google_0002.jpg",))
    made_set.split("Mina/google_0002.jpg")
    made_set.take(sha256=sha256("one"))
    left = {file for file in made_set.there() if not file.startswith("data/")}
    assert "artifacts/clean/decisions.csv" not in left
    assert "reports/predictions.csv" not in left
    assert "artifacts/model/model.json" in left
    assert ".whoswho/checkpoints/last.pt" in left


def test_outputs_whose_table_is_lost_go_with_any_picture(made_set: Set) -> None:
    made_set.clean(("Mina/google_0001.jpg",))
    made_set.split("Mina/google_0001.jpg")
    (made_set.root / "artifacts/dataset/split.csv").unlink()
    made_set.take(sha256=sha256("four"))
    assert "artifacts/model/model.json" not in made_set.there()


def test_faces_found_in_it_are_overwritten(made_set: Set) -> None:
    folder = made_set.root / paths.FACES
    with FaceCache(folder) as cache:
        for content in ("one", "two"):
            cache.put(sha256(content), "1", f"face of {content}".encode())
    made_set.take(sha256=sha256("one"))
    with FaceCache(folder) as cache:
        assert cache.get(sha256("one"), "1") is None
        assert cache.get(sha256("two"), "1") is not None
    assert b"face of one" not in b"".join(file.read_bytes() for file in folder.iterdir())


def test_look_alikes_are_listed_and_taken_where_asked(made_set: Set) -> None:
    made_set.clean(
        ("Mina/google_0001.jpg", "Jun/google_0002.jpg", "Mina/naver_0001.jpg"),
        ("Jun/google_0001.jpg",),
    )
    output = made_set.run("--sha256", sha256("one"), "--dry-run")
    assert f"data/Mina/naver_0001.jpg  {sha256('three')}" in output
    assert "--with-copies" in output
    output = made_set.run("--sha256", sha256("one"), "--with-copies", "--yes")
    assert "look-alikes" not in output
    assert "data/Mina/naver_0001.jpg" not in made_set.there()
    assert "data/Jun/google_0001.jpg" in made_set.there()


def test_a_face_under_another_label_is_named(made_set: Set, cases: Path) -> None:
    """Two people in one photograph, which lies under the other one's name."""
    data, shared = made_set.root / "data", cases / "people/sports_celebrities"
    portraits = {
        "roger_federer": ("07548250.jpg", "sp27-Roger-Federer.jpg", "Roger-Federer.webp"),
        "maria_sharapova": ("maria-sharapova-praises-roger-federer-for-his-offcourt-life.jpg",
                            "Pretty-Maria-Sharapova-4-SW4155.jpg"),
    }  # fmt: skip
    for label, names in portraits.items():
        (data / label).mkdir()
        for name in names:
            shutil.copy(shared / label / name, data / label)
    both = data / "maria_sharapova" / portraits["maria_sharapova"][0]
    line = f"  whoswho forget --sha256 {paths.sha256(both)}   # data/maria_sharapova/{both.name}"
    options = ("--label", "roger_federer")
    assert "not looked for under other labels: " in made_set.run(*options, "--dry-run")
    shutil.copy(REPOSITORY / "params.yaml", made_set.root)
    before = made_set.there()
    output = made_set.run(*options, "--dry-run")
    assert named(output) == [line]
    assert made_set.there() == before
    assert named(made_set.run("--sha256", paths.sha256(both), "--dry-run")) == []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(embedding, "available", lambda: False)
        assert "under other labels: dlib or" in made_set.run(*options, "--dry-run")
        patched.undo()
        patched.setenv("WHOSWHO_CLUSTER", "nowhere")
        assert "under other labels: WHOSWHO_CLUSTER" in made_set.run(*options, "--dry-run")
    made_set.clean(*[(f"{label}/{name}",) for label, own in portraits.items() for name in own])
    made_set.cache()
    assert named(made_set.run(*options, "--yes")) == [line]
    assert not (data / "roger_federer").exists()
    assert named(made_set.run(*options, "--yes")) == [line], "by the objects in the cache"


def named(output: str) -> list[str]:
    """The lines that name a picture under another label."""
    return [line for line in output.splitlines() if "forget --sha256" in line]


@pytest.mark.parametrize("kind", ["url", "label", "sha256"])
def test_killed_anywhere_the_same_command_finishes(
    made_set: Set, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed again and again at other changes of the disk, until one run comes through."""
    target = {"url": IMAGE, "label": "Mina", "sha256": sha256("one")}[kind]
    made_set.review((sha256("one"), "Mina", "keep", ""))
    made_set.clean(("Mina/google_0001.jpg", "Jun/google_0002.jpg"), ("Jun/google_0001.jpg",))
    made_set.split("Mina/google_0001.jpg", "Jun/google_0001.jpg")
    made_set.cache()
    held = made_set.held(kind, target)
    of_model = md5("of artifacts/model/model.json")
    assert {md5("one"), md5(f"of artifacts/dataset/train/{sha256('one')}.png")} < held.keys()
    assert held[of_model] == "artifacts/model/model.json"
    assert not {md5("four"), md5(f"of artifacts/dataset/train/{sha256('four')}.png")} & held.keys()
    if kind == "sha256":  # of a picture that only the outputs still have
        for file in [*made_set.there("data/Mina"), "data/Jun/google_0002.jpg"]:
            (made_set.root / file).unlink()
        shutil.rmtree(made_set.root / "data/Jun/.ipynb_checkpoints")
        manifest.write(made_set.root / TABLE, [])

    class Killed(BaseException):
        pass

    left = 0

    def counted(real):  # type: ignore[no-untyped-def]
        def call(*arguments, **more):  # type: ignore[no-untyped-def]
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return real(*arguments, **more)

        return call

    kills = 0
    with monkeypatch.context() as patched:
        for owner, name in (
            (Path, "unlink"), (Path, "rmdir"), (shutil, "rmtree"), (Path, "replace"),
        ):  # fmt: skip
            patched.setattr(owner, name, counted(getattr(owner, name)))
        while True:
            left = 1 + kills % 4  # further at every other try
            try:
                made_set.take(**{kind: target})
                break
            except Killed:
                kills += 1
                barred = forgotten.load(made_set.root / "data")
                assert barred.bars_picture(sha256("one")) or kills == 1
            named = made_set.held(kind, target)
            assert named.keys() == held.keys(), "whatever was removed"
    assert kills > 3
    for file in ("Mina/google_0001.jpg", "Jun/google_0002.jpg"):
        assert f"data/{file}" not in made_set.there()
    assert sha256("one") not in (made_set.root / TABLE).read_text()
    assert len(tables.read(made_set.root / "review.csv")) == 0
    assert made_set.there("artifacts") == {"artifacts/backbone/weights.safetensors"}
    assert not made_set.there("reports")
    assert "data/Jun/google_0001.jpg" in made_set.there()


def test_dry_run_changes_nothing(made_set: Set) -> None:
    before = {file: (made_set.root / file).read_bytes() for file in made_set.there()}
    output = made_set.run("--label", "Mina", "--dry-run")
    for file in ("Mina/google_0001.jpg", "Mina/google_0002.jpg", "Jun/google_0002.jpg"):
        assert f"data/{file}" in output
    assert "4 rows of data/manifest/" in output
    assert before == {file: (made_set.root / file).read_bytes() for file in made_set.there()}
    assert not (made_set.root / "data/forgotten").exists()
    assert not (made_set.root / "mlflow.db").exists(), "no store is made to look into"


def test_it_asks_first(made_set: Set) -> None:
    pty = pytest.importorskip("pty", reason="Windows has none", exc_type=ImportError)
    before = made_set.there()
    output = made_set.run("--url", IMAGE, code=2)
    assert output.splitlines()[-1].startswith("whoswho: nothing was changed: nobody can be asked")
    assert made_set.there() == before
    for answer, gone in ((b"n\n", False), (b"y\n", True)):
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "whoswho.cli", "forget", "--url", IMAGE], cwd=made_set.root,
            env=environment(REPOSITORY), stdin=theirs, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        os.write(ours, answer)
        out, _ = process.communicate(timeout=120)
        assert b"[y/N]" in out
        assert process.returncode == (0 if gone else 2)
        assert ("data/Mina/google_0001.jpg" not in made_set.there()) is gone
        os.close(ours)
        os.close(theirs)


def test_what_is_not_there_is_barred_ahead(made_set: Set) -> None:
    output = made_set.run("--url", "https://x.example/a.jpg", "--sha256", sha256("new"))
    assert "nothing in this repository has it" in output
    assert "barred from later crawls" in output
    assert "  dvc repro" in output, "the bar is part of the set"
    barred = forgotten.load(made_set.root / "data")
    assert barred.bars_address("https://x.example/a.jpg")
    assert barred.bars_picture(sha256("new"))
    assert "dvc repro" not in made_set.run("--sha256", sha256("new")), "nothing new"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say what, with --url, --sha256 or --label"),
        (["--url", "data:image/png;base64,AA"], "not an address in the net"),
        (["--sha256", "abc"], "not 64 hexadecimal digits"),
        (["--label", "Mnia"], "did you mean 'Mina'?"),
        (["--label", ""], "--label: is empty"),
    ],
)
def test_bad_input_is_one_line(made_set: Set, arguments: list[str], message: str) -> None:
    before = made_set.there()
    answer = made_set.run(*arguments, "--yes", code=2)
    assert message in answer.splitlines()[-1]
    assert "Traceback" not in answer
    assert made_set.there() == before
    assert not (made_set.root / "data/forgotten").exists()


class _Remote(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture(name="served")
def fixture_served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "remote"
    folder.mkdir()
    handler = partial(_Remote, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_crawl_under_way_ends_first(made_set: Set) -> None:
    before = made_set.there()
    with collection.alone(made_set.root):
        output = made_set.run("--label", "Mina", "--yes", code=2)
    assert "wait for its end" in output
    assert made_set.there() == before


def test_what_a_crawl_brought_while_the_question_stood_goes_too(made_set: Set) -> None:
    its_traces = traces.find(made_set.root, TakedownRequest.parse([PAGE], [], []))
    data = made_set.root / "data"
    shutil.copy(data / "Jun/google_0001.jpg", data / "Jun/google_0007.jpg")
    with (data / "Jun/google_0007.jpg").open("ab") as file:
        file.write(b"later")
    later = paths.sha256(data / "Jun/google_0007.jpg")
    row = manifest.ManifestRow("Jun/google_0007.jpg", "Jun", page_url=PAGE, sha256=later)
    manifest.append(made_set.root / TABLE, row)
    removal.remove(made_set.root, its_traces)
    assert "data/Jun/google_0007.jpg" not in made_set.there()
    assert forgotten.load(data).bars_picture(later)


def test_marks_of_finished_searches_name_the_label_no_more(made_set: Set) -> None:
    marks = finished.Finished(made_set.root, made_set.root / "data")
    for label in ("Mina", "Jun"):
        search = Search(f"{label} actress", label)
        source = CrawlSource("google", Commons, [search], 10)
        marks.add(marks.mark(source, search, face=False))
    made_set.take(label="Mina")
    text = (made_set.root / finished.NAME).read_text()
    assert "Mina" not in text
    assert "Jun" in text


def test_a_later_crawl_brings_nothing_back(
    made_set: Set, served: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, address = served
    album, table = made_set.root / "album", made_set.root / "urls.csv"
    (album / "Sora").mkdir(parents=True)
    for name, color in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (90, 90), color).save(album / "Sora" / name)
        shutil.copy(album / "Sora" / name, folder)
    tables.write(table, ("url", "label"), [
        {"url": f"{address}/{name}", "label": "Sora"} for name in ("a.png", "b.png")
    ])  # fmt: skip
    red = paths.sha256(album / "Sora/a.png")
    crawl = ("crawl", "--urls", str(table), "--allow-private", "--again")
    made_set.cli(*crawl)
    assert len(made_set.there("data/Sora")) == 2
    made_set.run("--sha256", red, "--yes")
    assert len(made_set.there("data/Sora")) == 1

    output = made_set.cli(*crawl)
    assert "data/forgotten/ bars them" in output
    assert len(made_set.there("data/Sora")) == 1, "neither by its bytes"
    Image.new("RGB", (90, 90), "darkred").save(folder / "a.png")
    made_set.cli(*crawl)
    assert len(made_set.there("data/Sora")) == 1, "nor by its address with other bytes"
    made_set.cli("crawl", "--folder", str(album))
    files = [made_set.root / file for file in made_set.there("data/Sora")]
    assert red not in {paths.sha256(file) for file in files}, "nor from elsewhere"
    made_set.run("--label", "Sora", "--yes")
    made_set.cli("crawl", "--folder", str(album), code=None)
    assert not (made_set.root / "data/Sora").exists(), "a person's name is barred"


def test_a_table_that_cannot_be_read_stops_before_anything_goes(made_set: Set) -> None:
    (made_set.root / "review.csv").write_text("sha256\n")
    before = made_set.there()
    assert "review.csv: column" in made_set.run("--label", "Mina", "--yes", code=2)
    assert made_set.there() == before


def test_what_check_will_say_is_said(made_set: Set) -> None:
    (made_set.root / "keywords.txt").write_text("Jun\nMina actress = Mina\n")
    output = made_set.run("--label", "Mina", "--yes")
    assert "keywords.txt, line 2, still names a label" in output
    assert "`whoswho check` will say" in output
    assert "one label only, 'Jun'" in output


def test_a_hash_in_capitals_in_review_csv_is_the_pictures(made_set: Set) -> None:
    file = next(made_set.root / name for name in sorted(made_set.there("data/Jun")))
    made_set.review((paths.sha256(file).upper(), "Jun", "keep", "Mina"))
    made_set.run("--label", "Mina", "--yes")
    assert not file.exists()
    assert forgotten.load(made_set.root / "data").bars_label("Mina")  # it can be read
    made_set.review(("no hash", "Jun", "keep", "Sora"))
    made_set.run("--label", "Sora", "--yes")
    assert forgotten.load(made_set.root / "data").bars_label("Sora")


def in_git(folder: Path, **files: str) -> None:
    """Commit files, each called by its path with _ for the slash and __ for the dot."""
    for name, text in files.items():
        file = folder / name.replace("__", ".").replace("_", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    commit(folder)


OWN = (Path("keywords.txt"), paths.REVIEW)


def test_of_commits_only_what_speaks_of_the_label_is_to_go(tmp_path: Path) -> None:
    in_git(tmp_path, reports_a__md="by Kim, once", review__csv="why\nnot Kim", keywords__txt="Kim")
    in_git(tmp_path, reports_a__md="of Kim Minji", reports_b__csv="Kim Minji/1.jpg,Kim Minji")
    history = committed.find(tmp_path, {"Kim"}, {"Kim Minji", "Jun"}, set(), OWN)
    assert list(history.paths.values()) == ["reports/a.md"]
    assert committed.lines(history) == ["Git's history: reports/a.md, 1 state of it"]
    in_git(tmp_path, review__csv="why\nnobody")
    history = committed.find(tmp_path, {"Kim"}, {"Kim Minji"}, set(), OWN)
    assert sorted(history.paths.values()) == ["reports/a.md", "review.csv"], (
        "an earlier state of it"
    )
    subprocess.run(["git", "remote", "add", "origin", "/a folder"], cwd=tmp_path, check=True)
    assert "git remote add origin '/a folder'" in committed.stripping(tmp_path, history)


def test_a_git_that_does_not_say_all_is_not_taken_for_one_that_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    perhaps = "Git's history: perhaps; "
    arguments = {"Kim"}, set[str](), set[str](), ()
    (tmp_path / "plain").mkdir()
    assert committed.find(tmp_path / "plain", *arguments) == committed.Committed()
    in_git(tmp_path / "a", reports_a__md="by Kim", reports_b__md="of Jun")
    folder = tmp_path / "a"
    name = git.answer(folder, "rev-parse", "HEAD:reports/b.md") or ""
    (folder / ".git/objects" / name[:2] / name[2:]).unlink()
    history = committed.find(folder, *arguments)
    assert list(history.paths.values()) == ["reports/a.md"]
    assert committed.lines(history)[-1].startswith(perhaps)
    monkeypatch.setenv("PATH", str(tmp_path / "plain"))
    (line,) = committed.lines(committed.find(folder, *arguments))
    assert line.startswith(perhaps)


def test_an_absent_store_stops_no_takedown(made_set: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    output = made_set.run("--label", "Mina", "--yes")
    assert "warning: no run or version was looked into" in output
    assert not (made_set.root / "data/Mina").exists()


def test_objects_are_named_in_the_cache_and_in_every_remote(
    made_set: Set, served: tuple[Path, str]
) -> None:
    folder, address = served
    local = made_set.root.parent / "disk"
    with (made_set.root / ".dvc/config").open("a") as config:
        for name, url in (("disk", local), ("web", address), ("gone", "http://127.0.0.1:9")):
            config.write(f"['remote \"{name}\"']\n    url = {url}\n")
    held = f"files/md5/{md5('one')[:2]}/{md5('one')[2:]}"
    for place in (folder, local, made_set.root / ".dvc/cache"):
        (place / held).parent.mkdir(parents=True)
        (place / held).write_text("one")
    for already_gone in (False, True):  # the second time no file tells the object's name
        output = made_set.run("--sha256", sha256("one"), "--yes")
        line = f"DVC cache: .dvc/cache/{held}, also in remote disk, also in remote web"
        assert line in output
        assert "DVC remote gone: perhaps (nothing is seen there" in output
        assert ("nothing in this repository has it" in output) is already_gone
        steps = output.partition("next:")[2]
        for remote in ("disk", "web"):
            assert f"  dvc gc --workspace --cloud -r {remote}\n" in steps
    made_set.put("Jun/google_0003.jpg", "one")
    shutil.rmtree(made_set.root / ".dvc/cache")
    output = made_set.run("--sha256", sha256("one"), "--yes")
    assert f"DVC remote disk: {local}/{held}, also in remote web" in output
    output = made_set.run("--sha256", sha256("one"))
    assert f"DVC remote disk: {local}/{held}, also in remote web  (sha256" in output
    shutil.rmtree(local)
    output = made_set.run("--sha256", sha256("one"))
    for remote in ("disk", "web"):
        assert f"DVC remote {remote}: perhaps (no file tells any more" in output


def test_runs_and_versions_are_named(root: Path) -> None:
    record = small.write(root)
    store = open_store(root)
    run = completion.completed_run(
        store, record, root / "reports", {}, {}
    ).info.run_id  # fmt: skip
    row = next(row for row in record.split if row.split == "train")
    (held,) = holders.holding(store, {row.sha256}, set())
    assert str(held) == f"run {run}: in its train pictures"

    store.client.create_registered_model("whoswho")
    store.client.create_model_version("whoswho", "file:///nowhere", run)
    store.client.set_registered_model_alias("whoswho", "champion", "1")
    assert holders.holding(store, {sha256("another")}, set()) == []
    (by_label,) = holders.holding(store, set(), {row.label})
    assert str(by_label) == (
        f"version 1 (champion) of run {run}: in its test, train, validation pictures"
    )
    assert by_label.lines[1].startswith("version 1, in the memory of every `whoswho serve`")
    assert holders.served(store, [by_label]) == []
    running.note(root, 1)
    (server,) = holders.served(store, [by_label])
    assert (
        server == f"server {os.getpid()} (`kill {os.getpid()}` ends it): version 1 in its memory"
    )
    assert holders.served(store, []) == [], "it holds somebody else"
    (root / running.FOLDER / "1-1").write_text("1\n")  # of a process of long ago
    assert holders.served(store, [by_label]) == [server]
    shutil.rmtree(root / "mlartifacts" / run / "artifacts" / "dataset")
    (lost,) = holders.holding(store, {sha256("another")}, set())
    assert "nobody can tell" in str(lost)
    store.client.delete_run(run)
    (deleted,) = holders.holding(store, {sha256("another")}, set())
    assert not any(line.startswith("mlflow runs delete") for line in deleted.deletion)


@pytest.fixture(scope="module", name="trained")
def fixture_trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A small drawn set after one `dvc repro`, with a default remote it was pushed to."""
    folder = tmp_path_factory.mktemp("takedown")
    workspace = built_sample().copy(folder / "clone")
    workspace.run("dvc", "remote", "remove", "sample")  # which is not in the copy
    workspace.run("dvc", "remote", "add", "-d", "team", folder / "team")
    commit(workspace.path, "trained")
    workspace.run("dvc", "push", "-q")
    return workspace


PERSON = "Ada Nonesuch"


def groups() -> set[str]:
    """The pictures of the drawn sample that show the person beside the one of their label."""
    drawn = sample.plan(portraits=PORTRAITS)
    return {
        file.path
        for file in drawn
        if file.kind == "several_faces" and file.label != PERSON and PERSON in dict(file.people)
    }


@dataclasses.dataclass(frozen=True)
class Person:
    """All by which a person is found again: what is made of their pictures, too."""

    rows: list[tables.Row]
    contents: dict[str, Path]
    looks: dict[str, int]
    faces: Vectors
    other_faces: Vectors
    elsewhere: set[str]  # hashes of pictures of others alone, and of the documentation's
    vectors: list[bytes]

    @classmethod
    def of(cls, workspace: Workspace) -> Person:
        rows = workspace.rows("artifacts/clean/decisions.csv")
        own = [row for row in rows if row["label"] == PERSON or row["file"] in groups()]
        split = workspace.rows("artifacts/dataset/split.csv")
        prepared = [row for row in split if row["label"] == PERSON]
        root = workspace.path
        files = [root / "data" / row["file"] for row in own]
        files += [root / "artifacts/dataset" / row["path"] for row in prepared]
        files += [root / "reports" / name for name in ("mistakes.png", "clean.html")]
        files += [*(root / "artifacts/features").glob("*.npy"),
                  root / "artifacts/model/weights.safetensors"]  # fmt: skip
        # What looks like nobody else: the others' pictures stay.
        unlike = [look(root / "data" / row["file"]) for row in rows
                  if row["label"] != PERSON and row["decision"] == "kept"]  # fmt: skip
        looks = {row["file"]: look(root / "data" / row["file"]) for row in own
                 if row["decision"] == "kept"}  # fmt: skip
        looks = {
            file: bits for file, bits in looks.items()
            if min((bits ^ each).bit_count() for each in unlike) > 2 * CLOSE
        }  # fmt: skip
        own_faces, other_faces = (
            np.array(
                [
                    vector
                    for row in rows
                    if row["decision"] == "kept" and (row["label"] == PERSON) == is_own
                    for vector in faces(opening.open_picture(root / "data" / row["file"]))
                ]
            )
            for is_own in (True, False)
        )
        index = workspace.rows("artifacts/features/index.csv")
        theirs = [row for row in index if row["label"] == PERSON]
        vectors = features(root / "artifacts/features", theirs)
        contents = {paths.sha256(file): file for file in files}
        elsewhere = {row["sha256"] for row in rows} - {row["sha256"] for row in own}
        elsewhere |= {paths.sha256(file) for file in (root / "docs").glob("*.png")}
        return cls(own, contents, looks, own_faces, other_faces, elsewhere, vectors)

    def left(self, everything: Everything) -> dict[str, list[str]]:
        """By each kind of search, where there is something of the person."""
        bars = set(everything.having(b"kind,sha256\n"))  # they are the hashes themselves
        rows = [(row["file"].encode(), row["sha256"].encode()) for row in self.rows]
        return {
            "bytes": [where for each in self.contents for where in everything.equal(each)],
            "hash": [where for _, sha256 in rows for where in everything.having(sha256)
                     if where not in bars],
            "look": [where for bits in self.looks.values() for where in everything.like(bits)],
            "face": everything.showing(self.faces, self.other_faces, self.elsewhere),
            "vector": [where for each in self.vectors for where in everything.having(each)],
            "name": [where for file, _ in rows for where in everything.having(file)],
        }  # fmt: skip


@pytest.mark.slow(minutes=2)
def test_a_person_is_taken_down_to_the_last_byte(trained: Workspace) -> None:
    root, exported = trained.path, trained.path.parent / "exported"
    trained.run(
        "whoswho", "export", exported, "--format", "safetensors", "--model", "artifacts/model"
    )
    person = Person.of(trained)
    assert person.looks
    picked = next(iter(person.looks))
    half = root / "artifacts/.dataset.partial/train"  # of a killed stage
    half.mkdir(parents=True)
    shutil.copy(root / "data" / picked, half)
    shown = base64.b64encode((root / "data" / picked).read_bytes()).decode()
    trained.run("dvc", "plots", "show")
    (root / "reports/compare.html").write_text(f'<img src="data:image/jpeg;base64,{shown}">')

    before = person.left(Everything(trained.path.parent))
    for place in (
        "clone/data/",
        "clone/artifacts/clean/thumbnails",
        "clone/artifacts/dataset/",
        ".dataset.partial",
        "compare.html, inside",
        "dvc_plots/",
        "clean.html",
        ".dvc/cache",
        "team/files",
        "mlartifacts",
        ".git: blob",
        "faces.sqlite",
        "artifacts/features/train.npy",
    ):
        assert any(place in where for places in before.values() for where in places), place
    assert all(before.values()), before

    forget = ("whoswho", "forget", "--label", PERSON, "--with-copies", "--yes")
    output = trained.run(*forget).stdout
    for line in (
        "version 1 (challenger) of run",
        f"exported model: {exported}\n",
        "Git's history: reports/predictions.csv, ",
        "also in remote team  (artifacts/model/weights.safetensors)",
    ):
        assert line in output, output
    assert not half.exists()
    shown = dict(re.findall(r"whoswho forget --sha256 (\w{64})   # data/(.+)", output))
    assert set(shown.values()) == groups() != set()
    forget += tuple(word for sha256 in shown for word in ("--sha256", sha256))
    output = trained.run(*forget).stdout
    again = trained.run(*forget).stdout
    assert held_lines(again) == held_lines(output), "as after a kill"
    assert steps(again) == steps(output)

    script = "\n".join(
        f"{step} --force" if step.startswith("dvc gc") else step for step in steps(output)
    )
    trained.run("bash", "-e", "-c", script)
    last = trained.run(*forget).stdout
    assert "held elsewhere: by no DVC object" in last, last
    assert steps(last) == []
    left = person.left(Everything(trained.path.parent))
    assert not any(left.values()), left
    assert trained.run("git", "status", "--porcelain").stdout == ""


def steps(output: str) -> list[str]:
    """The commands that `forget` printed to be typed."""
    lines = output.partition("next:\n")[2].splitlines()
    return [line.strip() for line in lines if line.startswith("  ")]


def held_lines(output: str) -> list[str]:
    return output.partition("held elsewhere")[2].partition("barred from")[0].splitlines()
