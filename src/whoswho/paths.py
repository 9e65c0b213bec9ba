"""Where everything lies, and the writing of files that are either old or new, never half.

Two folders matter. The *workspace* is the folder a stage reads and writes: the nearest one above
the working directory with a dvc.yaml. The *root* holds what outlives a run: the tracking store
and the checkpoints. They are the same folder, except in a queued experiment, which DVC runs in a
copy of the tracked files that it deletes afterwards, while DVC_ROOT goes on naming the original.
"""

from __future__ import annotations

import glob
import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from whoswho import git
from whoswho.errors import UserError, disk_error, one_line

if TYPE_CHECKING:
    from pydantic import BaseModel

    Model = TypeVar("Model", bound=BaseModel)

PARAMS = Path("params.yaml")
DATA = Path("data")
REVIEW = Path("review.csv")
CLEAN = Path("artifacts/clean")
DATASET = Path("artifacts/dataset")
BACKBONE = Path("artifacts/backbone")
FEATURES = Path("artifacts/features")
SUSPECTS = Path("artifacts/suspects")
MODEL = Path("artifacts/model")
EVALUATION = Path("artifacts/evaluation")
REGISTERED = Path("artifacts/registered.json")
REPORTS = Path("reports")
# What `whoswho compare` draws; it shows faces.
COMPARISON = (REPORTS / "compare.html", REPORTS / "compare.png")
# What `register` says of a model's standing: it names people.
REGISTER_PAGE = REPORTS / "register.html"
CHECKPOINTS = Path(".whoswho/checkpoints")
FACES = Path(".whoswho/faces")
# Versions fetched from a tracking server.
FETCHED = Path(".whoswho/models")
# What `dvc plots show` and `diff` draw of the reports' figures.
DVC_PLOTS = Path("dvc_plots")

SPLITS = ("train", "validation", "test")


def workspace() -> Path:
    """The nearest folder, from the working directory upwards, that holds a dvc.yaml."""
    start = Path.cwd()
    for folder in (start, *start.parents):
        if (folder / "dvc.yaml").is_file():
            return folder
    raise UserError(
        f"{start}: no dvc.yaml here or above; run this inside a Who's Who repository "
        "(cd to your clone first)"
    )


def root() -> Path:
    """The repository that keeps the tracking store: DVC_ROOT where DVC set it."""
    dvc_root = os.environ.get("DVC_ROOT")
    if dvc_root and (Path(dvc_root) / "dvc.yaml").is_file():
        return Path(dvc_root)
    return workspace()


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside `folder`; move it into its place when the block succeeds."""
    partial = partial_folder(folder)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if full := disk_error(error, folder):
            raise full from None
        raise
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)


def partial_folder(folder: Path) -> Path:
    """Where `fresh_folder` lets `folder` be written."""
    return folder.with_name(f".{folder.name}.partial")


@contextmanager
def fresh_file(path: Path) -> Iterator[Path]:
    """Give a path beside `path`; move what was written there into its place on success."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        _remove_left_behind(left)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    except Exception as error:
        if full := disk_error(error, path):
            raise full from None
        raise
    finally:
        partial.unlink(missing_ok=True)


def _remove_left_behind(partial: Path) -> None:
    """Remove what a killed process was writing; it may show a person's face."""
    pid = partial.name.split(".")[-2]
    if os.name == "posix" and pid.isdigit():  # elsewhere nothing as simple asks for a process
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            partial.unlink(missing_ok=True)
        except OSError:
            return  # it lives, as another user's


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 with LF line ends, whatever the system."""
    with fresh_file(path) as partial:
        partial.write_bytes(text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with its keys as given and its letters readable."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Parse a JSON file of an earlier stage."""
    try:
        data = path.read_bytes()
        content = json.loads(data, parse_float=finite, parse_constant=finite)
        if b"\\u" in data:  # maybe half a letter, which no file and no page can hold
            json.dumps(content, ensure_ascii=False).encode()
        return content
    except FileNotFoundError:
        raise UserError(f"{path}: not there; run `dvc repro` (or `dvc pull`) first") from None
    except (ValueError, RecursionError) as error:
        git.check_merged(path)
        why = one_line(error)
        raise UserError(f"{path}: not JSON ({why}); run `dvc checkout` to restore it") from None


def finite(text: str) -> float:
    """A text as a number.

    Raises:
        ValueError: it is none, or none that can be reckoned with.
    """
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{one_line(text, 40)!r} is no finite number")
    return number


def inside(folder: Path, relative: str) -> Path:
    """The file in `folder` that a table names.

    Raises:
        ValueError: it would lie elsewhere.
    """
    check_inside(folder.name, relative)
    return folder / PurePosixPath(relative)


def check_inside(folder: str, relative: str) -> None:
    """Raise ValueError where a path that a table gives below a folder leads out of it."""
    if not relative or relative.startswith("/") or ".." in relative.split("/") or "\0" in relative:
        raise ValueError(f"{one_line(relative, 80)!r} is no file in {folder}/")


def validated(model: type[Model], content: Any, path: Path, cure: str) -> Model:
    """The content of `path` as a `model`.

    Raises:
        UserError: it was changed by hand, or written by another version.
    """
    from pydantic import ValidationError

    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "all of it"
        reason = f"{key}: {first['msg']}, not {one_line(repr(first['input']))}"
        raise UserError(f"{path}: not as this version writes it ({reason}); {cure}") from None


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(*parts: str) -> str:
    """Hex digest of several texts, unambiguous in where one ends and the next begins."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
