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


@pytest.mark.parametrize("text", [ENGLISH, KOREAN], ids=["English", "Korean"])
def test_the_first_page_is_short(text: str) -> None:
    assert len(text.split()) <= 1200


@pytest.mark.parametrize("text", [ENGLISH, KOREAN], ids=["English", "Korean"])
def test_what_is_linked_or_shown_is_there(text: str) -> None:
    linked = re.findall(r"\]\(([^)#]+)\)", text)
    assert len(linked) > 8
    assert not [name for name in linked if not (REPOSITORY / name).exists()]


@pytest.mark.parametrize("line", sorted(set(re.findall(r"^whoswho .*$", ENGLISH, re.M))))
def test_every_command_shown_is_one_the_program_takes(line: str) -> None:
    import shlex

    words = shlex.split(line.replace("data/*/", "data/a/"))[1:]
    assert cli.parser().parse_args(words).run


def test_every_param_named_is_one_of_params() -> None:
    known = set(params.flatten(params.load_params(REPOSITORY)))
    sections = {name.partition(".")[0] for name in known}
    training = (REPOSITORY / "docs" / "training.md").read_text(encoding="utf-8")
    for text in (ENGLISH, KOREAN, training):
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
    assert re.search(r"^make repro\n.*make test$", ci, re.M)
