"""A registry on a server: who predicts first, who promotes at once, and what a proxy refuses."""

from __future__ import annotations

import http.client
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from mlflow.entities import LoggedModelStatus, ViewType
from support.lifecycle_store import fixture_made, fixture_root, project  # noqa: F401
from support.lifecycle_versions import POLICY, fixture_weights, outputs_of, register  # noqa: F401
from support.tracking_server import fixture_tracking_server  # noqa: F401

from whoswho.artifacts.model.description import model_digest
from whoswho.errors import UserError
from whoswho.lifecycle.registry import alias_log, lost, promotion, version_files, versions
from whoswho.lifecycle.tracking import embedded_store, runs
from whoswho.lifecycle.tracking.store import answering, open_store

pytestmark = pytest.mark.slow(minutes=2)  # most of them waiting


@pytest.fixture(scope="module")
def team(tracking_server: str, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with three versions on a server, the first of them the champion."""
    root = project(tmp_path_factory.mktemp("team") / "root", "team")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", tracking_server)
        for limit in (0.1, 0.2, 0.3):
            register(root, outputs_of(root, weights, limit))
        promotion.promote(open_store(root), "1", POLICY)
    return root


@pytest.fixture
def clones(team: Path, tracking_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Two clones on two machines: nothing but the server is common to them."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_server)
    stores = [open_store(project(tmp_path / name, "team")) for name in ("one", "two")]
    yield stores
    for alias in ("champion", "previous"):
        stores[0].client.set_registered_model_alias("team", alias, "1")


def test_two_first_predictions_at_once_both_succeed(clones) -> None:
    (store, _) = clones
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(version_files.model_folder, [store] * 4, ["champion"] * 4))
    assert len(set(folders)) == 1
    assert model_digest(folders[0]) == versions.all_versions(store)[-1].tags["model.sha256"]
    assert not [path for path in folders[0].parents[1].iterdir() if "partial" in path.name]


def test_of_two_promotions_at_once_on_one_machine_one_wins_and_the_other_is_told(
    clones, monkeypatch: pytest.MonkeyPatch
) -> None:
    (store, _) = clones
    locked, waiting = embedded_store.locked, threading.Barrier(3)

    @contextmanager
    def announced(root: Path) -> Iterator[None]:
        waiting.wait(60)
        with locked(root):
            yield

    def promote(number: str) -> str:
        try:
            return promotion.promote(store, number, POLICY)[0]
        except UserError as error:
            return str(error)

    monkeypatch.setattr(embedded_store, "locked", announced)
    with ThreadPoolExecutor(2) as pool, locked(store.root):
        futures = [pool.submit(promote, number) for number in "23"]
        waiting.wait(60)  # both know who the champion is, and none has moved it
        locked(store.root)
    results = [each.result() for each in futures]
    champion = versions.aliases(store)["champion"]
    assert sum(f"version {champion} is the champion" == each for each in results) == 1
    assert sum(f"made version {champion} champion at the same time" in r for r in results) == 1


def test_of_two_promotions_at_once_on_two_machines_the_loser_is_told(
    clones, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = clones
    move = alias_log.move

    def slow(store, alias: str, number: int, why: str, **more: bool) -> None:
        move(store, alias, number, why, **more)
        if store is first and alias == "champion":
            promotion.promote(second, "3", POLICY)

    monkeypatch.setattr(alias_log, "move", slow)
    with pytest.raises(UserError, match=r"version 2 is not the champion: .* made version 3"):
        promotion.promote(first, "2", POLICY)
    assert versions.aliases(second)["champion"] == 3


def test_a_remote_version_is_judged_without_its_run_and_refused_without_its_files(
    clones, tracking_server: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (store, _) = clones
    registered = versions.all_versions(store)
    store.client.delete_run(registered[-1].run_id)
    assert promotion.judge(store, 2, POLICY).allowed
    assert set(lost.notes(store, registered).values()) == {"", "run gone"}
    version_files.model_folder(store, "3")  # a copy here does not count
    uri = store.client.get_model_version_download_uri("team", "3")
    place = f"server*/mlartifacts/{uri.removeprefix('mlflow-artifacts:/')}/artifacts"
    (folder,) = {path.resolve() for path in tmp_path_factory.getbasetemp().glob(place)}
    kept = shutil.move(folder / "evaluation", tmp_path_factory.mktemp("kept"))
    try:
        with pytest.raises(UserError, match="models:/team/3: its files are gone"):
            promotion.promote(store, "3", POLICY, force=True, why="all the same")
        assert lost.notes(store, registered)[3] == "files gone"
    finally:
        shutil.move(kept, folder)


class Proxy(BaseHTTPRequestHandler):
    """Hands everything on to `upstream` but bodies above `limit` bytes, as nginx does."""

    protocol_version = "HTTP/1.1"
    upstream = ""
    limit = 0
    cuts = False  # the connection, without a word
    loses = ""  # the first answer to a request to an address that ends so
    addresses: list[str] | None = None  # of the requests

    def forward(self) -> None:
        if self.addresses is not None:
            self.addresses.append(self.path)
        length = int(self.headers.get("Content-Length", 0))
        if length > self.limit:
            self.close_connection = True
            if not self.cuts:
                while length > 0:
                    length -= len(self.rfile.read(min(length, 1 << 20)))
                self.send_error(413)
            return
        upstream = http.client.HTTPConnection(urlsplit(self.upstream).netloc)
        body = self.rfile.read(length)
        upstream.request(self.command, self.path, body, dict(self.headers))
        answer = upstream.getresponse()
        content = answer.read()
        if type(self).loses and self.path.endswith(self.loses):
            type(self).loses = ""
            self.send_error(503)
            return
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def proxied(upstream: str, **settings: object) -> Iterator[str]:
    """The address of a proxy before the server at `upstream`."""
    handler = type("Handler", (Proxy,), {"upstream": upstream, **settings})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("cuts", [False, True])
def test_a_proxy_that_refuses_the_weights_is_named_and_nothing_half_made_is_left(
    cuts: bool, team: Path, tracking_server: str, weights: Path,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    root = project(tmp_path / "root", "refused")
    record = outputs_of(root, weights, 0.5 + cuts / 10)
    with proxied(tracking_server, limit=25_000_000, cuts=cuts) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        store = open_store(root)
        runs = len(store.runs())
        for _ in range(1 if cuts else 2):
            with (
                pytest.raises(UserError, match=r"weights\.safetensors \(4\d\.\d MB\)") as refused,
                answering(store, record.folder),
            ):
                register(root, record)
            message = str(refused.value)
            assert address in message
            assert ("cut the connection" if cuts else "refused it as too large (413)") in message
            assert "client_max_body_size" in message
        assert len(store.runs()) == runs + 1  # the model's own, complete
        assert {run.info.status for run in store.runs()} == {"FINISHED"}
        assert versions.all_versions(store) == []
        experiments = [each.experiment_id for each in store.client.search_experiments()]
        mine = {store.experiment_id}
        for logged in store.client.search_logged_models(experiments):
            assert logged.experiment_id not in mine
            assert logged.status == LoggedModelStatus.READY


def test_an_answer_that_is_lost_leaves_no_second_run(
    tracking_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = project(tmp_path / "root", "ghosts")
    with proxied(tracking_server, limit=25_000_000, loses="/runs/create") as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        with runs.training_run(root, {"train.lr": 0.1}, {}) as run:
            store = open_store(root)
            assert [each.info.run_id for each in store.runs()] == [run.run_id]
            everything = store.runs(view=ViewType.ALL)
            assert len(everything) == 2, "the server never saw the request twice"
            run.epoch({"epoch": 1, "train/loss": 1.0})
            run.finished("d" * 64)
    (stored_run,) = store.runs()
    assert (stored_run.info.status, stored_run.data.metrics) == ("FINISHED", {"train/loss": 1.0})


@pytest.mark.parametrize("lost_answer", ["/logged-models", "/model-versions/create"])
def test_an_answer_that_is_lost_leaves_no_second_version(
    lost_answer: str, tracking_server: str, weights: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    root = project(tmp_path / "root", f"ghosts_{len(lost_answer)}")
    addresses: list[str] = []
    with proxied(tracking_server, limit=1e9, loses=lost_answer, addresses=addresses) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        registered = register(root, outputs_of(root, weights))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_server)
    store = open_store(root)
    assert sum(path.endswith(lost_answer) for path in addresses) == 2, "it was asked for again"
    assert (
        [version.number for version in versions.all_versions(store)] == [registered.number] == [1]
    )
    (logged,) = store.client.search_logged_models([store.experiment_id])
    assert logged.model_id == versions.model_id(store, 1)
    assert logged.status == LoggedModelStatus.READY
    assert versions.aliases(store) == {"challenger": 1}
