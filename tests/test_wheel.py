"""What is built holds everything, and answers where this repository is not."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from support.repository import REPOSITORY

from whoswho import __version__

# Without a network and without another environment: setuptools is installed here.
SDIST = "import setuptools.build_meta as build; print(build.build_sdist('dist'))"
INSTALL = ("-m", "pip", "--isolated", "--disable-pip-version-check")


def run(*command: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, env=surroundings | more, capture_output=True,
        text=True, encoding="utf-8", check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that is made of it."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    pycache = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(REPOSITORY / "src", source / "src", ignore=pycache)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    done = run("-c", SDIST, cwd=source)
    assert done.returncode == 0, done.stderr
    (sdist,) = (source / "dist").glob("*.tar.gz")
    offline = ("--no-deps", "--no-build-isolation", "--no-index")
    done = run(*INSTALL, "wheel", "--quiet", *offline, "-w", folder, sdist, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def elsewhere(built: Path) -> dict[str, str]:
    """The surroundings in which the installed wheel is found before this repository."""
    (wheel,) = built.glob("*.whl")
    target = built / "installed"
    done = run(
        *INSTALL, "install", "--quiet", "--no-deps", "--no-index", "--target", target, wheel,
        cwd=built,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {"PYTHONPATH": str(target)}


def test_wheel_and_sdist_hold_all_of_the_package(built: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "src/whoswho"], cwd=REPOSITORY, capture_output=True, text=True,
        check=True,
    ).stdout.split("\0")  # fmt: skip
    tracked = {name.removeprefix("src/") for name in listed if (REPOSITORY / name).is_file()}
    tracked.discard("")
    (wheel,) = built.glob(f"whoswho-{__version__}-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        about = file.read(f"whoswho-{__version__}.dist-info/METADATA").decode()
    assert tracked - names == set()
    assert {name for name in names if not name.startswith("whoswho")} == set()
    assert "License-Expression: MIT" in about
    assert any(name.endswith("licenses/LICENSE") for name in names)
    (sdist,) = (built / "source" / "dist").glob(f"whoswho-{__version__}.tar.gz")
    with tarfile.open(sdist) as packed:
        inside = {name.partition("/")[2] for name in packed.getnames()}
    assert {f"src/{name}" for name in tracked} | {"pyproject.toml", "LICENSE"} <= inside


def test_the_command_answers_without_a_repository(
    built: Path, elsewhere: dict[str, str], tmp_path: Path
) -> None:
    where = run("-c", "import whoswho; print(whoswho.__file__)", cwd=tmp_path, **elsewhere)
    assert Path(where.stdout.strip()).is_relative_to(built)
    program = next((built / "installed" / "bin").glob("whoswho*"))
    helped = run(program, "--help", cwd=tmp_path, **elsewhere)
    assert "predict" in helped.stdout
    assert (
        run(program, "--version", cwd=tmp_path, **elsewhere).stdout == f"whoswho {__version__}\n"
    )
    for command in ("check", "review"):
        refused = run(program, command, cwd=tmp_path, **elsewhere)
        assert refused.returncode == 2, refused.stderr
        assert refused.stderr.count("\n") == 1
        assert "no dvc.yaml here or above" in refused.stderr


def test_a_model_folder_is_all_that_predict_needs(
    elsewhere: dict[str, str], tmp_path: Path
) -> None:
    kept = REPOSITORY / "tests" / "data" / "model-format-3"
    model = tmp_path / "모델"
    model.mkdir()
    shutil.copy(kept / "model.json", model)
    packed = (kept / "weights.safetensors.xz").read_bytes()
    (model / "weights.safetensors").write_bytes(lzma.decompress(packed))
    answered = run("-m", "whoswho.cli", "predict", kept / "picture.png", "--model", model,
                   "--figure", "figure.png", cwd=tmp_path, **elsewhere)  # fmt: skip
    assert answered.returncode == 0, answered.stderr
    assert re.search(r"장원영 +0\.679\b", answered.stdout), answered.stdout
    assert (tmp_path / "figure.png").stat().st_size > 1000
