"""Whatever is damaged or hostile is refused in one line: no traceback, nothing run, none lost.

`make fuzz` looks for as long as wanted; here a fixed number of cases is tried. What was found once
is kept below as a case of its own.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save
from starlette.exceptions import HTTPException
from support import fuzzing, reported
from support.fuzzing import refused_in_a_line, spoiled_bytes, spoiled_json, spoiled_table
from support.repository import REPOSITORY

from whoswho import params, paths
from whoswho.artifacts import decisions, features, predictions, split, suspects
from whoswho.artifacts.model import backbone, description
from whoswho.crawl import finished, keywords, listed, proxies
from whoswho.dataset import forgotten, manifest, review
from whoswho.dataset.manifest import ManifestRow
from whoswho.lifecycle.registry import probe_files
from whoswho.lifecycle.serving import bodies
from whoswho.pictures import opening
from whoswho.pictures.opening import ImageOpenError
from whoswho.pictures.opening.file_kinds import register_heif
from whoswho.reporting import page, run_report


@pytest.fixture(scope="module")
def tally(tmp_path_factory: pytest.TempPathFactory) -> Iterator[fuzzing.Tally]:
    counted = fuzzing.Tally()
    yield counted
    total = sum(counted.cases.values())
    print(f"\n{total} cases fuzzed:", *(f"{n} {name}" for name, n in counted.cases.items()))


Refusal = TypeVar("Refusal", bound=Exception)


def refusal(
    kind: type[Refusal], look: Callable[..., object], *arguments: object
) -> Refusal | None:
    """The error of this kind, and none of another, with which `look` refuses; None if it takes."""
    try:
        look(*arguments)
    except kind as error:
        return error
    return None


# --- Pictures ------------------------------------------------------------------------------------


def pictures() -> list[bytes]:
    """A small picture in every format that is opened."""
    register_heif()
    dice = np.random.default_rng(0)
    pixels = Image.fromarray(dice.integers(0, 256, (24, 32, 3), np.uint8))
    turned = Image.Exif()
    turned[0x112] = 6
    grey = Image.fromarray(dice.integers(0, 65536, (24, 32)).astype(np.uint16))
    kinds = [
        (pixels, {"format": "JPEG", "exif": turned}),
        (pixels, {"format": "JPEG", "progressive": True}),
        (pixels.convert("CMYK"), {"format": "JPEG"}),
        (pixels, {"format": "PNG"}),
        (pixels.convert("P"), {"format": "PNG", "transparency": 3}),
        (pixels.convert("RGBA"), {"format": "PNG", "exif": turned}),
        (grey, {"format": "PNG"}),
        (pixels, {"format": "WEBP"}),
        (pixels.convert("RGBA"), {"format": "WEBP", "lossless": True}),
        (pixels, {"format": "AVIF"}),
        (pixels, {"format": "HEIF"}),
        (pixels, {"format": "GIF"}),
        (pixels, {"format": "GIF", "save_all": True, "append_images": [pixels]}),
        (pixels, {"format": "TIFF", "compression": "tiff_lzw", "exif": turned}),
        (grey, {"format": "TIFF"}),
        (pixels.convert("LAB"), {"format": "TIFF"}),
        (pixels, {"format": "BMP"}),
        (pixels, {"format": "ICO"}),
        (pixels, {"format": "ICNS"}),
        (pixels, {"format": "JPEG2000"}),
        (pixels, {"format": "PPM"}),
        (pixels, {"format": "SGI"}),
        (pixels, {"format": "QOI"}),
        (pixels, {"format": "DDS"}),
        (pixels, {"format": "MPO", "save_all": True, "append_images": [pixels]}),
    ]
    out = []
    for image, options in kinds:
        buffer = io.BytesIO()
        image.save(buffer, **options)
        out.append(buffer.getvalue())
    return out


def opened(data: bytes) -> None:
    for look in (opening.open_with_format, opening.read_header):
        error = refusal(ImageOpenError, look, data)
        if error:
            assert error.reason in ("unreadable", "truncated", "not_a_picture", "animated")
            assert "\n" not in error.detail


def test_pictures(tally: fuzzing.Tally) -> None:
    tally.run("pictures", spoiled_bytes(pictures()), opened, 400)


# --- What a person writes ------------------------------------------------------------------------


KEYWORDS = """# people
Hong Gil-dong
홍길동 = Hong Gil-dong
Im Kkeok-jeong = Im
""".encode()
REVIEW = "sha256,label,decision,other_label,why,file\n"


def read_file(
    path: Path, look: Callable[[], object], *, names: str = ""
) -> Callable[[bytes], None]:
    """Write a case where it belongs, then look; a reader may not write anywhere else."""

    def tried(case: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(case)
        refused_in_a_line(look, names or path.name)

    return tried


def test_params(tally: fuzzing.Tally, tmp_path: Path) -> None:
    whole = (REPOSITORY / "params.yaml").read_bytes()
    made = tmp_path / "made"
    hostile = [
        f"seed: !!python/object/apply:os.system ['touch {made}']\n".encode(),
        b"a: &a [x, x]\n"
        + b"".join(
            b"%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n" % (n + 1, n + 1, *[n] * 8)
            for n in range(97, 110)
        ),
        b"[" * 5000,
        b"{a: " * 5000,
        b"a: " + b"9" * 10000,
        b"a: *b",
        b"<<: *a",
        b"\t",
        b"%YAML 9",
    ]
    look = read_file(tmp_path / "params.yaml", lambda: params.load_params(tmp_path))
    for case in hostile:
        look(case)
    tally.run("params.yaml", spoiled_bytes([whole, *hostile[:1]]), look, 60)
    assert not made.exists()


def test_keywords_and_lists(tally: fuzzing.Tally, tmp_path: Path) -> None:
    file = tmp_path / "keywords.txt"
    look = read_file(file, lambda: keywords.read(file, tmp_path))
    tally.run("keywords.txt", spoiled_bytes([KEYWORDS]), look)
    table = tmp_path / "list.csv"
    look = read_file(table, lambda: listed.from_table(table))
    whole = b"url,label,page\nhttp://x.example/1.jpg,Ann,\ndata:image/png;base64,AA,Bob,http://x\n"
    tally.run("--urls", spoiled_table([whole]), look)
    several = tmp_path / "proxies.txt"
    look = read_file(several, lambda: proxies.read(str(several)))
    tally.run(
        "--proxies",
        spoiled_bytes([b"http://u:p@proxy.example:80\nsocks5://127.0.0.1:1\n"]),
        look,
        60,
    )


def test_review(tally: fuzzing.Tally, tmp_path: Path) -> None:
    file = tmp_path / "review.csv"
    columns = ",".join(review.COLUMNS)
    whole = f"{columns}\n{'a' * 64},Ann,keep,,it is her,\n{'b' * 64},Bob,drop,,,\n"
    tally.run(
        "review.csv", spoiled_table([whole.encode()]), read_file(file, lambda: review.read(file))
    )


def test_tables_of_the_set(tally: fuzzing.Tally, tmp_path: Path) -> None:
    data = tmp_path / "data"
    table = data / "manifest" / "0001_abcd.csv"
    manifest.write(table, [
        ManifestRow("Ann/google_0001.jpg", "Ann", "google", "Ann", "1", "http://x", "http://x/1.jpg",
                    "2026-01-01T00:00:00+00:00", "a" * 64, "100", "10", "10", "image/jpeg"),
        ManifestRow(label="Bob", site="naver", search="Bob", rank="2", note="404"),
    ])  # fmt: skip
    whole = table.read_bytes()
    copied = data / "manifest" / "0002_abcd.csv"

    def rewritten() -> None:
        manifest.write(copied, manifest.read(data))
        manifest.read(data)

    look = read_file(table, rewritten, names="manifest")
    endless = whole.replace(b",2,", b"," + b"9" * 5000 + b",")
    known_cases = (*fuzzing.DAMAGED[".csv"], endless)
    tally.run("manifest.csv", spoiled_table([whole]), look, known_cases=known_cases)
    copied.unlink()
    bars = data / "forgotten" / "1.csv"
    forgotten.add(data, pictures=["c" * 64], addresses=["http://x.example/"], labels=["Cid"])
    (made,) = (data / "forgotten").iterdir()
    whole = made.read_bytes()
    made.unlink()
    tally.run(
        "forgotten.csv", spoiled_table([whole]), read_file(bars, lambda: forgotten.load(data))
    )
    marks = tmp_path / finished.NAME
    whole = b"data,label,site,search,face,limit,full,contents\ndata,Ann,google,Ann,,100,,\n"
    look = read_file(marks, lambda: finished.Finished(tmp_path, data))
    tally.run("finished.csv", spoiled_table([whole]), look, 60)


# --- What a stage left for the next --------------------------------------------------------------


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that is read after training, small."""
    folder = tmp_path_factory.mktemp("fuzz") / "workspace"
    reported.workspace(folder, reported.HOSTILE[:4], missing=None, repeats=2)
    kept = decisions.FaceSettings(**FACES)
    decisions.write_face_settings(folder / paths.CLEAN, kept)
    suspect = suspects.Suspect(
        file="C++/google_0000.jpg",
        sha256="a" * 64,
        label="C++",
        split="train",
        suggested="O'Neil",
        probability_label=0.1,
        probability_suggested=0.8,
        score=0.7,
        rank=1,
    )
    (folder / paths.SUSPECTS).mkdir(exist_ok=True)
    listed = suspects.SuspectList(suspects=(suspect,), pictures=9, judged=8, accuracy=0.9)
    suspects.write_suspects(folder / paths.SUSPECTS, listed)
    dataset = split.load_dataset(folder / paths.DATASET)
    (folder / paths.FEATURES).mkdir()
    for name in dataset.splits:
        shape = (2, len(dataset.examples[name]), 8)
        features.create_values(folder / paths.FEATURES, name, shape)[:] = 0.5
    features.write_index(folder / paths.FEATURES, dataset, "ab" * 32, "fp32")
    rows = split.read_split(folder / paths.DATASET)
    vectors = [np.full(4, 0.5, np.float32) for _ in rows]
    split.write_face_vectors(folder / paths.DATASET, vectors)
    tensors = {"backbone.a": np.zeros((2, 3), np.float32), "head.b": np.ones(4, np.float16)}
    (folder / paths.MODEL / description.WEIGHTS).write_bytes(save(tensors))
    (folder / "probes").mkdir()
    probe = {"picture": "0.png", "face": "1 2 3 4", "predicted": "C++", "unknown": False,
             "probabilities": {"C++": 0.9}}  # fmt: skip
    paths.write_json(folder / probe_files.TABLE, [probe])
    return folder


FACES: dict[str, object] = {
    "faces": "one", "probability": 0.9, "min_size": 0.06, "identity": "dlib",
    "identity_limits": {"Ann": 0.4}, "identity_notes": [],
}  # fmt: skip


def read_all(folder: Path) -> None:
    """As the stage report does, but the figures; of a fixed number of cases few are rendered."""
    report = run_report.read_run(folder)
    run_report.write_tables(report, folder / "out")
    page.model_card(report)
    assert len(report.explained) == len(report.evaluation.heat_maps)
    if not fuzzing.SECONDS and len(RENDERED) > 3:
        return
    RENDERED.append(folder)
    figures = ("confusion_matrix", "training_batch", "calibration", "attention", "history")
    page.html(report, dict.fromkeys(figures, b""))


RENDERED: list[Path] = []  # a tenth of a second each


def read_listed(folder: Path) -> None:
    listing = suspects.read_suspects(folder / paths.SUSPECTS)
    assert listing is None or listing.sentence


def read_features(folder: Path) -> None:
    dataset = split.load_dataset(folder / paths.DATASET)
    for stored in features.load_features(folder / paths.FEATURES, dataset).values():
        np.isfinite(stored.values).all()
    split.face_vectors(dataset)


READERS: dict[Callable[[Path], object], tuple[str, ...]] = {
    read_all: (
        "artifacts/clean/decisions.csv", "artifacts/dataset/split.csv",
        "artifacts/dataset/dataset.json", "artifacts/dataset/overlaps.csv",
        "artifacts/model/model.json", "artifacts/model/history.csv",
        *(f"artifacts/evaluation/{name}" for name in predictions.FILES),
    ),
    read_listed: ("artifacts/suspects/suspects.csv", "artifacts/suspects/suspects.json"),
    read_features: (
        "artifacts/features/index.json", "artifacts/features/index.csv",
        "artifacts/features/train.npy", "artifacts/dataset/face_vectors.npy",
    ),
    lambda folder: decisions.read_face_settings(folder / paths.CLEAN): (
        "artifacts/clean/faces.json",
    ),
    lambda folder: backbone.load_source(folder / paths.BACKBONE): (
        "artifacts/backbone/source.json",
    ),
    lambda folder: description.read_weights(folder / paths.MODEL): (
        "artifacts/model/weights.safetensors",
    ),
    lambda folder: probe_files.read_probes(folder): ("probes/probes.json",),
}  # fmt: skip
STRATEGIES = {".csv": spoiled_table, ".json": spoiled_json}


@pytest.mark.parametrize(
    ("look", "name"), [(look, name) for look, names in READERS.items() for name in names],
    ids=[name for names in READERS.values() for name in names],
)  # fmt: skip
def test_artifacts(
    look: Callable[[Path], object], name: str, workspace: Path, tally: fuzzing.Tally
) -> None:
    file = workspace / name
    whole = file.read_bytes()
    strategy = STRATEGIES.get(file.suffix, spoiled_bytes)([whole])
    before = {path for path in workspace.parent.rglob("*") if path.is_file()}
    names = "probe" if name.startswith("probes") else file.parent.name
    try:
        RENDERED.clear()
        look(workspace)  # as it is, it is read
        tried = read_file(file, lambda: look(workspace), names=names)
        tally.run(name, strategy, tried, 60, fuzzing.DAMAGED[file.suffix])
    finally:
        file.write_bytes(whole)
        shutil.rmtree(workspace / "out", ignore_errors=True)
    assert {path for path in workspace.parent.rglob("*") if path.is_file()} == before


# --- What a client sends -------------------------------------------------------------------------

BODIES = {
    "application/json": [
        json.dumps({"inputs": {"image": ["aGVsbG8="]}}).encode(),
        json.dumps({"dataframe_split": {"columns": ["image"], "data": [["aGVsbG8="]]}}).encode(),
        json.dumps({"dataframe_records": [{"image": "data:image/png;base64,aGVsbG8="}]}).encode(),
        json.dumps({"instances": ["aGVsbG8="]}).encode(),
    ],
    "text/csv": [b"image\naGVsbG8=\naGVsbG8=\n"],
    "multipart/form-data; boundary=x": [
        b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\n'
        b"Content-Type: image/png\r\n\r\nhello\r\n"
        b'--x\r\nContent-Disposition: form-data; name="page"\r\n\r\n1\r\n--x--\r\n'
    ],
}


@pytest.mark.parametrize("kind", BODIES)
def test_bodies(kind: str, tally: fuzzing.Tally) -> None:
    strategy = spoiled_json if kind == "application/json" else spoiled_bytes

    def look(body: bytes) -> None:
        for read in (bodies.pictures, bodies.rows):
            error = refusal(HTTPException, read, kind, body)
            assert error is None or 400 <= error.status_code < 500
            assert error is None or len(error.detail) < 400

    tally.run(f"body {kind.split(';')[0]}", strategy(BODIES[kind]), look, 200)


def test_content_types(tally: fuzzing.Tally) -> None:
    def look(kind: bytes) -> None:
        for read in (bodies.pictures, bodies.rows):
            error = refusal(HTTPException, read, kind.decode("latin-1"), b"hello")
            assert error is None or 400 <= error.status_code < 500

    tally.run("content type", spoiled_bytes([kind.encode() for kind in BODIES]), look)
