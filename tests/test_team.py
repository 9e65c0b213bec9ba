"""Several processes that train together give what one gives, in one MLflow run."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support import shared
from support.drawn_sets import draw_set
from support.pipeline import FAST, Workspace, set_params
from support.processes import start

from bench.workspace import environment
from whoswho import tables
from whoswho.artifacts.features import write_empty_index
from whoswho.backbone.compute import device
from whoswho.backbone.loading import process_group
from whoswho.backbone.loading.process_group import ProcessGroup
from whoswho.backbone.network.parts import FrozenBatchNorm
from whoswho.errors import UserError
from whoswho.params import load_params

COUNTS = {"train": {"A": 14, "B": 13}, "validation": {"A": 5, "B": 4}, "test": {"A": 1, "B": 1}}
# Adam divides by the size of a gradient, and would make much of rounding where that is near 0.
LEARNING = {
    "optimizer": "sgd",
    "lr": 1e-4,
    "backbone_lr": 1e-5,
    "epochs": 2,
    "batch": 8,
    "accumulate": 2,
    "balance": "weights",
    "schedule": "cosine",
    "precision": "fp32",
    "device": "cpu",
}


def prepared(folder: Path, unfreeze: int) -> Workspace:
    """A workspace with a drawn set and a random backbone, ready for features or, where the
    backbone learns, for train.
    """

    def build(folder: Path) -> None:
        space = Workspace(folder, backbone=FAST["backbone"], train=LEARNING, augment={"views": 2})
        (space.path / "artifacts").mkdir()
        draw_set(space.path / "artifacts" / "dataset", COUNTS)
        space.run("python", "src/stage.py", "backbone")

    space = Workspace.at(shared.made_once("team", build)).copy(folder)
    set_params(space.path, backbone={"unfreeze": unfreeze})
    if unfreeze:  # as the stage features leaves them
        (space.path / "artifacts" / "features").mkdir()
        augment = load_params(space.path).augment.model_dump()
        write_empty_index(space.path / "artifacts" / "features", augment)
    return space


def stage(space: Workspace, name: str, processes: int, code: int | None = 0) -> str:
    done = space.run("python", "src/stage.py", name, code=code, WHOSWHO_PROCESSES=str(processes))
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def two_machines(space: Workspace, name: str, output: str) -> dict[str, bytes]:
    """Run a stage as on two machines: an agent of torchrun in each of two clones.

    Returns:
        what came of it, in the clone of the main process alone.
    """
    clones = space, space.copy(space.path.with_name("other"))
    for clone in clones:
        shutil.rmtree(clone.path / output)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    agents = [
        start(
            [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--rdzv-id", "7",
             "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-endpoint", address,
             "src/stage.py", name],
            cwd=clone.path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=environment(clone.path, OMP_NUM_THREADS="1"),
        )
        for clone in clones
    ]  # fmt: skip
    outputs = [agent.communicate()[0] for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], outputs
    assert sum(text.count(f"{name}: ") for text in outputs) == 1, outputs
    (folder,) = [clone.path / output for clone in clones if (clone.path / output).exists()]
    return content(folder)


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.slow(minutes=2)
def test_features_come_in_shards_and_are_the_same_bytes(tmp_path: Path) -> None:
    space = prepared(tmp_path / "space", 0)
    folder = space.path / "artifacts" / "features"
    contents = []
    for processes in (1, 2):
        output = stage(space, "features", processes)
        assert output.count("features: 512 numbers a view") == 1
        contents.append(content(folder))
    assert contents[0] == contents[1]
    assert two_machines(space, "features", "artifacts/features") == contents[0]
    assert set(contents[0]) == {
        "index.csv",
        "index.json",
        "test.npy",
        "train.npy",
        "validation.npy",
    }


@pytest.mark.slow(minutes=2)
def test_two_processes_train_as_one_does_in_one_run(tmp_path: Path) -> None:
    space = prepared(tmp_path / "space", 3)
    histories = []
    for processes in (1, 2):
        assert stage(space, "train", processes).count("train: 2 epochs") == 1
        histories.append(tables.read(space.path / "artifacts" / "model" / "history.csv"))
    for first, second in zip(*histories, strict=True):
        numbers = {name: float(value) for name, value in first.items()}
        assert {n: float(v) for n, v in second.items()} == pytest.approx(numbers, rel=1e-4)
    with sqlite3.connect(space.path / "mlflow.db") as store:
        runs = store.execute("select status from runs").fetchall()
    assert runs == [("FINISHED",), ("FINISHED",)]
    expected = content(space.path / "artifacts" / "model")
    assert two_machines(space, "train", "artifacts/model") == expected


def test_machines_that_differ_say_so_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered = [("a", "one.example"), ("a", "two.example"), ("b", "three.example")]
    group = ProcessGroup(0, 3)
    monkeypatch.setattr(ProcessGroup, "all_gather", lambda self, value: gathered)
    with pytest.raises(UserError, match=r"^what train reads on three\.example is .* one\.example"):
        group.check_same("what train reads", "a")
    del gathered[2]
    group.check_same("what train reads", "a")


@pytest.mark.slow(minutes=2)
def test_processes_run_the_code_of_their_own_copy(tmp_path: Path) -> None:
    space = prepared(tmp_path / "space", 0)
    with (space.path / "src/whoswho/backbone/extraction.py").open("a") as module:
        module.write(
            '\nimport os\nif "RANK" in os.environ:\n    raise SystemExit("of this copy")\n'
        )
    done = space.run(
        "python", "src/stage.py", "features", code=None, WHOSWHO_PROCESSES="2", PYTHONPATH=""
    )
    assert done.returncode != 0
    assert "of this copy" in done.stderr


@pytest.mark.slow(minutes=2)
def test_bad_input_ends_several_processes_with_the_line_of_one(tmp_path: Path) -> None:
    space = prepared(tmp_path / "space", 4)
    params = space.path / "params.yaml"
    text = params.read_text(encoding="utf-8")
    params.write_text(text.replace("batch: 8", "batch: 1"), encoding="utf-8")
    output = stage(space, "train", 2, code=2)
    assert "whoswho: train.batch: 1 pictures cannot be shared by 2 processes" in output


@pytest.mark.slow(minutes=2)
@pytest.mark.parametrize("name", ["features", "train"])
def test_an_error_of_one_process_is_told_once(name: str, tmp_path: Path) -> None:
    space = prepared(tmp_path / "space", 0 if name == "features" else 4)
    for broken in sorted((space.path / "artifacts" / "dataset" / "train").rglob("*.*"))[-1:]:
        broken.write_bytes(broken.read_bytes()[:100])
    output = stage(space, name, 2, code=2)
    assert output.count(f"{broken.name}: cannot be read") == output.count("whoswho: ") == 1


@pytest.mark.slow(minutes=2)
def test_a_process_that_the_system_ends_is_told(tmp_path: Path) -> None:
    space = prepared(tmp_path / "space", 0)
    with (space.path / "src/whoswho/backbone/loading/loader.py").open("a") as module:
        module.write(
            "\ndef pixels(self, indices):\n    if os.environ.get('RANK') == '1':\n"
            "        os.kill(os.getpid(), 9)\n    return plain(self, indices)\n"
            "plain, Pictures.pixels = Pictures.pixels, pixels\n"
        )
    output = stage(space, "features", 2, code=2)
    assert "whoswho: WHOSWHO_PROCESSES: one of 2 processes was ended from outside" in output


def test_on_gpus_the_batch_norms_that_learn_are_torchs_own() -> None:
    frozen, trainable = FrozenBatchNorm(3), torch.nn.BatchNorm2d(3)
    maps = torch.randn(4, 3, 5, 5)
    expected = trainable(maps)
    module = torch.nn.Sequential(frozen, trainable)
    process_group.sync_batch_norms(module, torch.device("cuda"))
    assert [type(norm) for norm in module] == [FrozenBatchNorm, torch.nn.SyncBatchNorm]
    assert torch.equal(trainable(maps), expected)  # alone in its group, without a GPU


@pytest.mark.parametrize("wanted", ["two", "0", "-1", ""])
def test_a_number_of_processes_that_is_none_is_an_error(
    wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(process_group.PROCESSES, wanted)
    with pytest.raises(UserError, match="WHOSWHO_PROCESSES"):
        process_group.run(lambda process_group: None, "auto")


@pytest.mark.parametrize(("kind", "gpus"), [("cuda", 2), ("mps", 1)])
@pytest.mark.parametrize("by_hand", [False, True])
def test_more_processes_than_gpus_are_an_error(
    by_hand: bool, kind: str, gpus: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "kind", lambda wanted: kind)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    if by_hand:
        for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
            monkeypatch.setenv(name, "3")
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    else:
        monkeypatch.setenv(process_group.PROCESSES, "3")
    message = rf"WHOSWHO_PROCESSES: 3 processes here, but {gpus} GPU.*train\.device: cpu"
    with pytest.raises(UserError, match=message):
        process_group.run(lambda process_group: None, "auto")
