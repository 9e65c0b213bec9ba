"""The closing lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.reported import workspace
from support.repository import REPOSITORY
from support.suspects import suspect_files

from whoswho import paths, sample
from whoswho.arches import trained_offline
from whoswho.artifacts.predictions import SUMMARY
from whoswho.errors import UserError
from whoswho.lifecycle import summary


@dataclass(frozen=True)
class Standing:
    project: str = "whoswho"
    run: str | None = "bright-owl-12"
    version: int | None = 3
    aliases: tuple[str, ...] = ("challenger",)
    champion: int | None = None
    promote: str | None = 'whoswho promote --force --why "a first try"'
    missing: str = ""


def by_name(lines: list[str]) -> dict[str, str]:
    return {line[:10].strip(): line[11:] for line in lines}


def test_twelve_aligned_lines(tmp_path: Path) -> None:
    lines = summary.lines(workspace(tmp_path), Standing())
    assert len(lines) == 12
    assert all(line[10] == " " and line[11] != " " for line in lines)
    assert all("\n" not in line for line in lines)
    facts = by_name(lines)
    assert facts["data"] == (
        "19 labels, 112 pictures kept, 19 dropped (10 no_face, 9 blank, 9 too_small)"
    )
    assert facts["split"] == "38 train, 38 validation, 36 test"
    assert facts["accuracy"] == "test 0.123, 95% interval 0.133 to 0.143, chance 0.153"
    assert facts["held out"] == (
        "cross-validated 0.700 ± 0.020 (95% interval 0.600 to 0.800; chance 0.100; 76 pictures)"
    )
    assert facts["unknown"] == (
        "of strangers 90% (of the label caught least 75%), of known people 5%"
    )
    assert facts["run"] == "bright-owl-12"
    assert facts["version"] == "whoswho version 3 (challenger)"
    assert facts["promote"] == 'whoswho promote --force --why "a first try"'
    assert facts["report"] == "reports/report.html, reports/register.html (open them in a browser)"


def test_an_evaluation_that_lacks_a_figure_is_one_line(tmp_path: Path) -> None:
    space = workspace(tmp_path)
    path = space / paths.EVALUATION / SUMMARY
    content = paths.read_json(path)
    del content["metrics"]["unknown/false_reject_rate"]
    paths.write_json(path, content)
    with pytest.raises(UserError, match=r"unknown/false_reject_rate is not in it; run `dvc"):
        summary.lines(space, Standing())


def test_a_fallback_is_said_and_how_to_try_again(tmp_path: Path) -> None:
    taken = by_name(summary.lines(workspace(tmp_path), Standing()))["backbone"]
    assert taken.startswith("resnet18, untrained (random weights) (")
    assert "IMAGENET1K_V2 could not be had" in taken
    assert "dvc repro -f -s backbone && dvc repro" in taken
    # The set is of people; where it is not, the other backbone.
    command = "dvc exp run -S backbone.arch=dlib_resnet29"
    assert taken.endswith(f"; trained, without a network: {command}")
    assert trained_offline("whole") == "dvc exp run -S backbone.arch=efficientnet_lite0"


def test_trained_weights_need_no_second_try(tmp_path: Path) -> None:
    taken = by_name(summary.lines(workspace(tmp_path, fallback=False), Standing()))["backbone"]
    assert taken == "resnet18, IMAGENET1K_V2"


def test_without_a_test_split(tmp_path: Path) -> None:
    line = by_name(summary.lines(workspace(tmp_path, test=False), Standing()))["accuracy"]
    assert line.startswith("validation 0.123")
    assert "no test split" in line


@pytest.mark.parametrize(
    ("standing", "version", "promote"),
    [
        (Standing(champion=2), "whoswho version 3 (challenger); champion is version 2", None),
        (
            Standing(aliases=("challenger", "champion"), champion=3, promote=None),
            "whoswho version 3 (challenger, champion)",
            "done: it is the champion",
        ),
        (Standing(run=None, version=None, promote=None), "not registered", "nothing to promote"),
        (
            Standing(run=None, version=None, promote=None, missing="it is another store"),
            "it is another store",
            "nothing to promote",
        ),
        (
            Standing(champion=2, promote=None, missing="its files are gone"),
            "whoswho version 3 (challenger); champion is version 2; its files are gone",
            "nothing to promote",
        ),
    ],
)
def test_where_the_model_stands(
    tmp_path: Path, standing: Standing, version: str, promote: str | None
) -> None:
    facts = by_name(summary.lines(workspace(tmp_path), standing))
    assert facts["version"].startswith(version)
    assert facts["promote"].startswith(promote or "whoswho promote")
    assert (standing.run is None) == ("not in this store" in facts["run"])


@pytest.mark.parametrize(
    ("suspects", "fallback", "look"),
    [
        (2, False, "whoswho ui; 2 suspect labels: whoswho review"),
        (1, False, "whoswho ui; 1 suspect label: whoswho review"),
        (0, False, "whoswho ui"),
        (2, True, "whoswho ui"),  # a random backbone's suspicions are worth no look
    ],
)
def test_suspect_labels_are_counted(
    tmp_path: Path, suspects: int, fallback: bool, look: str
) -> None:
    folder = workspace(tmp_path, fallback=fallback)
    suspect_files(folder, *[{}] * suspects)
    assert by_name(summary.lines(folder, Standing()))["look"] == look


def test_what_faces_say_is_worth_a_look_whatever_the_backbone(tmp_path: Path) -> None:
    folder = workspace(tmp_path, fallback=True)
    suspect_files(folder, {}, by_faces=True)
    assert "1 suspect label" in by_name(summary.lines(folder, Standing()))["look"]


SAMPLE = sample.LABELS
AGAIN = "dvc add data && whoswho check && dvc repro && whoswho summary"


@pytest.mark.parametrize(
    ("labels", "pictures", "fallback", "yours"),
    [
        (SAMPLE, 6, True, "dvc remote add -d storage /path/to/storage && rm -r data data.dvc; "),
        (SAMPLE[:3], 30, False, "dvc remote add -d storage /path/to/storage && rm -r data "),
        ((*SAMPLE[:1], "나"), 30, False, f"take the sample's people out of data/ ({SAMPLE[0]}), "),
        (("가", "나"), 19, True, "too few pictures: 19 of 가, better 20 each; put more into "),
        (
            ("가", "나"),
            20,
            True,
            "the backbone is untrained; a trained one that needs no network: dvc exp run -S ",
        ),
        (
            ("가", "나"),
            20,
            False,
            'keep them: git add -A && git commit -m "Our people" && dvc push',
        ),
    ],
)
def test_what_comes_next_fits_the_state(
    tmp_path: Path, labels: tuple[str, ...], pictures: int, fallback: bool, yours: str
) -> None:
    folder = workspace(tmp_path, labels, fallback=fallback, pictures=pictures, missing=None)
    lines = summary.lines(folder, Standing())
    assert len(lines) == 12
    line = by_name(lines)["yours"]
    assert line.startswith(yours)
    assert line.endswith(AGAIN) == ("data/" in line)


def test_the_steps_are_those_of_the_readme(tmp_path: Path) -> None:
    section = (REPOSITORY / "README.md").read_text(encoding="utf-8").split("## Your own people")[1]
    shown = [
        line for block in section.split("```sh")[1:] for line in block.split("```")[0].split("\n")
    ]
    readme = [command for line in shown for command in line.split(" && ") if command]
    steps = []
    for labels in (SAMPLE, ("가", "나")):
        folder = workspace(tmp_path / labels[0], labels, fallback=False, pictures=20, missing=None)
        line = by_name(summary.lines(folder, Standing()))["yours"]
        steps += [part for part in re.split(r" && |; |: |, then: ", line) if part in readme]
    assert steps == [
        "dvc remote add -d storage /path/to/storage", "rm -r data data.dvc", "dvc add data",
        "whoswho check", "dvc repro", "whoswho summary", "git add -A",
        'git commit -m "Our people"', "dvc push",
    ]  # fmt: skip
    assert steps == [command for command in readme if command in steps][: len(steps)]


def test_an_environment_to_activate_is_said(tmp_path: Path) -> None:
    activate = ". .venv/bin/activate"
    folder = workspace(tmp_path, fallback=False)
    suspect_files(folder, {})
    facts = by_name(summary.lines(folder, Standing(), activate=activate))
    assert facts["look"].startswith(". .venv/bin/activate && whoswho ui; 1 suspect label: . .venv")
    assert facts["promote"].startswith(". .venv/bin/activate && whoswho promote")
    assert facts["yours"].startswith("too few pictures: 4 of C++")
    assert ". .venv/bin/activate && dvc add data" in facts["yours"]
