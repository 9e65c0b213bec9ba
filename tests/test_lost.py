"""Versions whose run or files are gone, and a store that lacks a registered model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support import lifecycle_outputs as small
from support.lifecycle_store import fixture_made, fixture_root  # noqa: F401
from support.lifecycle_versions import (  # noqa: F401
    POLICY,
    fixture_weights,
    outputs_of,
    register,
    root_of_versions,
)

from whoswho import paths
from whoswho.errors import UserError
from whoswho.lifecycle import holders
from whoswho.lifecycle.registry import alias_log, promotion, version_files, versions
from whoswho.lifecycle.trace import rebuild, training
from whoswho.lifecycle.tracking.store import Store, open_store


@pytest.fixture(scope="module")
def three(made: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with three versions; the first is `previous`, the second the champion."""
    root = tmp_path_factory.mktemp("three") / "root"
    kinds = ({"limit": limit} for limit in (0.1, 0.2, 0.3))
    record = root_of_versions(root, made, weights, *kinds)
    small.write_json(root / paths.REGISTERED, {"model.sha256": record.digest})
    return root


@pytest.fixture
def store(root: Path, three: Path) -> Store:
    """The store of a copy of it."""
    shutil.copytree(three, root, dirs_exist_ok=True)
    return open_store(root)


def files_of(store: Store, number: int) -> Path:
    return version_files.model_folder(store, str(number)).parents[1]


def test_a_deleted_run_costs_nothing(store: Store) -> None:
    """As after `mlflow runs delete` and `mlflow gc`: neither the run nor what it kept is left."""
    pictures = {row.sha256 for row in version_files.fetch_record(store, 2).split[:1]}
    for version in versions.all_versions(store):
        store.client.delete_run(version.run_id)
        shutil.rmtree(store.root / "mlartifacts" / version.run_id)
    lines = promotion.promote(store, "challenger", POLICY)
    assert "18 against 18 right of 18 common test pictures" in lines[1]
    promotion.rollback(store)
    assert versions.aliases(store) == {"challenger": 3, "champion": 2, "previous": 3}
    table = promotion.table(store, store.root)
    assert [line.endswith("run gone") for line in table[:4]] == [False, True, True, True]
    standing = promotion.standing(store, store.root)
    assert (standing.run, standing.version, standing.missing) == (None, 3, "")
    # A takedown finds the picture by what the version carries.
    holding_runs = holders.holding(store, pictures, set())
    assert [len(holder.versions) for holder in holding_runs] == [1, 1, 1]
    assert all(holder.splits == ("train",) and holder.models for holder in holding_runs)
    assert holders.holding(store, {"0" * 64}, set()) == []


def test_a_champion_without_files_is_not_compared_and_gives_way(store: Store) -> None:
    shutil.rmtree(files_of(store, 2))
    with pytest.raises(UserError, match=r"cannot compare: .*/2: its files are gone") as refused:
        promotion.promote(store, "challenger", POLICY)
    assert "\n" not in str(refused.value)
    standing = promotion.standing(store, store.root)
    assert standing.promote == 'whoswho promote --force --why "a first try"'
    lines = promotion.promote(store, "challenger", POLICY, force=True, why="its disk is lost")
    assert lines[1].startswith("overruled: cannot compare")
    assert "`previous` stays: version 2 has no files" in lines[-1]
    assert versions.aliases(store) == {"challenger": 3, "champion": 3, "previous": 1}
    marked = [
        line.split()[0] for line in promotion.table(store, store.root) if "files gone" in line
    ]
    assert marked == ["2"]


@pytest.mark.parametrize("lost", ["model/weights.safetensors", "dataset/split.csv"])
def test_no_alias_moves_to_a_version_without_its_files(lost: str, store: Store) -> None:
    for number in (1, 3):
        (files_of(store, number) / "artifacts" / lost).unlink()
    before = versions.aliases(store), alias_log.moves(store)
    with pytest.raises(UserError, match="/1: its files are gone"):
        promotion.rollback(store)
    for force in (False, True):
        with pytest.raises(UserError, match=r"/3: its files are gone .*dvc repro -f -s register"):
            promotion.promote(store, "3", POLICY, force=force, why="all the same")
    assert (versions.aliases(store), alias_log.moves(store)) == before
    standing = promotion.standing(store, store.root)
    assert standing.promote is None
    assert "its files are gone; to register it again: dvc repro -f -s register" in standing.missing


def test_a_store_that_lacks_the_registered_model_says_how_to_bring_it_there(
    store: Store, root: Path, made: Path, weights: Path
) -> None:
    assert not any("dvc repro" in line for line in promotion.table(store, root))
    fresh = root.with_name("fresh")
    shutil.copytree(made, fresh)  # the same workspace whose mlflow.db and mlartifacts were lost
    for name in (paths.PARAMS, paths.REGISTERED):
        (fresh / name).parent.mkdir(exist_ok=True)
        shutil.copy(root / name, fresh / name)
    empty = open_store(fresh)
    (message,) = promotion.table(empty, fresh)
    assert "new or lost" in message
    assert "dvc repro -f -s register" in message
    assert promotion.standing(empty, fresh).missing == message
    register(fresh, outputs_of(fresh, weights, 0.9))  # another model
    assert promotion.table(empty, fresh)[-1] == message


def test_a_model_that_was_not_to_be_registered_is_not_missed(store: Store) -> None:
    from bench.workspace import set_params

    store.client.delete_registered_model(store.project)
    assert promotion.standing(store, store.root).missing
    set_params(store.root, register={"when": "improves"})
    assert promotion.standing(store, store.root).missing == ""


def test_a_version_that_somebody_made_by_hand_is_listed_and_refused(store: Store) -> None:
    """No metric, no format, no run, no files; and one whose metric is no number."""
    store.client.create_model_version("whoswho", "file:///nowhere")
    store.client.set_model_version_tag("whoswho", "1", "test/accuracy", "good")
    rows = [line.split() for line in promotion.table(store, store.root)]
    assert rows[1][:2] == ["4", "-"]
    assert " ".join(rows[1]).endswith("files gone, run gone")
    assert rows[4][2] == "-"
    with pytest.raises(UserError, match="/4: its files are gone"):
        promotion.promote(store, "4", POLICY, force=True, why="it is the best")
    with pytest.raises(UserError, match="/4: its files are gone"):
        version_files.model_folder(store, "4")
    traced = training.find(store, "4")
    assert (traced.run, traced.record, traced.commit) == (None, None, "")
    lines = training.lines(store, store.root, traced, rebuild.commands(store.root, traced))
    assert "run        gone from the store" in lines
    assert lines[-1] == "  # nobody can: it was trained outside Git"
    with pytest.raises(UserError, match="best: no version, alias, run, file"):
        training.find(store, "best")
