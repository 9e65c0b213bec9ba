"""A Dask scheduler with two workers, started here: what they give is what one machine gives."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support import on_workers
from support.dask_cluster import DIES_ONCE, SOURCE, DaskCluster
from support.lifecycle_models import NAMES, make_model, picture_of
from support.pipeline import FAST, Workspace, drawn_sample

from whoswho import paths
from whoswho.backbone import extraction
from whoswho.backbone.loading.process_group import ProcessGroup
from whoswho.errors import UserError
from whoswho.lifecycle import prediction
from whoswho.workers import cluster, mapping, member
from whoswho.workers.installation import Installation, installation
from whoswho.workers.member import Expected

STAGES = ("clean", "preprocess", "features")
OUTPUTS = dict(zip(STAGES, (paths.CLEAN, paths.DATASET, paths.FEATURES), strict=True))
# Faces are looked for and told apart.
WHOLE = {name: values for name, values in FAST.items() if name != "clean"}
COMMAND = (
    "from support import on_workers\n"
    "from whoswho.errors import one_line_errors\n"
    "from whoswho.workers import mapping\n"
    "with one_line_errors():\n"
    "    print(list(mapping.each(on_workers.square, [1], '')))\n"
)


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """The first one's process is ended once, while it prepares pictures, and started again."""
    folder = tmp_path_factory.mktemp("cluster")
    dask = DaskCluster(folder / "dask")
    try:
        dask.worker("--preload", str(DIES_ONCE), DIES_ONCE=str(folder / "died"))
        dask.worker()
        yield dask
    finally:
        dask.stop_all()


@pytest.fixture
def named(
    two_workers: DaskCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> DaskCluster:
    """The cluster, named in the environment of this process, in a repository of its own."""
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(cluster.VARIABLE, two_workers.address)
    return two_workers


def content(space: Workspace) -> dict[str, bytes]:
    return {
        path.relative_to(space.path).as_posix(): path.read_bytes()
        for path in sorted((space.path / "artifacts").rglob("*"))
        if path.is_file()
    }


@pytest.mark.slow(minutes=2)
def test_stages_give_the_same_bytes_though_a_worker_is_killed(
    two_workers: DaskCluster, tmp_path: Path
) -> None:
    space = Workspace(tmp_path / "space", **(WHOLE | {"augment": {"views": 2}}))
    for label in ("Ada Nonesuch", "Bruno Inkwell"):
        (space.path / "data" / label).mkdir(parents=True)
        for picture in sorted((drawn_sample() / label).glob("*.jpg"))[:7]:
            shutil.copy(picture, space.path / "data" / label)
    space.run("python", "src/stage.py", "backbone")
    alone = {name: space.run("python", "src/stage.py", name) for name in STAGES}
    expected = content(space)
    shutil.rmtree(space.path / ".whoswho")  # the faces found
    for name in STAGES:
        shutil.rmtree(space.path / OUTPUTS[name])
        done = space.run("python", "src/stage.py", name, WHOSWHO_CLUSTER=two_workers.address)
        parts, parts_alone = (each.stdout.split("; seconds of") for each in (done, alone[name]))
        assert parts[0] == parts_alone[0]
        lost = "worker tcp://127.0.0.1:[0-9]+ was lost; what it was at is done again"
        line = f"whoswho: warning: {lost}\n" if name == "preprocess" else ""
        assert re.fullmatch(line, done.stderr), done.stderr
    assert (two_workers.folder.parent / "died").exists()
    assert content(space) == expected
    assert [path.name for path in (space.path / ".whoswho").iterdir()] == ["faces"]


@pytest.mark.slow(minutes=2)
def test_predictions_are_those_of_this_machine(
    named: DaskCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model").mkdir()
    model = make_model(tmp_path / "model", NAMES)
    files = [Path(f"{number}.png") for number in range(40)]
    for number, file in enumerate(files):
        picture_of(number).save(file)
    files[7].write_bytes(b"no picture")
    request = prediction.Request([*files, Path("absent.png")], "v1", "json")
    answers = []
    for place in ("cluster", "here"):
        if place == "here":
            monkeypatch.delenv(cluster.VARIABLE)
        answers.append(io.StringIO())
        with pytest.raises(SystemExit):  # two of them have no answer
            prediction.answer(model, request, answers[-1])
    rows, expected = (
        [json.loads(line) for line in answer.getvalue().splitlines()] for answer in answers
    )
    assert len(rows) == 41
    assert rows == expected


@pytest.mark.slow(minutes=2)
def test_results_come_in_order_from_workers_of_one_core(named: DaskCluster) -> None:
    assert list(mapping.each(on_workers.square, range(50), "")) == [n * n for n in range(50)]
    assert set(mapping.each(on_workers.cores, range(8), "")) == {(1, "1")}


@pytest.mark.slow(minutes=2)
def test_no_more_is_sent_than_the_workers_are_at(named: DaskCluster) -> None:
    sent = []

    def items() -> Iterator[int]:
        for number in range(300):
            sent.append(number)
            yield number

    results = cluster.stream(on_workers.square, items())
    for number in range(20):
        assert next(results) == number * number
    assert len(sent) <= 20 + 4 * 2 * cluster.PARTS_A_WORKER
    results.close()


@pytest.mark.slow(minutes=2)
def test_an_error_in_a_worker_is_the_error_here(named: DaskCluster) -> None:
    with pytest.raises(UserError, match=r"^5: bad; mend it$"):
        list(cluster.stream(on_workers.finds_it_bad, range(40)))


@pytest.mark.slow(minutes=2)
def test_a_picture_that_ends_its_workers_is_named(
    named: DaskCluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / str(number) for number in range(12)]
    for file in files:
        file.touch()
    with pytest.raises(UserError, match=rf"^{tmp_path}/7: the process .* twice"):
        list(cluster.stream(on_workers.ends_its_process, files))
    with pytest.raises(UserError, match=rf"^{tmp_path}/7: the process .* twice"):
        list(cluster.batches(on_workers.end_their_process, files, at_once=12))
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow(minutes=2)
def test_a_worker_that_does_not_see_a_file_is_told(named: DaskCluster) -> None:
    only_here = Path("/dev/fd/250")  # of this process
    with Path("open").open("w") as file:
        os.dup2(file.fileno(), 250)
    try:
        with pytest.raises(UserError, match=rf"^worker tcp://.* does not see {only_here}"):
            list(cluster.stream(on_workers.name, [only_here]))
    finally:
        os.close(250)


@pytest.mark.slow(minutes=2)
def test_a_worker_that_does_not_fit_is_refused_in_a_line(
    named: DaskCluster, tmp_path: Path
) -> None:
    other = shutil.copytree(SOURCE / "whoswho", tmp_path / "other" / "whoswho")
    with (other / "labels.py").open("a") as module:
        module.write("# another version\n")
    (tmp_path / "none" / "whoswho").mkdir(parents=True)
    (tmp_path / "none" / "whoswho" / "__init__.py").touch()
    for options, source, why in (
        ((), other.parent, r"worker tcp://\S+ runs other code of whoswho than this command"),
        (("--nthreads", "2"), SOURCE, r"worker tcp://\S+ has 2 threads; start it with --nthreads"),
        ((), tmp_path / "none", r"WHOSWHO_CLUSTER: a worker cannot load this package \(.*whoswho"),
    ):
        worker = named.worker("--no-nanny", *options, source=source)
        try:
            done = subprocess.run(
                [sys.executable, "-c", COMMAND], cwd=tmp_path,
                capture_output=True, text=True, check=False,
                env={**os.environ, "PYTHONPATH": f"{SOURCE}{os.pathsep}{SOURCE.parent / 'tests'}"},
            )  # fmt: skip
            assert done.returncode == 2
            assert re.fullmatch(rf"whoswho: {why}[^\n]*\n", done.stderr)
        finally:
            named.stop(worker)


@pytest.mark.slow(minutes=2)
def test_without_workers_or_scheduler_a_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cluster, "CONNECT", 1.0)
    monkeypatch.setattr(cluster, "ALL_LOST", 1.0)
    files = [tmp_path / str(number) for number in range(40)]
    for file in files:
        file.touch()
    dask = DaskCluster(tmp_path / "dask")
    try:
        monkeypatch.setenv(cluster.VARIABLE, dask.address)
        with pytest.raises(UserError, match=r"has no worker; start some with `dask worker tcp:"):
            list(cluster.stream(on_workers.name, files))

        for lost, message in (
            ("worker", rf"no worker is left, the last were lost at {tmp_path}/"),
            ("scheduler", r"the scheduler at tcp://\S+ was lost; start it and its workers"),
        ):
            worker = dask.worker("--no-nanny")
            monkeypatch.setattr(cluster, "CONNECT", 5.0)
            results = cluster.stream(on_workers.takes_its_time, files)
            assert next(results) == "0"
            dask.stop(worker if lost == "worker" else dask.scheduler)
            with pytest.raises(UserError, match=message):
                list(results)
        err = capfd.readouterr().err
        assert err.count("\n") == err.count("was lost; what it was at is done again\n") == 1
    finally:
        dask.stop_all()


@pytest.mark.parametrize(
    "address", ["scheduler:8786", "http://scheduler:8786", "tcp://scheduler", "tcp://", "tls://:1"]
)
def test_what_is_no_address_is_told(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cluster.VARIABLE, address)
    with pytest.raises(UserError, match=f"'{address}' is no scheduler's address"):
        list(mapping.each(on_workers.square, [1], ""))


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
@pytest.mark.parametrize("listens", [False, True])
def test_where_no_scheduler_answers_a_line_says_so(
    scheme: str, listens: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cluster, "CONNECT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as other:  # takes connections, says nothing
        port = other.getsockname()[1]
        if not listens:
            other.close()
        monkeypatch.setenv(cluster.VARIABLE, f"{scheme}://127.0.0.1:{port}")
        with pytest.raises(UserError, match=rf"no Dask scheduler answers at {scheme}://.*{port}"):
            list(mapping.each(on_workers.square, [1], ""))
    assert list(tmp_path.glob(".whoswho/*")) == []


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cluster.VARIABLE, "tcp://127.0.0.1:8786")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"needs Dask, which is not .* pip install .*cluster"):
        list(mapping.each(on_workers.square, [1], ""))


def test_libraries_of_other_versions_are_named() -> None:
    here = installation()
    versions = tuple((name, "0" if name == "pillow" else v) for name, v in here.versions)
    assert here.difference(here) == ""
    assert "has pillow 0, but here it is" in here.difference(Installation(here.code, versions))


def test_a_worker_that_does_not_see_the_repository_says_so(tmp_path: Path) -> None:
    mark = tmp_path / ".whoswho" / "mark"
    message = f"does not see the files of {tmp_path}; share that folder with it"
    assert member.refusal(Expected(installation(), mark, "a")) == message
    mark.parent.mkdir()
    mark.write_text("b")  # of another repository under the same path
    assert member.refusal(Expected(installation(), mark, "c")) == message
    assert member.refusal(Expected(installation(), mark, "b")) == ""


def test_a_function_that_no_module_has_is_not_sent() -> None:
    with pytest.raises((AttributeError, pickle.PicklingError)):
        cluster.part_of(lambda number: number, [1])


@pytest.mark.parametrize(
    ("device", "group", "here"),
    [
        ("cuda:0", ProcessGroup(), "features are computed on cuda:0"),
        ("cpu", ProcessGroup(0, 2), "features are computed by the processes of this group"),
        ("cpu", ProcessGroup(1, 2), ""),
        ("cpu", ProcessGroup(), None),
    ],
)
def test_what_is_not_for_a_cluster_is_said_once(
    device: str,
    group: ProcessGroup,
    here: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert not extraction.is_for_cluster(torch.device(device), group)
    monkeypatch.setenv(cluster.VARIABLE, "tcp://127.0.0.1:8786")
    assert extraction.is_for_cluster(torch.device(device), group) == (here is None)
    line = f"whoswho: WHOSWHO_CLUSTER: {here} (docs/scale.md)\n" if here else ""
    assert capsys.readouterr().err == line
