"""The documents say what the commands do: same commands in both languages, and they exist."""

from __future__ import annotations

import re

import pytest
from support.repository import REPOSITORY

from whoswho import cli, params

ENGLISH, KOREAN = (
    (REPOSITORY / name).read_text(encoding="utf-8") for name in ("README.md", "README.ko.md")
)


def commands(text: str) -> list[str]:
    return re.findall(r"^```(?:sh|csv)\n(.*?)^```", text, re.M | re.S)


def test_both_languages_give_the_same_commands() -> None:
    assert len(commands(ENGLISH)) > 10
    assert commands(ENGLISH) == commands(KOREAN)


def test_both_languages_give_the_same_figures() -> None:
    def seconds(text: str, heading: str) -> list[str]:
        return sorted(re.findall(r"\d+\.\d+", text.split(heading)[1]))

    english = seconds(ENGLISH, "## Figures")
    assert len(english) > 5
    assert english == seconds(KOREAN, "## 측정")


@pytest.mark.parametrize("line", sorted(set(re.findall(r"^whoswho .*$", ENGLISH, re.M))))
def test_every_command_shown_is_one_the_program_takes(line: str) -> None:
    import shlex

    words = shlex.split(line.replace("data/*/", "data/a/"))[1:]
    assert cli.parser().parse_args(words).run


def test_every_knob_named_is_one_of_params() -> None:
    known = set(params.flatten(params.load_params(REPOSITORY)))
    sections = {name.partition(".")[0] for name in known}
    for text in (ENGLISH, KOREAN):
        named = re.findall(r"(?:`|-S )(\w+\.\w+)", text)
        for name in named:
            if name.partition(".")[0] in sections and not name.endswith((".csv", ".yaml")):
                assert name in known


def test_the_two_commands_come_first() -> None:
    first = commands(ENGLISH)[0]
    assert first == "make repro\nmake test\n"
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^repro:", makefile, re.M)
    assert re.search(r"^test:", makefile, re.M)
    assert ".ci/run" not in first
    ci = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    assert "make repro\nmake test\n" in ci
