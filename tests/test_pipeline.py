"""The whole pipeline on the drawn sample, through real DVC and a real MLflow store."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from support.pipeline import (
    ALL,
    PORTRAITS,
    Workspace,
    built_sample,
    commit,
    committed_sample,
    set_params,
    store,
)
from support.repository import REPOSITORY

from whoswho import paths, trained_with
from whoswho import sample as drawing
from whoswho.artifacts.decisions import read_decisions
from whoswho.artifacts.model.description import read_description
from whoswho.dataset import manifest
from whoswho.dataset.manifest import ManifestRow
from whoswho.errors import UserError
from whoswho.lifecycle.trace import rebuild, training
from whoswho.lifecycle.tracking.store import open_store
from whoswho.params import load_params

pytestmark = pytest.mark.slow(minutes=6)


@pytest.fixture(scope="module")
def built() -> Workspace:
    """The sample, drawn anew with fewer portraits, after one `dvc repro`; nobody changes it."""
    return built_sample()


@pytest.fixture
def sample(built: Workspace, tmp_path: Path) -> Workspace:
    """A copy of it, for a test that changes something."""
    return built.copy(tmp_path / "clone")


def test_every_stage_ran_and_said_its_line(built: Workspace) -> None:
    output = (built.path.parent / "repro.txt").read_text(encoding="utf-8")
    assert sorted(built.ran(output)) == sorted(ALL)
    for stage in ALL:
        assert any(line.startswith(f"{stage}: ") for line in output.splitlines()), stage
    assert "Warning" not in output


def test_every_file_has_its_row_and_every_kept_row_its_picture(built: Workspace) -> None:
    decisions = built.rows("artifacts/clean/decisions.csv")
    files = [
        path.relative_to(built.path / "data").as_posix()
        for path in (built.path / "data").rglob("*")
        if path.is_file() and path.name not in {".DS_Store", "google_done", "naver_done"}
    ]
    assert sorted(row["file"] for row in decisions) == sorted(files)
    kept = [row for row in decisions if row["decision"] == "kept"]
    pictures = built.path / "artifacts" / "clean" / "pictures"
    assert {row["picture"] for row in kept} == {
        path.relative_to(pictures).as_posix() for path in pictures.rglob("*") if path.is_file()
    }
    for row in kept:
        original = built.path / "data" / row["file"]
        assert (pictures / row["picture"]).read_bytes() == original.read_bytes()
    split = built.rows("artifacts/dataset/split.csv")
    assert sorted(row["file"] for row in split) == sorted(row["file"] for row in kept)
    assert len({row["label"] for row in split}) == 5
    assert {row["split"] for row in split} == {"train", "validation", "test"}


def test_clean_finds_what_the_sample_hides(built: Workspace) -> None:
    """Every file that is not an ordinary portrait goes, for its own reason."""
    truth = {
        str(file.path): file.kind for file in drawing.plan(0, PORTRAITS) if file.kind != "litter"
    }
    decisions = {row["file"]: row for row in built.rows("artifacts/clean/decisions.csv")}
    assert decisions.keys() == truth.keys()
    for file, kind in truth.items():
        # Of two copies either may be the one that stays; of those under two labels one stays
        # where the faces tell whose it is (the other is swapped), else none.
        if kind not in {"portrait", "duplicate", "near_duplicate", "cross_label"}:
            assert kind in decisions[file]["reasons"].split(";"), (file, decisions[file])
    for kind in ("duplicate", "near_duplicate", "cross_label"):
        expected = sum(value == kind for value in truth.values())
        count = sum(kind in row["reasons"].split(";") for row in decisions.values())
        if kind == "cross_label":
            count += 2 * sum(
                row["reasons"] == "swapped" and bool(row["duplicate_of"])
                for row in decisions.values()
            )
        assert count == expected, kind
    portraits = [file for file, kind in truth.items() if kind == "portrait"]
    lost = [
        f
        for f in portraits
        if {"no_face", "several_faces"} & set(decisions[f]["reasons"].split(";"))
    ]
    assert len(lost) <= 0.05 * len(portraits)


def test_precision_and_recall_of_every_reason_on_the_drawn_dirt(built: Workspace) -> None:
    """The quality table of cleaning on pictures anybody has; test_real_sets has one of real ones.

    What is about two pictures counts as their pair: either may be the one that stays.
    """
    plan = [file for file in drawing.plan(0, PORTRAITS) if file.kind != "litter"]
    true, decided = defaultdict(set), defaultdict(set)
    for file in plan:
        true[file.kind].add(frozenset({str(file.path), str(file.of)} - {""}))
    portraits = true.pop("portrait")
    for decision in read_decisions(built.path / paths.CLEAN):
        for reason in decision.reasons:
            settled = reason == "swapped" and decision.duplicate_of  # by the faces of the pair
            decided["cross_label" if settled else reason].add(
                frozenset({decision.file, decision.duplicate_of} - {""})
            )
    assert len(true) == 11
    for reason, pictures in true.items():
        assert pictures <= decided[reason], f"{reason}: recall"
        if reason not in {"no_face", "several_faces"}:
            assert decided[reason] == pictures, f"{reason}: precision"
    # What rests on a detector or on distances takes out a few portraits.
    false = set().union(*decided.values()) - set().union(*true.values())
    assert false <= portraits
    assert len(false) <= 0.05 * len(portraits)


def test_the_report_counts_the_test_pictures(built: Workspace) -> None:
    metrics = built.json("reports/metrics.json")
    tested = [row for row in built.rows("artifacts/dataset/split.csv") if row["split"] == "test"]
    assert metrics["test/pictures"] == len(tested)
    predictions = built.rows("reports/predictions.csv")
    assert {row["file"] for row in predictions} == {row["file"] for row in tested}
    right = sum(row["actual"] == row["predicted"] for row in predictions)
    assert metrics["test/accuracy"] == pytest.approx(right / len(tested))
    assert (
        metrics["test/accuracy_low"] <= metrics["test/accuracy"] <= metrics["test/accuracy_high"]
    )


def test_a_finished_run_has_everything_the_ui_shows(built: Workspace) -> None:
    kept = store(built)
    (run,) = kept["runs"]
    assert run["status"] == "FINISHED"
    assert run["params"]["train.epochs"] == "2"
    for name in ("train/loss", "train/accuracy", "validation/loss", "validation/accuracy"):
        assert [step for step, _ in run["history"][name]] == [1, 2], name
        written = [float(row[name]) for row in built.rows("reports/history.csv")]
        assert [value for _, value in run["history"][name]] == pytest.approx(written)
    metrics = built.json("reports/metrics.json")
    assert run["history"]["test/accuracy"][-1][1] == pytest.approx(metrics["test/accuracy"])
    # Labels are a table; what people compare are metrics.
    curves = {"train/loss", "train/accuracy", "validation/loss", "validation/accuracy"}
    assert set(run["history"]) == curves | metrics.keys()
    assert "per_label.csv" in run["artifacts"]
    assert run["tags"]["mlflow.runName"] == "first"
    note = run["tags"]["mlflow.note.content"]
    low, high = (f"{metrics[f'test/accuracy_{end}']:.3f}" for end in ("low", "high"))
    assert f"(95% interval {low} to {high}; chance " in note
    assert "cross-validated" in note
    # Where the model stands changes with the store and the day: no output, and not in Git.
    assert "register.html" in run["artifacts"]
    page = "reports/register.html"
    assert run["id"] in (built.path / page).read_text(encoding="utf-8")
    assert built.run("git", "check-ignore", page).stdout.strip() == page
    assert sorted(run["inputs"]) == ["test", "training", "validation"]
    (version,) = kept["versions"]
    assert version["run"] == run["id"]
    assert kept["aliases"] == {"challenger": version["version"]}


def test_the_summary_has_twelve_lines_and_its_commands_work(sample: Workspace) -> None:
    commands = (
        "import sys\nfrom whoswho import cli\nsys.stderr = sys.stdout\n"
        "cli.main(['summary', '--activate', '. .venv/bin/activate'])\nprint('---')\n"
        "cli.main(['summary'])\nprint('---')\n"
        "try:\n    cli.main(['promote'])\nexcept SystemExit as refused:\n    print(refused.code)"
    )
    inactive, active, refused = sample.python(commands).split("---\n")
    lines = active.splitlines()
    assert len(lines) == 12
    assert inactive.count(". .venv/bin/activate && ") == 4  # backbone, look, promote, yours
    (promote,) = [line for line in lines if "whoswho promote" in line]
    command = promote[promote.index("whoswho promote") :]
    assert "--force --why" in command  # the backbone is random
    assert "random" in refused
    assert refused.splitlines()[-1] == "2"
    sample.run("sh", "-c", command)
    kept = store(sample)
    assert kept["aliases"]["champion"] == kept["versions"][0]["version"]


def test_predicting_a_test_picture_gives_what_evaluate_found(built: Workspace) -> None:
    evaluated = [
        row for row in built.rows("artifacts/evaluation/predictions.csv") if row["split"] == "test"
    ]
    files = [f"data/{row['file']}" for row in evaluated]
    out = built.run("whoswho", "predict", *files, "--model", "artifacts/model", "--csv").stdout
    answers = {row["file"]: row for row in csv.DictReader(io.StringIO(out))}
    assert len(answers) == len(evaluated)
    for row in evaluated:
        answer = answers[f"data/{row['file']}"]
        best = max(float(v) for k, v in row.items() if k.startswith("probability/"))
        assert float(answer["probability"]) == pytest.approx(best, abs=2e-3)
        assert answer["label"] == ("unknown" if row["unknown"] == "1" else row["predicted"])


def test_a_second_repro_does_nothing(sample: Workspace) -> None:
    before = store(sample)
    again = sample.repro()
    assert sample.ran(again) == []
    assert store(sample) == before
    for litter in (".DS_Store", "Thumbs.db", "desktop.ini", "Icon\r"):
        label = next(p for p in sorted((sample.path / "data").iterdir()) if p.is_dir())
        (label / litter).write_bytes(b"litter")
    assert sample.ran(sample.repro()) == []


def test_a_lost_store_is_named_and_its_cure_works(sample: Workspace) -> None:
    before = sample.json("artifacts/registered.json")
    (sample.path / "mlflow.db").unlink()
    shutil.rmtree(sample.path / "mlartifacts")
    assert sample.ran(sample.repro()) == [], "DVC knows nothing of it, so the commands must"
    commands = (
        "import sys\nfrom whoswho import cli\nsys.stderr = sys.stdout\n"
        "for command in ('check', 'models', 'summary'):\n"
        "    cli.main([command])\n    print('---')"
    )
    cure = "the store is another one, new or lost, or the project has another name; to register "
    cure += "the model here: "
    for output in sample.python(commands).split("---\n")[:3]:
        (line,) = [line for line in output.splitlines() if cure in line]
        command = line.partition(cure)[2]
        assert command == "dvc repro -f -s register"
    assert sample.ran(sample.run(*command.split()).stdout) == ["register"]
    kept = store(sample)
    assert [version["tags"]["model.sha256"] for version in kept["versions"]] == [*before.values()]
    assert kept["aliases"] == {"challenger": kept["versions"][0]["version"]}
    for output in sample.python(commands).split("---\n"):
        assert "new or lost" not in output


def test_params_edited_while_train_runs_are_refused_with_a_cure_that_works(
    sample: Workspace,
) -> None:
    script = sample.path / "src/whoswho/stages/train.py"
    code = script.read_text(encoding="utf-8")
    edit = (
        'text = (workspace / "params.yaml").read_text(); (workspace / "params.yaml").write_text('
    )
    edit += 'text.replace("  lr: 0.001 ", "  lr: 0.05 "))'
    changed = code.replace("    checkpoint.remove()\n", f"    checkpoint.remove()\n    {edit}\n")
    script.write_text(changed, encoding="utf-8")
    assert sample.ran(sample.repro("train")) == ["train"]
    script.write_text(code, encoding="utf-8")
    for stage in ("report", "register"):
        message = sample.run("python", "src/stage.py", stage, code=2).stderr
        assert message.startswith(
            "whoswho: params.yaml: train.lr is 0.05, but the model was trained with 0.001: "
        )
        assert message.endswith("then: dvc repro -f -s train && dvc repro\n")
    trained = read_description(sample.path / paths.MODEL).params
    set_params(sample.path, train={"lr": 0.001})
    with pytest.raises(UserError, match=r"dvc\.lock: train\.lr is 0\.05"):
        trained_with.check(trained, load_params(sample.path), sample.path)
    assert sample.ran(sample.repro("-f", "-s", "train")) == ["train"]
    trained_with.check(trained, load_params(sample.path), sample.path)


def traces(workspace: Workspace, *whats: str) -> list[str]:
    code = (
        f"from whoswho import cli\nfor what in {whats!r}:\n"
        "    cli.main(['trace', what])\n    print('---')"
    )
    return workspace.python(code).split("---\n")


def test_a_trace_leads_from_a_version_to_its_making_and_from_a_picture_to_its_versions(
    sample: Workspace,
) -> None:
    (run,) = store(sample)["runs"]
    rows = sample.rows("artifacts/dataset/split.csv")
    taught, tested = (next(r for r in rows if r["split"] == split) for split in ("train", "test"))
    dropped = next(r for r in sample.rows("artifacts/clean/decisions.csv")
                   if r["reasons"] == "blank")  # fmt: skip
    site = ManifestRow(
        file=taught["file"], label=taught["label"], site="commons", search="a name",
        page_url="https://commons.example/File:1", sha256=taught["sha256"], author="A. Painter",
        licence="CC BY-SA 4.0",
    )  # fmt: skip
    manifest.write(manifest.new_file(sample.path / "data"), [site])
    set_params(sample.path, evaluate={"bootstrap": 300})
    version, same, first, second, third, _ = traces(
        sample, "challenger", run["id"], f"data/{taught['file']}", tested["sha256"],
        f"data/{dropped['file']}",
    )  # fmt: skip
    assert version == same
    head = sample.run("git", "rev-parse", "HEAD").stdout.strip()
    assert f"commit     {head}, with changes that were not committed: dvc.lock (kept)" in version
    assert "params     " in version
    counts = Counter(r["split"] for r in rows if r["label"] == taught["label"])
    (label,) = [line for line in version.splitlines() if line.startswith(taught["label"])]
    assert f"no table says {counts.total() - 1}, commons 1" in label
    assert f"unknown {counts.total() - 1}, CC BY-SA 4.0 1" in label
    assert "challenger none -> 1: registered" in version
    assert f"  git checkout -q {head}" in version
    assert "licence CC BY-SA 4.0, by A. Painter" in first
    assert "train pictures, as" in first
    assert "it taught" in first
    assert re.search(r"split +test", second)
    judged = next(r for r in sample.rows("artifacts/evaluation/predictions.csv")
                  if r["file"] == tested["file"])  # fmt: skip
    answer = "unknown" if judged["unknown"] == "1" else judged["predicted"]
    best = max(float(v) for k, v in judged.items() if k.startswith("probability/"))
    assert f"{answer} {best:.3f}" in second
    assert re.search(r"clean +.*: dropped; .*", third)
    assert re.search(r"version 1 \(challenger\) +nothing", third)


def content(root: Path) -> dict[str, str]:
    """The digest of every file that the stages on the way to a model's answers made."""
    stages = ("clean", "dataset", "features", "model", "evaluation")
    return {
        file.relative_to(root).as_posix(): paths.sha256(file)
        for stage in stages
        for file in sorted((root / "artifacts" / stage).rglob("*"))
        if file.is_file()
    }


def test_a_version_is_rebuilt_from_what_its_trace_says(built: Workspace, tmp_path: Path) -> None:
    """Every stage runs, since no earlier result is taken, and gives the same bytes."""
    folder = tmp_path / "again"
    output = built.run("whoswho", "trace", "1", "--rebuild", folder).stdout
    tested = len(built.rows("artifacts/evaluation/predictions.csv"))
    assert output.splitlines() == [
        f"rebuilt in {folder}",
        "weights: equal to the byte",
        f"answers: {tested} of {tested} the same, largest difference of a probability 0",
    ]
    assert len(content(built.path)) > 100
    assert content(folder) == content(built.path)
    assert "is there already" in built.run(
        "whoswho", "trace", "1", "--rebuild", folder, code=2
    ).stderr  # fmt: skip
    assert len(store(built)["runs"]) == 1
    built_again = built.copy(tmp_path / "other")
    table = built_again.path / "artifacts/evaluation/predictions.csv"
    text = table.read_text(encoding="utf-8")
    row = built_again.rows("artifacts/evaluation/predictions.csv")[0]
    table.write_text(text.replace(f"{row['file']},", "gone.jpg,", 1), encoding="utf-8")
    opened = open_store(built_again.path)
    lines, same = rebuild.compare(opened, training.find(opened, "1"), built_again.path)
    assert not same
    assert lines[1].startswith(f"answers: {tested - 1} of {tested} the same")


def test_dvc_shows_metrics_params_and_the_graph(built: Workspace) -> None:
    assert "test/accuracy" in built.run("dvc", "metrics", "show").stdout
    graph = built.run("dvc", "dag", "--mermaid").stdout
    assert all(stage in graph for stage in ALL)
    plots = json.loads(built.run("dvc", "plots", "show", "--json").stdout)
    assert any("confusion" in name for name in plots["data"] if plots["data"][name])


@pytest.fixture(scope="module")
def clone(built: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A fresh clone on the same machine, its files from a remote, as a colleague has it."""
    remote = tmp_path_factory.mktemp("remote")
    sample = built.copy(tmp_path_factory.mktemp("first") / "clone")
    sample.run("dvc", "remote", "add", "-q", "-d", "there", remote)
    sample.run("dvc", "push", "-q")
    commit(sample.path, "run")
    folder = tmp_path_factory.mktemp("second") / "clone"
    subprocess.run(["git", "clone", "-q", sample.path, folder], check=True)
    other = Workspace.at(folder)
    other.run("dvc", "pull", "-q")
    return other


def test_a_second_clone_registers_its_model_too(built: Workspace, clone: Workspace) -> None:
    assert clone.ran(clone.repro()) == ["register"]
    kept = store(clone)
    assert [version["version"] for version in kept["versions"]] in (["1"], [1])
    assert (clone.path / "artifacts/registered.json").read_bytes() == (
        built.path / "artifacts/registered.json"
    ).read_bytes()
    assert clone.run("git", "status", "--porcelain").stdout == ""


def test_line_ends_of_windows_change_nothing(clone: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "windows"
    subprocess.run(
        ["git", "clone", "-q", "-c", "core.autocrlf=true", clone.path, folder], check=True
    )
    other = Workspace.at(folder)
    other.run("dvc", "pull", "-q", "data.dvc")
    status = json.loads(other.run("dvc", "status", "--json").stdout)
    for stage, changes in status.items():
        for change in changes:
            assert "changed deps" not in change or not any(
                name.startswith(("src/", "review.csv", "data")) for name in change["changed deps"]
            ), (stage, change)


def test_more_epochs_run_only_what_follows_and_can_be_taken_back(sample: Workspace) -> None:
    before = store(sample)
    set_params(sample.path, train={"epochs": 3})
    assert sample.ran(sample.repro()) == ["train", "evaluate", "report", "register"]
    kept = store(sample)
    assert len(kept["runs"]) == len(before["runs"]) + 1
    newest = next(run for run in kept["runs"] if run["params"]["train.epochs"] == "3")
    assert [step for step, _ in newest["history"]["train/loss"]] == [1, 2, 3]
    assert "epochs" in sample.run("dvc", "params", "diff").stdout
    assert "test/" in sample.run("dvc", "metrics", "diff", "--all").stdout
    # Going back to earlier params registers nothing new.
    set_params(sample.path, train={"epochs": 2})
    sample.repro()
    assert len(store(sample)["versions"]) == len(kept["versions"])


def test_a_new_picture_runs_from_clean_and_moves_the_boundary_at_most(sample: Workspace) -> None:
    before = {row["sha256"]: row["split"] for row in sample.rows("artifacts/dataset/split.csv")}
    label = next(row["label"] for row in sample.rows("artifacts/dataset/split.csv"))
    extra = _another_portrait(label)
    shutil.copy(extra, sample.path / "data" / label / "google_9999.jpg")
    assert sorted(sample.ran(sample.repro("features"))) == ["clean", "features", "preprocess"]
    after = {row["sha256"]: row["split"] for row in sample.rows("artifacts/dataset/split.csv")}
    assert len(after) == len(before) + 1
    moved = [after[sha] for sha, split in before.items() if split == "test" != after[sha]]
    assert moved in ([], ["validation"]), "the picture that ranks last among its label's"


def _another_portrait(label: str) -> Path:
    """A portrait of the same invented person, of those that only the whole sample has."""
    stored = committed_sample()
    return next(
        stored[file.path]
        for file in reversed(drawing.plan())
        if file.label == label and file.kind == "portrait" and file.path.endswith(".jpg")
    )


def test_two_queued_experiments_land_in_the_one_store(sample: Workspace) -> None:
    before = {run["id"] for run in store(sample)["runs"]}
    for rate in ("0.02", "0.03"):
        sample.run("dvc", "exp", "run", "--queue", "-S", f"train.lr={rate}", "train")
    sample.run("dvc", "queue", "start", "-j", "2")
    _wait_for_the_queue(sample)
    new = [run for run in store(sample)["runs"] if run["id"] not in before]
    assert sorted(run["params"]["train.lr"] for run in new) == ["0.02", "0.03"]
    assert {run["status"] for run in new} == {"FINISHED"}


def _wait_for_the_queue(sample: Workspace) -> None:
    import time

    for _ in range(30):
        time.sleep(6)  # a question takes a second of processor, from the experiments' own
        status = sample.run("dvc", "queue", "status").stdout
        if "Running" not in status and "Queued" not in status:
            assert status.count("Success") >= 2, status
            return
    raise AssertionError("the queue did not finish in three minutes")


def test_the_figure_has_a_title_for_each_picture(built: Workspace, tmp_path: Path) -> None:
    files = [f"data/{row['file']}" for row in built.rows("reports/predictions.csv")][:7]
    out = tmp_path / "people.png"
    built.run("whoswho", "predict", *files, "--model", "artifacts/model", "--figure", out)
    from PIL import Image

    assert Image.open(out).size[0] > 300


def test_everything_works_after_the_folder_moved(sample: Workspace) -> None:
    """Field report E3."""
    sample.run("whoswho", "promote", "--force", "--why", "a first try")
    moved = sample.path.parent / "새 폴더 2"
    sample.path.rename(moved)
    sample.path = moved
    file = moved / "data" / sample.rows("artifacts/dataset/split.csv")[0]["file"]
    kept = store(sample)
    run = next(run for run in kept["runs"] if run["tags"].get("model.sha256"))
    code = (
        "import os\nfrom whoswho import cli, paths\n"
        "from whoswho.lifecycle.tracking.store import open_store\nimport mlflow\n"
        f"os.chdir('src')\ncli.main(['predict', {str(file)!r}])\n"
        "open_store(paths.root())\n"
        f"print(mlflow.artifacts.download_artifacts(run_id={run['id']!r}, "
        "artifact_path='confusion_matrix.png'))"
    )
    out = sample.python(code)
    assert file.name in out
    assert Path(out.splitlines()[-1]).read_bytes().startswith(b"\x89PNG")
    assert sample.ran(sample.repro()) == []


def test_the_committed_sample_is_small() -> None:
    remote = REPOSITORY / "sample"
    assert sum(p.stat().st_size for p in remote.rglob("*") if p.is_file()) < 12e6
