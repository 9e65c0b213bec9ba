"""The ten closing lines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from support.reported import workspace

from whoswho import paths
from whoswho.artifacts.suspects import Suspect, SuspectList, write_suspects
from whoswho.reporting import summary


@dataclass(frozen=True)
class Standing:
    run: str | None = "bright-owl-12"
    version: int | None = 3
    aliases: tuple[str, ...] = ("challenger",)
    champion: int | None = None
    promote: str | None = 'whoswho promote --force --why "a first try"'


def suspect_files(folder: Path, count: int) -> None:
    suspects = [
        Suspect(f"a/{rank}.jpg", "0" * 64, "a", "test", "b", 0.1, 0.9, 0.8, rank)
        for rank in range(1, count + 1)
    ]
    (folder / paths.SUSPECTS).mkdir(parents=True)
    write_suspects(folder / paths.SUSPECTS, SuspectList(suspects))


def said(lines: list[str]) -> dict[str, str]:
    return {line[:10].strip(): line[11:] for line in lines}


def test_ten_aligned_lines(tmp_path: Path) -> None:
    lines = summary.lines(workspace(tmp_path), Standing())
    assert len(lines) == 10
    assert all(line[10] == " " and line[11] != " " for line in lines)
    assert all("\n" not in line for line in lines)
    facts = said(lines)
    assert facts["data"] == (
        "19 labels, 112 pictures kept, 19 dropped (10 no_face, 9 blank, 9 too_small)"
    )
    assert facts["split"] == "38 train, 38 validation, 36 test"
    assert facts["accuracy"] == "test 0.123, 95% interval 0.133 to 0.143, chance 0.153"
    assert facts["run"] == "bright-owl-12"
    assert facts["version"] == "whoswho version 3 (challenger)"
    assert facts["promote"] == 'whoswho promote --force --why "a first try"'
    assert facts["report"].startswith("reports/report.html")
    assert "dvc add data && dvc repro" in facts["yours"]


def test_a_fallback_is_said_and_how_to_try_again(tmp_path: Path) -> None:
    taken = said(summary.lines(workspace(tmp_path), Standing()))["backbone"]
    assert "random weights" in taken
    assert "IMAGENET1K_V2 could not be had" in taken
    assert "dvc repro -f -s backbone && dvc repro" in taken


def test_trained_weights_need_no_second_try(tmp_path: Path) -> None:
    taken = said(summary.lines(workspace(tmp_path, fallback=False), Standing()))["backbone"]
    assert taken == "resnet18, IMAGENET1K_V2"


def test_without_a_test_split(tmp_path: Path) -> None:
    line = said(summary.lines(workspace(tmp_path, test=False), Standing()))["accuracy"]
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
    ],
)
def test_where_the_model_stands(
    tmp_path: Path, standing: Standing, version: str, promote: str | None
) -> None:
    facts = said(summary.lines(workspace(tmp_path), standing))
    assert facts["version"].startswith(version)
    assert facts["promote"].startswith(promote or "whoswho promote")
    assert (standing.run is None) == ("not tracked" in facts["run"])


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
    suspect_files(folder, suspects)
    assert said(summary.lines(folder, Standing()))["look"] == look


def test_an_environment_to_activate_is_said(tmp_path: Path) -> None:
    activate = ". .venv/bin/activate"
    folder = workspace(tmp_path, fallback=False)
    suspect_files(folder, 1)
    facts = said(summary.lines(folder, Standing(), activate=activate))
    assert facts["look"].startswith(". .venv/bin/activate && whoswho ui; 1 suspect label: . .venv")
    assert facts["promote"].startswith(". .venv/bin/activate && whoswho promote")
    assert ". .venv/bin/activate && dvc add data" in facts["yours"]
