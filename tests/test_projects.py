"""The names of experiment and model: several projects on one server, one in its own store."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.lifecycle_store import HANGUL, fixture_made, fixture_root, project  # noqa: F401
from support.lifecycle_versions import fixture_weights, outputs_of, register  # noqa: F401
from support.tracking_server import fixture_tracking_server  # noqa: F401

from whoswho.errors import UserError
from whoswho.lifecycle.registry import alias_log, promotion, version_files, versions
from whoswho.lifecycle.tracking import lineage
from whoswho.lifecycle.tracking.store import Store, open_store
from whoswho.params import Promote

POLICY = Promote(
    margin=0.02, recall_floor=0.0, significance=None, strangers_margin=0.1, newcomer_likeness=0.7
)


def champion(store: Store) -> int | None:
    return versions.aliases(store).get("champion")


def test_two_projects_on_one_server_leave_each_others_champions_alone(
    tracking_server: str, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_server)
    actors = project(tmp_path / "배우들 O'Neil: 1")  # named by its folder
    singers = project(tmp_path / "whoswho", "singers")
    for limit in (0.1, 0.2):
        register(actors, outputs_of(actors, weights, limit))
        promotion.promote(open_store(actors), "challenger", POLICY)
    register(singers, outputs_of(singers, weights, 0.3))
    first, second = open_store(actors), open_store(singers)
    assert (first.project, second.project) == ("배우들 O-Neil- 1", "singers")
    assert first.experiment_id != second.experiment_id
    assert (champion(first), champion(second)) == (2, None)

    promotion.promote(second, "challenger", POLICY, why="the | first")
    assert (champion(first), champion(second)) == (2, 1)
    promotion.rollback(first, why="too strict")
    assert (champion(first), champion(second)) == (1, 1)
    assert [(m.alias, m.after, m.why) for m in alias_log.moves(second)] == [
        ("challenger", 1, "registered"),
        ("champion", 1, "the | first"),
    ]
    assert len(first.runs()) == 2
    assert len(second.runs()) == 1
    with pytest.raises(UserError, match=r"models:/singers only \(project.name in params.yaml"):
        version_files.model_folder(second, f"models:/{first.project}/1")
    folder = version_files.model_folder(second, "models:/singers@champion")
    assert '"min_similarity": 0.3' in (folder / "model.json").read_text(encoding="utf-8")


def test_a_project_that_is_renamed_begins_anew_and_finds_the_old_one_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = open_store(root)
    run = old.client.create_run(old.experiment_id).info.run_id
    old.client.log_text(run, "kept", "note.txt")
    moved = root.parent / HANGUL
    root.rename(moved)
    monkeypatch.chdir(moved)
    (moved / "params.yaml").write_text("project: {name: 우리 팀}\n", encoding="utf-8")
    new = open_store(moved)
    assert new.project == "우리 팀"
    assert new.runs() == []
    fresh = new.client.create_run(new.experiment_id).info.run_id
    new.client.log_text(fresh, "x", "x.txt")
    assert (moved / "mlartifacts" / fresh / "artifacts" / "x.txt").is_file()
    (moved / "params.yaml").write_text("project: {name: null}\n", encoding="utf-8")
    back = open_store(moved)
    assert [each.info.run_id for each in back.runs()] == [run]
    text = back.client.download_artifacts(run, "note.txt", str(moved))
    assert Path(text).read_text(encoding="utf-8") == "kept"


def test_a_mistake_in_another_section_keeps_nobody_from_the_runs(root: Path) -> None:
    (root / "params.yaml").write_text("project: {name: null}\ntrain: {epohcs: 1}\n")
    assert open_store(root).project == "whoswho"
    (root / "params.yaml").write_text("project: {name: a/b}\n")
    with pytest.raises(UserError, match=r"project\.name: must be a name such as 'a-b', not 'a/b'"):
        open_store(root)
    (root / "params.yaml").unlink()
    with pytest.raises(UserError, match=r"git checkout params\.yaml"):
        open_store(root)


def test_the_registrys_pages_say_what_the_card_says_first(root: Path, weights: Path) -> None:
    record = outputs_of(root, weights)
    card = (
        "# Model card\n\n> **Untrained.**\n\nNames which of 6 people.\n\n## Not for\n\n- doors\n"
    )
    description = (
        "test accuracy 1.000\n\nbackbone resnet18\n\n**Untrained.**\n\nNames which of 6 people."
    )
    register(root, record, card=card)
    store = open_store(root)
    version = store.client.get_model_version("whoswho", "1")
    assert version.description == description
    assert sorted(version.tags) == [
        "backbone", "commit", "format", "model.sha256", "split.sha256", "test/accuracy",
        "untrained_backbone", "validation/accuracy", "validation/log_loss",
    ]  # fmt: skip
    model = store.client.get_registered_model("whoswho")
    assert model.description == f"Registered last: version 1.\n\n{description}"
    assert list(model.tags.values()) == [f"none > 1 | {lineage.user(root)} | allowed | registered"]
