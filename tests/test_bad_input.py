"""Bad input: one clear line, exit code 2, nothing lost, from the command and the stage alike."""

from __future__ import annotations

import shutil
import socket
import sys
import threading
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from support.pictures import draw_stripes
from support.pipeline import NOT_PEOPLE, Workspace, built_sample, set_params

from whoswho.artifacts.model.description import model_digest


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a small sound set of two labels."""
    workspace = Workspace(tmp_path_factory.mktemp("sound") / "clone", **NOT_PEOPLE)
    for label, name in enumerate(("down", "up")):
        for number in range(10):
            draw_stripes(workspace.path / "data" / name / f"{number}.png", label, number)
    return workspace


@pytest.fixture
def workspace(sound: Workspace, tmp_path: Path) -> Workspace:
    """A copy of it to break."""
    return sound.copy(tmp_path / "clone")


def one_line(workspace: Workspace, *command: str, **more: str) -> str:
    done = workspace.run(*command, code=2, **more)
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("whoswho: ")
    return lines[0]


STAGE = ("python", "src/stage.py", "clean")
CHECK = ("whoswho", "check")


@pytest.mark.parametrize("command", [CHECK, STAGE])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": {"epohcs": 3}}, "train.epohcs: unknown; did you mean train.epochs?"),
        ({"train": {"lr": "fast"}}, "train.lr: input should be a valid number"),
        ({"evaluate": {"bins": 0}}, "evaluate.bins: input should be greater than"),
    ],
)
def test_params(
    workspace: Workspace,
    command: tuple[str, ...],
    change: dict[str, dict[str, object]],
    message: str,
) -> None:
    set_params(workspace.path, **change)
    assert message in one_line(workspace, *command)


def test_params_absent(workspace: Workspace) -> None:
    (workspace.path / "params.yaml").unlink()
    for command in (CHECK, STAGE):
        assert "params.yaml: not there; restore it" in one_line(workspace, *command)


def absent(data: Path) -> None:
    shutil.rmtree(data)


def empty(data: Path) -> None:
    shutil.rmtree(data)
    data.mkdir()


def loose_files(data: Path) -> None:
    empty(data)
    draw_stripes(data / "a.png", 0, 0)


def one_label(data: Path) -> None:
    shutil.rmtree(data / "up")


def same_but_case(data: Path) -> None:
    (data / "down").rename(data / "UP")


def same_but_form(data: Path) -> None:
    (data / "down").rename(data / "가나")
    (data / "up").rename(data / unicodedata.normalize("NFD", "가나"))


@pytest.mark.parametrize("command", [CHECK, STAGE])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (absent, "dvc pull"),
        (empty, "data"),
        (loose_files, "folder"),
        (one_label, "one label"),
        (same_but_case, "'UP' and 'up'"),
        (same_but_form, "Unicode form"),
    ],
)
def test_data(
    workspace: Workspace, command: tuple[str, ...], spoil: Callable[[Path], None], message: str
) -> None:
    spoil(workspace.path / "data")
    assert message in one_line(workspace, *command)


def test_a_label_with_one_picture(workspace: Workspace) -> None:
    for file in (workspace.path / "data" / "up").glob("[1-9].png"):
        file.unlink()
    workspace.run(*STAGE)
    message = one_line(workspace, "python", "src/stage.py", "preprocess")
    assert "'up'" in message or "up:" in message
    assert "1 picture" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sha256,name,decision,other_label,why,when\n", "review.csv: column"),
        (
            f"sha256,label,decision,other_label,why,when\n{'0' * 64},up,keep,,,\n",
            "review.csv, line 2",
        ),
    ],
)
def test_review(workspace: Workspace, text: str, message: str) -> None:
    (workspace.path / "review.csv").write_text(text, encoding="utf-8")
    assert message in one_line(workspace, *STAGE)
    assert (workspace.path / "review.csv").read_text(encoding="utf-8") == text


def test_a_module_that_git_does_not_track_is_named(workspace: Workspace) -> None:
    """A queued experiment runs in a copy without it (field report D1)."""
    (workspace.path / "src" / "whoswho" / "cleaning" / "quality.py").unlink()
    message = one_line(workspace, *STAGE)
    assert "src/whoswho/cleaning/quality.py: not there" in message
    assert "git add" in message


def test_a_default_remote_inside_the_repository_is_warned_of(workspace: Workspace) -> None:
    assert workspace.run(*CHECK).stderr == ""
    for url, warned in (("../sample", True), ("/elsewhere", False), ("s3://a%20b", False)):
        config = f"[core]\n    remote = r\n['remote \"r\"']\n    url = {url}\n"
        (workspace.path / ".dvc" / "config").write_text(config, encoding="utf-8")
        assert ("would put your pictures into Git" in workspace.run(*CHECK).stderr) == warned


def test_a_config_of_dvc_that_cannot_be_read(workspace: Workspace) -> None:
    (workspace.path / ".dvc" / "config").write_text("core\n", encoding="utf-8")
    assert "config: cannot be read" in one_line(workspace, *CHECK)


def test_review_absent(workspace: Workspace) -> None:
    (workspace.path / "review.csv").unlink()
    message = one_line(workspace, *CHECK)
    assert "review.csv: not there, and dvc.yaml needs it" in message
    assert "sha256,label,decision,other_label,why,when" in message


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there file names are UTF-8")
@pytest.mark.parametrize("command", [CHECK, STAGE, ("whoswho", "crawl", "--folder", "more")])
def test_a_locale_that_is_not_utf8_is_named_and_not_the_folder(
    workspace: Workspace, command: tuple[str, ...]
) -> None:
    (workspace.path / "data" / "up").rename(workspace.path / "data" / "가나")
    shutil.copytree(workspace.path / "data" / "가나", workspace.path / "more" / "가나")
    message = one_line(workspace, *command, LC_ALL="C", PYTHONUTF8="0")
    assert "locale is not UTF-8 but ascii" in message
    assert "set PYTHONUTF8=1" in message
    assert "rename" not in message
    workspace.run(*CHECK, LC_ALL="C", PYTHONUTF8="1")


def test_weights(workspace: Workspace) -> None:
    set_params(workspace.path, backbone={"weights": ["absent.pth"]})
    backbone = ("python", "src/stage.py", "backbone")
    assert "absent.pth" in one_line(workspace, *backbone)
    from torchvision.models import resnet34

    torch.save(resnet34().state_dict(), workspace.path / "other.pth")
    set_params(workspace.path, backbone={"weights": ["other.pth"]})
    message = one_line(workspace, *backbone)
    assert "other.pth" in message
    assert "layer1.2" in message  # the first layer that resnet18 has not


@pytest.fixture
def silent_server() -> Iterator[str]:
    """An address that takes connections and never answers."""
    server = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def hold() -> None:
        while True:
            try:
                held.append(server.accept()[0])
            except OSError:
                return

    threading.Thread(target=hold, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    server.close()
    for connection in held:
        connection.close()


@pytest.mark.slow(minutes=2)
def test_a_tracking_server_that_is_not_there_keeps_the_training(
    tmp_path: Path, silent_server: str
) -> None:
    workspace = built_sample().copy(tmp_path / "clone")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        unreachable = f"http://127.0.0.1:{closed.getsockname()[1]}"
    weights = workspace.path / "artifacts" / "model" / "weights.safetensors"
    for seed, address in enumerate((silent_server, unreachable), 1):
        set_params(workspace.path, train={"seed": seed})
        weights.unlink(missing_ok=True)
        # The second time `dvc repro` goes on to register, which needs the store.
        stages = ["train"] if address == silent_server else []
        output = workspace.repro(*stages, code=None, MLFLOW_TRACKING_URI=address)
        assert "untracked" in output
        assert weights.exists()
        assert "Traceback" not in output
        command = ("python", "src/stage.py", "register")
        assert address in one_line(workspace, *command, MLFLOW_TRACKING_URI=address)
    assert workspace.ran(workspace.repro()) == ["register"]
    digest = workspace.json("artifacts/registered.json")["model.sha256"]
    assert digest == model_digest(workspace.path / "artifacts" / "model")


def test_commands_without_a_champion_or_a_store_name_both_ways_out(workspace: Workspace) -> None:
    message = one_line(workspace, "whoswho", "predict", "data/up/1.png")
    assert "whoswho promote" in message
    assert "--model artifacts/model" in message
    message = one_line(workspace, "whoswho", "predict", "data/up/1.png", "--model", "nowhere")
    assert "nowhere" in message
