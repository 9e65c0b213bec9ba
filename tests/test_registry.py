"""Versions, their aliases and the promotion log, against the real MLflow registry."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import lifecycle_outputs as small
from support.lifecycle_store import HANGUL, environment, everything, fixture_made, fixture_root  # noqa: F401
from support.lifecycle_versions import POLICY, fixture_weights, outputs_of, register  # noqa: F401
from support.repository import REPOSITORY

from whoswho.errors import UserError
from whoswho.inference.predictor import Predictor
from whoswho.lifecycle.registry import (
    alias_log,
    completion,
    promotion,
    registration,
    version_files,
    versions,
)
from whoswho.lifecycle.registry.record import read_record
from whoswho.lifecycle.tracking.store import open_store


def test_registering_is_idempotent(
    root: Path,
    weights: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    record = outputs_of(root, weights, wrong=[0])
    first = register(root, record)
    assert (first.number, first.new) == (1, True)
    store = open_store(root)
    (version,) = versions.all_versions(store)
    before = everything(store, version.run_id)
    again = register(root, record)
    assert (again.number, again.new) == (1, False)
    assert everything(store, version.run_id) == before
    assert len(alias_log.moves(store)) == 1
    assert version.aliases == ("challenger",)
    assert version.metric("test/accuracy") == pytest.approx(1 - 1 / 18)
    assert version.tags["model.sha256"] == record.digest
    assert version.tags["split.sha256"] == record.split_digest
    assert version.tags["commit"] == "c0ffee"
    assert version.tags["untrained_backbone"] == "false"
    assert capfd.readouterr() == ("", ""), "a library's line got through"


def test_registering_logs_no_metric_twice(root: Path, weights: Path) -> None:
    record = outputs_of(root, weights)
    store = open_store(root)
    run = completion.completed_run(store, record, root / "reports", {}, {})
    before = everything(store, run.info.run_id)["points"]
    registration.register(store, run.info.run_id, record, "always")
    assert everything(store, run.info.run_id)["points"] == before
    assert store.run(run.info.run_id).info.status == "FINISHED"


def test_a_known_model_moves_the_challenger_back(root: Path, weights: Path) -> None:
    register(root, outputs_of(root, weights, 0.3))
    assert register(root, outputs_of(root, weights, 0.4)).number == 2
    back = register(root, outputs_of(root, weights, 0.3))
    assert (back.number, back.new) == (1, False)
    assert back.message == (
        "version 1 of whoswho, registered again: the challenger is what came last"
    )
    assert [(v.number, v.aliases) for v in versions.all_versions(open_store())] == [
        (2, ()),
        (1, ("challenger",)),
    ]
    assert [(m.before, m.after) for m in alias_log.moves(open_store())] == [
        (None, 1),
        (1, 2),
        (2, 1),
    ]


def test_only_what_improves_is_registered_where_that_is_asked(
    root: Path,
    weights: Path,
) -> None:
    first = register(root, outputs_of(root, weights, 0.1, log_loss=0.5), "improves")
    assert first.number == 1
    worse = register(root, outputs_of(root, weights, 0.2, log_loss=0.6), "improves")
    assert worse.number is None
    assert "no better than version 1" in worse.message
    better = register(root, outputs_of(root, weights, 0.3, log_loss=0.4), "improves")
    assert better.number == 2
    other_split = outputs_of(root, weights, 0.4, log_loss=0.9, pictures=4)
    assert register(root, other_split, "improves").number == 3
    never = register(root, outputs_of(root, weights, 0.5, log_loss=0.1), "never")
    assert never.number is None
    assert len(versions.all_versions(open_store())) == 3
    store = open_store(root)
    assert len(store.client.search_runs([store.experiment_id])) == 5, "each run is kept"


def test_promote_and_rollback_move_aliases_and_are_logged(
    root: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WHOSWHO_USER", "mina")
    for limit in (0.1, 0.2, 0.3):
        register(root, outputs_of(root, weights, limit))
    assert promotion.promote(open_store(), "1", POLICY)[0] == "version 1 is the champion"
    lines = promotion.promote(open_store(), "challenger", POLICY, why="brighter  room")
    assert lines[0] == "version 3 is the champion"
    assert "18 against 18 right of 18 common test pictures" in lines[1]
    assert promotion.promote(open_store(), "models:/whoswho/3", POLICY) == [
        "version 3 is the champion already"
    ]
    named = {v.number: v.aliases for v in versions.all_versions(open_store())}
    assert named == {3: ("challenger", "champion"), 2: (), 1: ("previous",)}
    promotion.rollback(open_store(), why="too strict")
    named = {v.number: v.aliases for v in versions.all_versions(open_store())}
    assert named == {3: ("challenger", "previous"), 2: (), 1: ("champion",)}
    moves = [m for m in alias_log.moves(open_store()) if m.alias != "challenger"]
    assert [(m.alias, m.before, m.after, m.why, m.who) for m in moves] == [
        ("champion", None, 1, "", "mina"),
        ("previous", None, 1, "brighter room", "mina"),
        ("champion", 1, 3, "brighter room", "mina"),
        ("champion", 3, 1, "too strict", "mina"),
        ("previous", 1, 3, "too strict", "mina"),
    ]
    printed = promotion.table(open_store(), root)
    assert re.match(r"version +aliases +test/accuracy", printed[0])
    assert "champion" in printed[3]
    assert printed[-1].endswith("mina: champion 3 -> 1: too strict")


def test_the_gate_stands_before_promotion(root: Path, weights: Path) -> None:
    register(root, outputs_of(root, weights, 0.1, entry="random"))
    with pytest.raises(UserError, match="its backbone is untrained") as refused:
        promotion.promote(open_store(), "challenger", POLICY)
    assert "whoswho promote challenger --force --why" in str(refused.value)
    assert versions.all_versions(open_store())[0].aliases == ("challenger",)
    with pytest.raises(UserError, match="--force needs --why"):
        promotion.promote(open_store(), "challenger", POLICY, force=True, why=" ")
    lines = promotion.promote(open_store(), "challenger", POLICY, force=True, why="a first try")
    assert lines[1].startswith("overruled: its backbone is untrained")
    assert alias_log.moves(open_store())[-1].forced
    assert "(forced): a first try" in promotion.table(open_store(), root)[-1]
    register(root, outputs_of(root, weights, 0.2, wrong=[1, 2]))
    with pytest.raises(UserError, match=r"worse than version 1 beyond 0\.02: 16 against 18"):
        promotion.promote(open_store(), "challenger", POLICY)


def test_what_is_not_there_is_named_with_the_ways_out(root: Path) -> None:
    assert promotion.table(open_store(), root) == [
        "no version of whoswho is registered yet; `dvc repro` registers one"
    ]
    with pytest.raises(UserError, match=r"whoswho promote.*--model artifacts/model"):
        version_files.model_folder(open_store(), "models:/whoswho@champion")
    for reference, message in {
        "7": "version 7: not registered",
        "best": r"best: no such alias \(there are: none\)",
        "models:/else/1": "registers models:/whoswho only",
    }.items():
        with pytest.raises(UserError, match=message):
            versions.resolve(open_store(), reference)
    with pytest.raises(UserError, match="there is no champion before"):
        promotion.rollback(open_store())


def test_the_standing_names_a_promote_command_that_works(
    root: Path,
    weights: Path,
) -> None:
    import shlex

    shutil.copy(REPOSITORY / "params.yaml", root)
    for limit, entry in ((0.1, "random"), (0.2, "IMAGENET1K_V2"), (0.3, "random")):
        record = outputs_of(root, weights, limit, entry=entry)
        result = register(root, record)
        small.write_json(root / "artifacts" / "registered.json", {
            "model.sha256": record.digest
        })  # fmt: skip
        standing = promotion.standing(open_store(), root)
        assert (standing.version, standing.aliases) == (result.number, ("challenger",))
        assert standing.run
        assert standing.promote is not None
        assert ("--force" in standing.promote) is (entry == "random")
        words = shlex.split(standing.promote)[2:]
        promotion.promote(open_store(),
            "challenger", POLICY, force="--force" in words,
            why=words[-1] if "--why" in words else "",
        )  # fmt: skip
        after = promotion.standing(open_store(), root)
        assert after.promote is None
        assert after.champion == result.number


def test_a_version_is_loaded_after_its_folder_moved(
    root: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register(root, outputs_of(root, weights))
    promotion.promote(open_store(), "1", POLICY)
    moved = root.parent / HANGUL
    root.rename(moved)
    (moved / "data").mkdir()
    monkeypatch.chdir(moved / "data")
    folder = version_files.model_folder(open_store(), "models:/whoswho@champion")
    assert folder.is_relative_to(moved)
    assert (folder / "model.json").is_file()
    assert promotion.judge(open_store(), 1, POLICY).allowed
    shutil.rmtree(folder)
    with pytest.raises(UserError, match="its files are gone"):
        version_files.model_folder(open_store(), "models:/whoswho/1")
    again = register(moved, read_record(moved / "artifacts"))
    assert (again.number, again.new) == (2, True)
    assert version_files.model_folder(open_store(), "models:/whoswho@challenger").is_dir()


def test_a_version_carries_all_it_needs(root: Path, weights: Path) -> None:
    """Loaded by MLflow alone, from its own files and none of this repository's."""
    register(root, outputs_of(root, weights))
    store = open_store(root)
    code = (
        "import json, mlflow, sys\n"
        f"mlflow.set_tracking_uri({store.uri!r})\n"
        "model = mlflow.pyfunc.load_model('models:/whoswho@challenger')\n"
        "files = {module.__file__ for name, module in list(sys.modules.items())"
        " if name.startswith('whoswho')}\n"
        "print(json.dumps([sorted(files), model.metadata.get_input_schema().input_names()]))\n"
    )
    env = {k: v for k, v in environment().items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root.parent, capture_output=True, text=True, env=env
    )
    assert done.returncode == 0, done.stderr
    files, names = json.loads(done.stdout.splitlines()[0])
    assert files
    assert all(Path(file).is_relative_to(root / "mlartifacts") for file in files)
    assert names == ["image"]


def test_a_version_of_another_format_says_how_to_register_it_anew(
    root: Path, weights: Path
) -> None:
    """As one of long ago, whose format today's code no longer reads."""
    register(root, outputs_of(root, weights, 0.1))
    store = open_store(root)
    promotion.promote(store, "1", POLICY)
    folder = version_files.model_folder(store, "1")
    written = json.loads((folder / "model.json").read_bytes())
    (folder / "model.json").write_text(json.dumps(written | {"format": 1}), encoding="utf-8")
    store.client.set_model_version_tag("whoswho", "1", "format", "1")
    anew = "format.* 1, .* anew with `dvc repro`"
    with pytest.raises(UserError, match=anew):
        Predictor(folder)
    register(root, outputs_of(root, weights, 0.2))
    with pytest.raises(UserError, match=r"version 1 is of format 1, .* --force") as refused:
        promotion.promote(store, "2", POLICY)
    assert "\n" not in str(refused.value)
    promotion.promote(store, "2", POLICY, force=True, why="trained anew")
    assert versions.aliases(store)["champion"] == 2
    with pytest.raises(UserError, match=f"version 1 is of {anew}"):
        promotion.promote(store, "1", POLICY)
