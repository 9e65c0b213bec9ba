"""An alias moves to nothing but a version that loads and answers as it did when registered."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.lifecycle_store import environment, fixture_made, fixture_root  # noqa: F401
from support.lifecycle_versions import POLICY, fixture_weights, root_of_versions  # noqa: F401

from whoswho.errors import UserError
from whoswho.lifecycle.registry import (
    alias_log,
    probe_files,
    probes,
    promotion,
    version_files,
    versions,
)
from whoswho.lifecycle.tracking.store import Store, open_store


@pytest.fixture(scope="module")
def two(made: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a champion and a challenger that gets one test picture wrong."""
    root = tmp_path_factory.mktemp("two") / "root"
    root_of_versions(root, made, weights, {"limit": 0.1}, {"limit": 0.2, "wrong": [4]})
    return root


@pytest.fixture
def store(root: Path, two: Path) -> Store:
    """The store of a copy of it."""
    shutil.copytree(two, root, dirs_exist_ok=True)
    return open_store(root)


LENIENT = POLICY.model_copy(update={"margin": 0.5})


def folder_of(store: Store, number: int) -> Path:
    """MLflow's folder of a version: MLmodel, code/, artifacts/."""
    return version_files.model_folder(store, str(number)).parents[1]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def flip_last_byte(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 64]))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def other_answers(path: Path) -> None:
    """As if the same weights answered otherwise on this machine."""
    rows = json.loads(path.read_bytes())
    rows[0]["probabilities"] = dict.fromkeys(rows[0]["probabilities"], 1 / 6)
    path.write_text(json.dumps(rows), encoding="utf-8")


def empty_module(folder: Path) -> None:
    (module,) = folder.glob("code/*/inference/model.py")
    module.write_text("", encoding="utf-8")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "all files gone": (shutil.rmtree, "its files are gone"),
    "weights gone": (
        lambda f: (f / "artifacts/model/weights.safetensors").unlink(), "its files are gone",
    ),
    "weights cut": (
        lambda f: cut(f / "artifacts/model/weights.safetensors"), "not those that were registered",
    ),
    "a bit of the weights": (
        lambda f: flip_last_byte(f / "artifacts/model/weights.safetensors"),
        "not those that were registered",
    ),
    "temperature edited": (
        lambda f: edit(f / "artifacts/model/model.json", '"temperature": 1.0', '"temperature": 9'),
        "not those that were registered",
    ),
    "record gone": (
        lambda f: (f / "artifacts/evaluation/predictions.csv").unlink(), "its files are gone",
    ),
    "MLmodel gone": (lambda f: (f / "MLmodel").unlink(), "cannot be loaded and asked"),
    "code gone": (lambda f: shutil.rmtree(f / "code"), "cannot be loaded and asked"),
    "a module empty": (empty_module, "cannot be loaded and asked"),
    "probes gone": (
        lambda f: shutil.rmtree(f / "artifacts/probes"), "its files are gone",
    ),
    "a probe picture cut": (
        lambda f: cut(f / "artifacts/probes/3.webp"), "cannot be loaded and asked",
    ),
    "other answers": (
        lambda f: other_answers(f / "artifacts/probes/probes.json"),
        r"answers 1 of its 6 probe pictures otherwise .*0.167, now 1.000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_version_gets_no_alias(store: Store, damage: str) -> None:
    """Whether it is to be promoted, also by force, or to come back."""
    apply, message = DAMAGE[damage]
    apply(folder_of(store, 2))
    before = versions.aliases(store)
    for force in (False, True):
        with pytest.raises(UserError, match=message) as refused:
            promotion.promote(store, "2", LENIENT, force=force, why="all the same")
        assert "\n" not in str(refused.value)
    assert versions.aliases(store) == before
    alias_log.move(store, "previous", 2, "as before it was damaged")
    with pytest.raises(UserError, match=message):
        promotion.rollback(store)
    assert versions.aliases(store)["champion"] == 1


def test_the_probes_are_a_judged_picture_of_each_label_with_its_answer(store: Store) -> None:
    artifacts = folder_of(store, 2) / "artifacts"
    record = version_files.fetch_record(store, 2)
    kept = probe_files.read_probes(artifacts)
    assert len(kept) == len(record.model.labels) == 6
    answers = {row.predicted for row in record.evaluation.judged_pictures}
    assert all(probe.predicted in answers for probe in kept)
    assert {path.name for path in (artifacts / "probes").iterdir()} == {
        *(probe.picture for probe in kept), "probes.json",
    }  # fmt: skip
    probes.check(store, 2)


def test_a_rollback_says_what_users_will_see_change(store: Store) -> None:
    promotion.promote(store, "2", LENIENT)
    lines = promotion.rollback(store)
    assert lines[0] == "version 1 is the champion again; 2 is `previous`"
    assert lines[1].startswith("note: 1 of 18 answers to common test pictures change: ")


def whoswho(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "whoswho.cli", *arguments],
        cwd=root, env=environment(), capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip


def test_a_dry_run_says_everything_and_moves_nothing(store: Store) -> None:
    before = versions.aliases(store), alias_log.moves(store)
    done = whoswho(store.root, "promote", "--dry-run")
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "version 2 would be refused; nothing was moved"
    assert lines[1].startswith("refused: worse than version 1 beyond 0.02: 17 against 18 right")
    assert lines[2].startswith("note: 17 against 18 right of 18 common test pictures")
    assert "answers to common test pictures change" in lines[3]
    assert promotion.rehearse(store, "2", LENIENT)[1][0] == (
        "version 2 would become the champion; nothing was moved"
    )
    assert (versions.aliases(store), alias_log.moves(store)) == before


def test_a_dry_run_names_the_damage_beside_the_gates_reasons(store: Store) -> None:
    shutil.rmtree(folder_of(store, 2) / "code")
    allowed, lines = promotion.rehearse(store, "2", POLICY)
    assert not allowed
    assert "cannot be loaded and asked" in lines[1]
    assert lines[2].startswith("refused: worse than version 1")
