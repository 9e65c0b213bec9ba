"""`whoswho serve`: its page in a real browser, its addresses, and the versions it follows."""

from __future__ import annotations

import base64
import http.client
import io
import itertools
import json
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image
from starlette.exceptions import HTTPException
from support import browser, serving
from support.drawn_sets import draw_set
from support.lifecycle_store import environment, fixture_made, fixture_root  # noqa: F401
from support.pictures import png, portrait
from support.processes import start

from whoswho import cli, paths
from whoswho.artifacts import decisions
from whoswho.artifacts.decisions import KEPT, Decision
from whoswho.artifacts.features import create_values, index_digest, write_index
from whoswho.artifacts.model.settings import PictureSettings
from whoswho.inference import predictor
from whoswho.inference.predictor import Predictor
from whoswho.lifecycle import prediction
from whoswho.lifecycle.neighbours import Neighbours
from whoswho.lifecycle.registry import version_files
from whoswho.lifecycle.registry.versions import CHAMPION
from whoswho.lifecycle.serving import bodies, running
from whoswho.lifecycle.tracking.store import Store, open_store

LABELS = ("O'Neil <i>", "장원영")
FACES = PictureSettings("face", 0.3, 64, 0.9, 0.06)


# --- A store with versions, and its server -------------------------------------------------------


class Site:
    """`whoswho serve` in a process of its own, over a store with two versions.

    The training pictures of the first are at hand.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        features = draw_workspace(root.parent / "pictures")
        inputs = {"dataset": "x", "features": index_digest(features / paths.FEATURES)}
        numbers = [
            serving.register(root, seed=seed, labels=LABELS, picture=FACES, inputs=given)[0]
            for seed, given in ((0, inputs), (1, {"dataset": "x"}))
        ]
        assert numbers == [1, 2]
        for name in (paths.DATASET, paths.FEATURES, paths.CLEAN, paths.DATA):
            shutil.rmtree(root / name, ignore_errors=True)
            shutil.copytree(features / name, root / name)
        self.move(1)
        command = [sys.executable, "-m", "whoswho.cli", "serve", "--port", "0"]
        self.log = root / "server.log"
        with self.log.open("w") as out:
            self.process = start(command, cwd=root, stdout=out, stderr=out, env=environment())
        match = self.wait(r"(http://127\.0\.0\.1:(\d+)) answers with version 1 of whoswho")
        self.address, self.port = match[1], int(match[2])

    @property
    def store(self) -> Store:
        return open_store(self.root)

    def move(self, number: int) -> None:
        """Let the alias name a version, whatever the gate says."""
        self.store.client.set_registered_model_alias(self.store.project, CHAMPION, str(number))

    def wait(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Until the server has said something so many times."""
        for _ in range(600):
            text = self.log.read_text("utf-8")
            matches = list(re.finditer(pattern, text))
            if len(matches) >= times:
                return matches[-1]
            assert self.process.poll() is None, text
            time.sleep(0.1)
        raise AssertionError(text)

    def ask(
        self, path: str, body: bytes | Iterator[bytes] = b"", method: str = "POST", **headers: str
    ) -> tuple[int, Any, str]:
        """Status, answer, and the version that gave it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, given)
            response = connection.getresponse()
            content = response.read()
            kind = response.headers.get("content-type", "")
            return (
                response.status,
                json.loads(content) if kind == "application/json" and content.strip() else content,
                response.headers.get("x-whoswho-version", ""),
            )
        finally:
            connection.close()

    def score(self, content: object) -> tuple[int, Any, str]:
        body = json.dumps(content).encode()
        return self.ask("/invocations", body, Content_Type="application/json")

    def predict(self, *pictures: bytes, **fields: str) -> tuple[int, Any, str]:
        kind, body = form(*pictures, **fields)
        return self.ask("/predict", body, Content_Type=kind)

    def version(self) -> str:
        return self.ask("/health", method="GET")[2]

    def until_version(self, number: int) -> None:
        for _ in range(600):
            if self.version() == str(number):
                return
            time.sleep(0.1)
        raise AssertionError(self.log.read_text("utf-8"))


def draw_workspace(folder: Path) -> Path:
    """What explains an answer: a prepared set, its features, what cleaning decided."""
    counts = {"train": dict.fromkeys(LABELS, 4), "validation": dict.fromkeys(LABELS, 1)}
    dataset = draw_set(folder / paths.DATASET, counts)
    features = folder / paths.FEATURES
    features.mkdir(parents=True)
    for split in dataset.splits:
        values = create_values(features, split, (1, len(dataset.examples[split]), 512))
        values[:] = np.random.default_rng(0).standard_normal(values.shape)
    write_index(features, dataset, "0" * 64, "fp32")
    table = [Decision(e.file, e.file.split("/")[0], decision=KEPT, sha256=e.sha256)
             for e in dataset.examples["train"]]  # fmt: skip
    decisions.write_decisions(folder / paths.CLEAN, table)
    (folder / paths.DATA).mkdir()
    return folder


def form(*pictures: bytes, **fields: str) -> tuple[str, bytes]:
    """Content type and body of a form as curl -F sends it."""
    parts = [
        f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    parts += [
        b'--x\r\nContent-Disposition: form-data; name="picture"; filename="%d <b>.png"\r\n\r\n'
        % number + content + b"\r\n"
        for number, content in enumerate(pictures)
    ]  # fmt: skip
    return "multipart/form-data; boundary=x", b"".join([*parts, b"--x--\r\n"])


@pytest.fixture(scope="module")
def site(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT"):
            patch.delenv(name, raising=False)
        root = tmp_path_factory.mktemp("serve") / "저장소 1"
        shutil.copytree(made, root)
        opened = Site(root)
        try:
            yield opened
        finally:
            for _ in range(2):  # Ctrl-C, twice in a row
                opened.process.send_signal(signal.SIGINT)
                time.sleep(0.1)
            assert opened.process.wait(30) in (0, 130), opened.log.read_text("utf-8")
            assert "Traceback" not in opened.log.read_text("utf-8")


@pytest.fixture(scope="module")
def photograph() -> bytes:
    buffer = io.BytesIO()
    portrait(0).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


BAD_REQUESTS = 1000

# --- Bodies, without a server --------------------------------------------------------------------

TEXTS = ["aGk=", "data:image/png;base64,aGk="]


@pytest.mark.parametrize(
    "content",
    [
        {"dataframe_split": {"columns": ["other", "image"], "data": [[1, t] for t in TEXTS]}},
        {"dataframe_records": [{"image": text} for text in TEXTS]},
        {"inputs": {"image": TEXTS}},
        {"inputs": TEXTS},
        {"instances": [{"image": text} for text in TEXTS], "params": {}},
    ],
)
def test_rows_are_read_in_every_form_of_mlflows(content: dict[str, Any]) -> None:
    assert bodies.rows("application/json; charset=utf-8", json.dumps(content).encode()) == TEXTS
    assert json.loads(bodies.split(TEXTS))["dataframe_split"]["data"] == [[t] for t in TEXTS]


def test_rows_are_read_from_csv() -> None:
    body = f'a,image\n1,{TEXTS[0]}\n2,"{TEXTS[1]}"\n'.encode()
    assert bodies.rows("text/csv", body) == TEXTS


DEEP, LONG = b"[" * 5000, b'{"inputs": ' + b"1" * 5000 + b"}"
SECRET = b"secret" * 50
BAD_ROWS: list[tuple[int, str, bytes]] = [
    (415, "", b"{}"),
    (415, "application/vnd.apache.parquet", b"PAR1"),
    (413, "application/json", b'{"inputs": [' + b"{}," * 9000),
    (413, "application/json", json.dumps({"inputs": ["x"] * 1001}).encode()),
    (413, "text/csv", b"image\n" + b"x\n" * 1001),
    *[
        (400, "application/json", body)
        for body in (
            b"", SECRET, b"\xff", DEEP, LONG, b"5", b"null", b"[]", b"{}", b'{"inputs": 5}',
            b'{"inputs": ["x"], "instances": ["x"]}', b'{"inputs": {"image": [null]}}',
            b'{"inputs": ["\\ud800"]}', b'{"dataframe_records": [{"secret": "x"}]}',
            b'{"dataframe_split": {"columns": ["image"], "data": [[]]}}',
            b'{"dataframe_split": {"columns": ["secret"], "data": [[1]]}}',
        )
    ],
    (400, "text/csv", b"secret\n1\n"),
    (400, "text/csv", b"image\n\xff\n"),
]  # fmt: skip
BAD_FORMS: list[tuple[int, str, bytes]] = [
    (415, "", b""),
    (415, "text/plain", SECRET),
    (400, "multipart/form-data; boundary=x", SECRET),
    (400, "multipart/form-data", SECRET),
    (400, form(b"", picture="secret")[0], form(picture="secret")[1]),
    (400, form()[0], form()[1]),
    (413, form()[0], form(*[b""] * 1011)[1]),
]


@pytest.mark.parametrize(("status", "kind", "body"), BAD_ROWS)
def test_wrong_rows_are_refused_and_not_repeated(status: int, kind: str, body: bytes) -> None:
    with pytest.raises(HTTPException) as refused:
        bodies.rows(kind, body)
    assert refused.value.status_code == status
    assert "secret" not in refused.value.detail
    assert "\n" not in refused.value.detail


@pytest.mark.parametrize(("status", "kind", "body"), BAD_FORMS)
def test_wrong_forms_are_refused_and_not_repeated(status: int, kind: str, body: bytes) -> None:
    with pytest.raises(HTTPException) as refused:
        bodies.pictures(kind, body)
    assert refused.value.status_code == status
    assert "secret" not in refused.value.detail


def test_one_large_picture_is_open_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And small ones go on beside it."""
    from support.lifecycle_models import NAMES, make_model

    model = Predictor(make_model(tmp_path, NAMES))
    large, small = png(1, 200), png(2, 40)
    monkeypatch.setattr(predictor, "LARGE", 100 * 100)
    opened, lock = [0, 0], threading.Lock()
    together = threading.Barrier(2, timeout=20)
    plain = predictor.open_picture

    def slowly(data: bytes) -> Image.Image:
        assert data in (large, small)
        if data == small:
            together.wait()  # both small ones are open now
        with lock:
            opened[data == large] += 1
            assert opened[True] <= 1
        time.sleep(0.1)
        with lock:
            opened[data == large] -= 1
        return plain(data)

    monkeypatch.setattr(predictor, "open_picture", slowly)
    with ThreadPoolExecutor(5) as pool:
        answers = pool.map(lambda data: model.predict([data])[0], [large] * 3 + [small] * 2)
        assert not [answer.problem for answer in answers if answer.problem]


def test_serving_without_a_champion_ends_with_one_line(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["serve", "--port", "0"])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "whoswho promote" in line


# --- What it answers -----------------------------------------------------------------------------


@pytest.mark.slow(minutes=2)
def test_it_answers_as_predict_does_and_says_why(site: Site, photograph: bytes) -> None:
    site.until_version(1)
    model = Predictor(version_files.model_folder(site.store, "1"))
    (expected,) = model.stream([photograph], keep_features=True)
    why = Neighbours.of(site.root, model.model).nearest(expected)
    status, answer, version = site.predict(photograph)
    assert (status, version) == (200, "1")
    wanted = prediction.as_json(expected, "models:/whoswho/1", 0)
    assert answer["face"] == wanted["face"] != None  # noqa: E711
    for name in ("probability", "similarity"):
        assert answer[name] == pytest.approx(wanted.pop(name), abs=1e-4)
    assert answer["probabilities"] == pytest.approx(wanted.pop("probabilities"), abs=1e-4)
    assert answer | wanted | {"file": "0 <b>.png"} == answer
    assert [near["file"] for near in answer["why"]] == [near.file for near in why]
    assert len(why) == 3
    # Several are a list, in order; a picture that cannot be read costs no other its answer.
    status, answers, _ = site.predict(photograph, b"", b"text", photograph)
    assert status == 200
    assert [a["label"] for a in answers] == [answer["label"], None, None, answer["label"]]
    assert [a["file"] for a in answers] == [f"{number} <b>.png" for number in range(4)]
    assert answers[1]["problem"] == "unreadable: the file is empty"
    status, raw, _ = site.ask("/predict", photograph, Content_Type="image/jpeg")
    assert (status, raw["label"]) == (200, answer["label"])
    text = base64.b64encode(photograph).decode()
    status, scored, version = site.score({"inputs": {"image": [text] * 20}})
    assert (status, version, len(scored["predictions"])) == (200, "1", 20)
    assert {a["label"] for a in scored["predictions"]} == {answer["label"]}


def huge() -> dict[str, bytes]:
    """Small files that would be large pictures."""
    files = {}
    buffer = io.BytesIO()
    Image.new("1", (20000, 10000)).save(buffer, "PNG")
    files["200 megapixels"] = buffer.getvalue()
    side = (9000).to_bytes(2, "little")
    frame = b"," + bytes(4) + (b"\x01\x00" * 2) + b"\x00\x02\x02\x44\x01\x00"
    files["3000 frames"] = b"GIF89a" + side * 2 + b"\x80\x00\x00" + bytes(6) + frame * 3000 + b";"
    return files


@pytest.mark.slow(minutes=2)
def test_bad_input_gets_a_clear_answer_in_flat_memory(site: Site, photograph: bytes) -> None:
    process = psutil.Process(site.process.pid)
    site.predict(photograph, page="1")
    before = process.memory_info().rss
    for problem, content in huge().items():
        status, answer, _ = site.predict(content)
        assert (status, answer["label"]) == (200, None)
        assert problem in answer["problem"]
    zeros = bytes(50_000_000)
    for path in ("/predict", "/invocations"):
        status, answer, _ = site.ask(path, zeros, Content_Type="application/json")
        assert status == 413
        assert "32 MiB" in answer["error"]
        status, answer, _ = site.ask(  # of unknown length
            path, iter([zeros[:1_000_000]] * 50), Content_Type="application/json"
        )
        assert status == 413
    rounds = itertools.cycle(
        [("/invocations", *row) for row in BAD_ROWS]
        + [("/predict", *row) for row in BAD_FORMS[:-1]]  # the last takes a while
    )
    done = threading.Event()

    def sound() -> list[str]:
        """Somebody else's requests meanwhile."""
        answers = []
        while not done.is_set():
            status, answer, _ = site.predict(photograph)
            assert status == 200
            answers.append(f"{answer['label']} {answer['probability']:.4f}")
            time.sleep(0.05)
        return answers

    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
    with ThreadPoolExecutor(1) as pool:
        others = pool.submit(sound)
        try:
            for path, status, kind, body in itertools.islice(rounds, BAD_REQUESTS):
                connection.request("POST", path, body, {"Content-Type": kind} if kind else {})
                response = connection.getresponse()
                content = response.read()
                assert response.status == status, (path, kind, body[:80])
                assert len(content) < 400
                assert b"secret" not in content
        finally:
            done.set()
    connection.close()
    assert process.memory_info().rss - before < 150e6
    assert len(set(others.result())) == 1
    print(f"\n{len(others.result())} sound requests answered among {BAD_REQUESTS} bad ones")


@pytest.mark.slow(minutes=2)
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of another process is Linux's")
def test_large_pictures_at_once_take_a_gigabyte(site: Site, photograph: bytes) -> None:
    """A megabyte of file each; one is open at a time, the others wait."""
    site.predict(photograph, page="1")
    own = Path(f"/proc/{site.process.pid}")
    before = psutil.Process(site.process.pid).memory_info().rss
    (own / "clear_refs").write_text("5")  # the peak begins anew
    buffer = io.BytesIO()
    Image.fromarray(np.full((10_000, 11_900), 777, np.uint16)).save(buffer, compress_level=1,
                                                                    format="PNG")  # fmt: skip
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(site.predict, [buffer.getvalue()] * 3))
    assert [status for status, _, _ in answers] == [200] * 3
    assert all(answer["probability"] for _, answer, _ in answers)
    peak = int(re.search(r"VmHWM:\s+(\d+)", (own / "status").read_text())[1]) * 1024  # type: ignore[index]
    assert peak - before < 2**30


@pytest.mark.slow(minutes=2)
def test_it_answers_nobody_elses_page(site: Site) -> None:
    listening = {c.laddr.ip for c in psutil.Process(site.process.pid).net_connections("tcp")
                 if c.status == psutil.CONN_LISTEN}  # fmt: skip
    assert listening == {"127.0.0.1"}
    for headers in (
        {"Host": "evil.example"}, {"Origin": "https://evil.example"},
        {"Sec_Fetch_Site": "cross-site"},
    ):  # fmt: skip
        for path in ("/predict", "/invocations", "/health"):
            assert site.ask(path, **headers)[0] == 403, (path, headers)
    for path in ("/../params.yaml", "/..%2fparams.yaml", "//etc/passwd", "/page.py", "/letters/9"):
        assert site.ask(path, method="GET")[0] == 404, path
    assert site.ask("/", method="GET")[0] == 200
    assert site.ask("/page.js", method="GET")[0] == 200
    assert site.ask("/predict/")[0] == 307  # to the address without the slash


# --- The versions it follows ---------------------------------------------------------------------


def broken(site: Site) -> int:
    """A version whose weights are cut."""
    whole = version_files.model_folder(site.store, "2").parents[1]
    shutil.copytree(whole, site.root / "cut")
    weights = site.root / "cut" / "artifacts" / "model" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    source = (site.root / "cut").as_uri()
    return int(site.store.client.create_model_version(site.store.project, source).version)


@pytest.mark.slow(minutes=2)
def test_no_request_is_lost_while_the_champion_changes(site: Site, photograph: bytes) -> None:
    """Eight clients across a promotion, a version that is broken, and the way back."""
    site.until_version(1)
    done = threading.Event()
    picture = png(0, 64)
    text = base64.b64encode(picture).decode()
    expected = {}

    def client(number: int) -> list[tuple[str, str]]:
        answers = []
        while not done.is_set():
            if number % 2:
                status, answer, version = site.predict(picture)
                answer = [answer]
            else:
                status, answer, version = site.score({"inputs": {"image": [text] * 3}})
                answer = answer["predictions"]
            assert status == 200, answer
            answers += [(version, f"{each['probability']:.4f}") for each in answer]
            time.sleep(0.15)
        return answers

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(client, number) for number in range(8)]
        try:
            site.move(2)
            site.until_version(2)
            site.move(broken(site))
            site.wait(
                r"warning: version 3 is the champion and cannot answer .*; version 2 goes on"
            )
            assert site.version() == "2"
            assert running.versions(site.root) == {site.process.pid: 2}, "a takedown is told"
            _, reply, _ = site.ask("/model", method="GET")
            assert "version 3" in " ".join(reply["notes"])
            time.sleep(1)
            site.move(1)
            site.until_version(1)
        finally:
            done.set()
        answered = [pair for each in clients for pair in each.result()]
    assert len(answered) > 50
    # Each version has one answer to the picture, whichever client asked, and through both doors.
    expected = {version: {a for v, a in answered if v == version} for version, _ in answered}
    assert set(expected) == {"1", "2"}
    assert all(len(answers) == 1 for answers in expected.values()), expected
    assert expected["1"] != expected["2"]
    assert len(re.findall("cannot answer", site.log.read_text("utf-8"))) == 1


# --- Its page ------------------------------------------------------------------------------------


def cards(driver: Any) -> list[dict[str, Any]]:
    """What the page shows, newest first."""
    return driver.execute_script(
        "const box = (e) => { const r = e.getBoundingClientRect();"
        "  return [r.left, r.top, r.width, r.height] };"
        "return [...document.querySelectorAll('article')].map((card) => ({"
        "  name: card.querySelector('.name').textContent,"
        "  looked: card.querySelector('.looked-at').textContent,"
        "  rows: [...card.querySelectorAll('tr')].map((row) => row.textContent),"
        "  why: [...card.querySelectorAll('.why .file')].map((file) => file.textContent),"
        "  drawn: [...card.querySelectorAll('img')].map((i) => i.hidden ? 0 : i.naturalWidth),"
        "  face: card.querySelector('.face').hidden ? null : box(card.querySelector('.face')),"
        "  picture: box(card.querySelector('.picture img')),"
        "  natural: card.querySelector('.picture img').naturalWidth,"
        "}))"
    )


def shown(driver: Any, count: int) -> list[dict[str, Any]]:
    for _ in range(300):
        on_page = cards(driver)
        if len(on_page) == count and all(card["name"] != "…" for card in on_page):
            return on_page
        time.sleep(0.1)
    raise AssertionError(on_page)


HAND_OVER = """
const [kind, name, content] = arguments;
const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
const data = new DataTransfer();
data.items.add(new File([bytes], name, { type: "image/png" }));
const event = kind === "paste"
  ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
  : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
document.body.dispatchEvent(event);
"""


@pytest.mark.slow(minutes=2)
def test_the_page_shows_what_the_model_says(site: Site, photograph: bytes, tmp_path: Path) -> None:
    site.until_version(1)
    path = tmp_path / "<img src=x onerror=alert(1)>.jpg"
    path.write_bytes(photograph)
    answer = site.predict(photograph)[1]
    with browser.chromium() as driver:
        driver.get(f"{site.address}/")
        assert driver.execute_script("return document.activeElement.tagName") == "BODY"
        driver.find_element("id", "files").send_keys(str(path))
        (card,) = shown(driver, 1)
        assert card["name"] == answer["label"]
        assert "looked at: face" in card["looked"]
        assert "models:/whoswho/1" in card["looked"]
        assert [row.startswith(label) for row, label in
                zip(card["rows"], answer["probabilities"], strict=True)] == [True] * 2  # fmt: skip
        assert card["why"] == [near["file"] for near in answer["why"]]
        assert card["drawn"][0] == Image.open(io.BytesIO(photograph)).width
        assert len(card["drawn"]) == 5
        assert min(card["drawn"]) > 0
        # The frame lies where the face is in the picture.
        scale = card["picture"][2] / card["natural"]
        face = answer["face"]
        sides = [face["left"] * scale, face["top"] * scale, (face["right"] - face["left"]) * scale]
        left, top, width, _ = card["face"]
        drawn = [left - card["picture"][0], top - card["picture"][1], width]
        assert drawn == pytest.approx(sides, abs=1)
        for number, kind in enumerate(("drop", "paste"), start=2):
            content = base64.b64encode(photograph).decode()
            driver.execute_script(HAND_OVER, kind, f"{kind}.png", content)
            assert shown(driver, number)[0]["name"] == answer["label"], kind
        driver.execute_script(HAND_OVER, "drop", "x.txt", base64.b64encode(b"text").decode())
        (bad, *_) = shown(driver, 4)
        assert bad["name"] == "not_a_picture: text"
        assert bad["rows"] == []
        addresses = {address for address in browser.requests(driver)
                     if not address.startswith(("data:", "blob:"))}  # fmt: skip
        assert {address.startswith(site.address) for address in addresses} == {True}
        log = [entry["message"] for entry in driver.get_log("browser")]
        assert not [line for line in log if "blob:" not in line], log
