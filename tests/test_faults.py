"""One fault of each kind: what is left after it. `make faults` tries every kind in every stage."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.processes import start

from bench.faults import COMMANDS, KINDS, STAGES, Fault, Undisturbed, draw, matrix, run
from whoswho import paths
from whoswho.errors import UserError, disk_error
from whoswho.workers import pool

# Of each kind one, in as many stages as may be; a kill wherever something is written.
FAULTS = (
    Fault("kill", "train", 1),
    Fault("kill-group", "clean", 0),
    Fault("interrupt", "features", 0),
    Fault("interrupt-twice", "promote", 0),
    Fault("terminate", "evaluate", 0),
    Fault("full", "report", 0),
    Fault("read-only", "backbone", 0),
    Fault("file-size", "register", 0),
    Fault("worker killed", "preprocess", 0),
    Fault("clock", "suspects", 0),
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(tmp_path_factory.mktemp("faults") / "undisturbed", draw)


@pytest.mark.slow(minutes=3)
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_nothing_is_lost(undisturbed: Undisturbed, fault: Fault, tmp_path: Path) -> None:
    assert undisturbed.lost(fault, tmp_path / "copy") == []


def test_the_tests_try_every_kind_and_the_command_every_kind_everywhere() -> None:
    assert {fault.kind for fault in FAULTS} == {fault.kind for fault in matrix()}
    tried = {(fault.kind, fault.target) for fault in matrix()}
    assert {(kind, target) for kind in KINDS for target in (*STAGES, *COMMANDS)} <= tried


@pytest.mark.slow
def test_what_is_lost_is_found(undisturbed: Undisturbed, tmp_path: Path) -> None:
    """The check itself: another byte, a stray file, an open run, a process that goes on."""
    copy = undisturbed.path.parent / "spoilt"
    subprocess.run(["cp", "-a", undisturbed.path, copy], check=True)
    (copy / "artifacts/model/history.csv").write_text("another\n")
    (copy / "reports/.x.png.1.partial").touch()
    (copy / "stray.png").touch()
    with sqlite3.connect(copy / "mlflow.db") as store:
        store.execute("update runs set status = 'RUNNING'")
        store.execute("delete from tags where key = 'pid'")
    left = subprocess.Popen(["sleep", "60"], cwd=copy)
    try:
        # Of a command that changes nothing.
        text = "\n".join(undisturbed.left("promote", copy))
    finally:
        left.kill()
        left.wait()
    for part in ("left running: sleep", "model/history.csv", "take: ?? stray.png",
                 "x.png.1.partial", "1 runs left RUNNING"):  # fmt: skip
        assert part in text


@pytest.mark.slow
def test_of_two_repros_at_once_one_goes_through(undisturbed: Undisturbed) -> None:
    copy = undisturbed.path.parent / "two"
    subprocess.run(["cp", "-a", undisturbed.path, copy], check=True)
    command = undisturbed.command("suspects")
    with ThreadPoolExecutor(2) as pool:
        ends = [pool.submit(run, copy, command) for _ in range(2)]
    done = [end.result() for end in ends]
    assert 0 in {process.returncode for process in done}
    assert "Traceback" not in "".join(process.stderr for process in done)
    assert undisturbed.left("suspects", copy) == []


# ---- processes that open pictures


def square(number: int) -> int:
    return number * number


def ends_its_process_once(item: tuple[Path, int]) -> int:
    """The square; the first process that gets 5 is ended."""
    mark, number = item
    if number == 5 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def ends_its_process(file: Path) -> str:
    if file.name == "7":
        os.kill(os.getpid(), signal.SIGKILL)
    return file.name


def test_a_process_that_is_killed_costs_a_line_and_no_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = [(tmp_path / "mark", number) for number in range(40)]
    squares = list(pool.stream(ends_its_process_once, items, 2))
    assert squares == [number * number for number in range(40)]
    assert capsys.readouterr().err.count("ended from outside") == 1


def test_a_picture_that_ends_its_process_again_is_named(tmp_path: Path) -> None:
    files = [tmp_path / str(number) for number in range(20)]
    with pytest.raises(UserError, match=rf"^{tmp_path}/7: the process .* twice"):
        list(pool.stream(ends_its_process, files, 2))


@pytest.mark.slow
def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    code = (
        "from whoswho.workers import pool\nimport multiprocessing, time\n"
        "if __name__ == '__main__':\n"
        "    pool = pool.process_pool(2)\n"
        "    [each.result() for each in [pool.submit(pow, 2, 2) for _ in range(8)]]\n"
        "    print(*[p.pid for p in multiprocessing.active_children()], flush=True)\n"
        "    time.sleep(60)\n"
    )
    (tmp_path / "parent.py").write_text(code)
    parent = subprocess.Popen(
        [sys.executable, "parent.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(paths.__file__).parents[1])},
    )  # fmt: skip
    assert parent.stdout is not None
    children = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(children) == 2
    parent.kill()
    parent.communicate()
    until = time.monotonic() + 20
    while left := [pid for pid in children if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < until, left
        time.sleep(0.05)


@pytest.mark.slow
def test_ctrl_c_ends_processes_that_wait_without_a_word(tmp_path: Path) -> None:
    code = (
        "from whoswho.workers import pool\nimport time\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        for _ in pool.stream(abs, iter(range(10_000)), 2):\n"
        "            print('taken', flush=True)\n"
        "            time.sleep(60)\n"
        "    except KeyboardInterrupt:\n"
        "        print('interrupted', flush=True)\n"
    )
    (tmp_path / "parent.py").write_text(code)
    parent = start(
        [sys.executable, "parent.py"], cwd=tmp_path, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(paths.__file__).parents[1])},
    )  # fmt: skip
    assert parent.stdout is not None
    assert parent.stdout.readline() == "taken\n"
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.communicate(timeout=60) == ("interrupted\n", "")


# ---- disks


@pytest.mark.parametrize("writer", ["torch", "safetensors"])
def test_a_full_disk_is_named_whatever_library_wrote(tmp_path: Path, writer: str) -> None:
    code = (
        "import resource, sys, torch\nfrom pathlib import Path\n"
        "from whoswho import paths\nfrom whoswho.errors import one_line_errors\n"
        "from whoswho.training.checkpoint import Checkpoint\n"
        "from safetensors.torch import save_file\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9999, 9999))\n"
        "tensors = {'a': torch.zeros(99999)}\n"
        "with one_line_errors():\n"
        "    if sys.argv[1] == 'torch':\n"
        "        Checkpoint(Path('w'), 'key').write(tensors)\n"
        "    with paths.fresh_file(Path('w')) as partial:\n"
        "        save_file(tensors, partial)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, writer], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(paths.__file__).parents[1])}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        2, "whoswho: w: File too large; make room or give access, then run the same command "
        "again\n",
    )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_what_says_itself_what_it_is_stays_as_it_is() -> None:
    for error in (UserError("clear"), ValueError("no disk")):
        assert disk_error(error, Path("file")) is None
    with pytest.raises(UserError) as caught:
        try:
            raise PermissionError(13, "denied", "there")
        except PermissionError:
            raise UserError("clear") from None
    assert disk_error(caught.value, Path("file")) is None


def test_what_a_killed_process_was_writing_is_removed_by_the_next_one(tmp_path: Path) -> None:
    ended = multiprocessing.get_context("spawn").Process(target=square, args=(2,))
    ended.start()
    ended.join()
    left = tmp_path / f".a.png.{ended.pid}.partial"
    of_another = tmp_path / f".a.png.{os.getppid()}.partial"
    left.touch()
    of_another.touch()
    paths.write_text(tmp_path / "a.png", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([of_another.name, "a.png"])


# ---- DVC's own files


@pytest.mark.slow
def test_half_a_lock_of_dvc_is_named_with_its_cure(undisturbed: Undisturbed) -> None:
    copy = undisturbed.path.parent / "locked"
    subprocess.run(["cp", "-a", undisturbed.path, copy], check=True)
    (copy / ".dvc/tmp/rwlock").write_bytes(b"")
    assert run(copy, ["dvc", "repro"]).returncode != 0, "DVC minds no more: the check can go"
    refused = run(copy, ["whoswho", "check"])
    assert refused.returncode == 2
    cure = refused.stderr.rpartition(": ")[2].strip()
    assert cure == "rm .dvc/tmp/rwlock"
    assert run(copy, cure.split()).returncode == 0
    assert run(copy, ["dvc", "repro"]).returncode == 0


@pytest.mark.slow
def test_a_damaged_object_of_the_cache_is_not_taken(undisturbed: Undisturbed) -> None:
    copy = undisturbed.path.parent / "damaged"
    subprocess.run(["cp", "-a", undisturbed.path, copy], check=True)
    model = copy / "artifacts/model"
    cache = copy / ".dvc/cache/files/md5"
    weights = (model / "weights.safetensors").read_bytes()
    (listed,) = [
        json.loads(file.read_text())
        for file in cache.rglob("*.dir")
        if "weights.safetensors" in file.read_text() and "model.json" in file.read_text()
    ]
    (name,) = [each["md5"] for each in listed if each["relpath"] == "weights.safetensors"]
    stored = cache / name[:2] / name[2:]
    stored.chmod(0o644)
    spoilt = bytearray(weights)
    spoilt[len(spoilt) // 2] ^= 255
    stored.write_bytes(spoilt)
    subprocess.run(["rm", "-r", model], check=True)
    assert run(copy, ["dvc", "repro", "train"]).returncode == 0
    assert (model / "weights.safetensors").read_bytes() == weights
