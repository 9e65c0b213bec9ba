"""Tables, labels, paths and one-line errors: what everything else stands on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import processes
from support.repository import REPOSITORY

from whoswho import labels, paths, tables
from whoswho.errors import UserError, one_line
from whoswho.timeouts import call_within
from whoswho.wording import plural

HOSTILE = [
    "장원영", "a b", "O'Neil", 'say "hi"', "None", "NA", "007", "C++", "A (actor)", "A, B", "..a",
    "👩‍🚀", "가" * 80, "50%", "a:b", "x=y;z", "e" * 250, "#1", "true", "1e5", " ", "-",
]  # fmt: skip


def test_numbers_agree_with_their_nouns() -> None:
    assert [plural(0, "file"), plural(1, "search", "es")] == ["0 files", "1 search"]
    assert plural(2, "search", "es") == "2 searches"


def test_an_error_is_told_in_one_short_line() -> None:
    assert one_line(OSError("a\n  b")) == "a b"
    assert one_line(ValueError()) == "ValueError"
    assert one_line("abcdef", 4) == "abc…"


def test_a_call_that_hangs_is_left_behind_and_an_error_comes_through() -> None:
    with pytest.raises(TimeoutError, match=r"no answer within 0.01 s"):
        call_within(0.01, threading.Event().wait)
    assert call_within(60, lambda: 1) == 1
    with pytest.raises(ZeroDivisionError):
        call_within(None, lambda: 1 // 0)


def test_tables_bring_every_cell_back(tmp_path: Path) -> None:
    rows = [{"label": name, "why": f'{name}\n"x", y'} for name in HOSTILE]
    tables.write(tmp_path / "t.csv", ["label", "why"], rows)
    assert tables.read(tmp_path / "t.csv") == rows
    assert b"\r" not in (tmp_path / "t.csv").read_bytes()


def test_tables_keep_every_digit_and_undecodable_file_names(tmp_path: Path) -> None:
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    tables.write(tmp_path / "t.csv", ["file", "value"], [{"file": name, "value": 0.1 + 0.2}])
    (row,) = tables.read(tmp_path / "t.csv")
    assert row["file"] == name
    assert float(row["value"]) == 0.1 + 0.2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sha256,label\n1,2\n", "column 'why' is missing"),
        ("sha256,label,why\n1,2,3\n1,2,3,4\n", "line 3: has more or fewer cells"),
        ("sha256,label,why\n1,2\n", "line 2: has more or fewer cells"),
        ("", "column 'sha256', 'label', 'why' is missing"),
    ],
)
def test_a_wrong_table_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        tables.read(tmp_path / "t.csv", ["sha256", "label", "why"])


def test_names_that_differ_only_in_form_or_case_are_an_error() -> None:
    labels.check_distinct(["Ann", "Bob", "Ann"])
    with pytest.raises(UserError, match="'Ann' and 'ANN'"):
        labels.check_distinct(["Ann", "ANN"])
    with pytest.raises(UserError, match="Unicode form"):
        labels.check_distinct(["가", unicodedata.normalize("NFD", "가")])


@pytest.mark.parametrize(
    "name", [".ipynb_checkpoints", "@eaDir", "__MACOSX", "._a.jpg", "Thumbs.db", "desktop.ini"]
)
def test_litter_is_told_from_names(name: str) -> None:
    assert labels.is_litter(name)
    assert not labels.is_litter("..a")
    assert not labels.is_litter("None")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there file names are UTF-8")
def test_a_file_that_the_locale_cannot_name_is_one_line(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path\nfrom whoswho import errors\n"
        "with errors.one_line_errors():\n    Path('\\uac00').mkdir()"
    )
    surroundings = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, env=surroundings
    )
    assert done.returncode == 2
    assert b"set PYTHONUTF8=1" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_interrupted_write_leaves_the_old_file_and_no_part(tmp_path: Path) -> None:
    paths.write_text(tmp_path / "a.txt", "old\n")
    with pytest.raises(RuntimeError), paths.fresh_file(tmp_path / "a.txt") as partial:
        partial.write_text("ne")
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old\n"


def test_an_interrupted_folder_leaves_the_old_one(tmp_path: Path) -> None:
    with paths.fresh_folder(tmp_path / "out") as folder:
        (folder / "a").touch()
    with pytest.raises(RuntimeError), paths.fresh_folder(tmp_path / "out") as folder:
        (folder / "b").touch()
        raise RuntimeError
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "a"]


def test_the_root_is_dvcs_where_dvc_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, copy = tmp_path / "original", tmp_path / "copy"
    for folder in (original, copy / "deep"):
        folder.mkdir(parents=True)
    (original / "dvc.yaml").touch()
    (copy / "dvc.yaml").touch()
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(copy / "deep")
    assert paths.root() == paths.workspace() == copy
    monkeypatch.setenv("DVC_ROOT", str(original))
    assert (paths.root(), paths.workspace()) == (original, copy)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no dvc.yaml here or above"):
        paths.workspace()


@pytest.mark.parametrize(
    ("code", "exit_code", "message"),
    [
        ("raise errors.UserError('a: b;\\n  c')", 2, "whoswho: a: b; c\n"),
        ("raise KeyboardInterrupt", 130, "whoswho: interrupted"),
        ("raise OSError(28, 'No space left on device', 'x')", 2, "whoswho: x: No space left"),
        ("raise RuntimeError('ours')", 1, "Traceback"),
    ],
)
def test_mendable_errors_are_one_line_and_defects_keep_their_traceback(
    code: str, exit_code: int, message: str
) -> None:
    program = f"from whoswho import errors\nwith errors.one_line_errors():\n    {code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == exit_code
    assert done.stderr.startswith(message)
    assert exit_code == 1 or len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("encoding", ["ascii", "cp949", "cp1252", "utf-8"])
def test_a_label_in_any_script_can_be_said_on_any_terminal(encoding: str) -> None:
    program = (
        "from whoswho import errors\nwith errors.one_line_errors():\n"
        "    print('홍길동 é \\udcff')\n    raise errors.UserError('홍길동 é')"
    )
    surroundings = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=surroundings)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert b"\\udcff" in done.stdout


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        ("from whoswho import cli\ncli.main(['--help'])", 0, ""),
        ("from whoswho import cli\ncli.main(['sample', '--out', '.'])", 2, "whoswho: "),
        ("from whoswho import errors\nwith errors.one_line_errors():\n"
         "    for number in range(9999):\n        print(number)", 141, ""),
    ],
    ids=["help", "error", "lines"],
)  # fmt: skip
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_closes_the_pipe_ends_a_command_quietly(
    code: str, status: int, message: str, unbuffered: str
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=writing, stderr=subprocess.PIPE, text=True, check=False, cwd=REPOSITORY / "docs",
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered, "PYTHONPATH": str(REPOSITORY / "src")},
    )  # fmt: skip
    os.close(writing)
    assert done.returncode == status
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == bool(message)


def test_what_is_started_after_a_signal_can_be_ended_by_one() -> None:
    child = "import signal; print(*map(signal.getsignal, (signal.SIGTERM, signal.SIGHUP)))"
    program = (
        "import os, signal, subprocess, sys\n"
        "from whoswho.lifecycle.tracking.signals import as_exceptions\n"
        "with as_exceptions():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "    finally:\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        f"        subprocess.run([sys.executable, '-c', {child!r}])\n"
    )
    process = processes.start([sys.executable, "-c", program], stdout=subprocess.PIPE)
    printed, _ = process.communicate()
    assert process.returncode == 128 + 15
    assert printed.split() == ["0", "0"]  # the system's own way, that is to end


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_an_ignored_hangup_ends_nothing() -> None:
    """Whoever typed `nohup dvc repro &` wants it to outlive the terminal."""
    program = (
        "import os, signal\n"
        "from whoswho.lifecycle.tracking.signals import as_exceptions\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup leaves it\n"
        "with as_exceptions():\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    print('goes on')\n"
    )
    process = processes.start([sys.executable, "-c", program], stdout=subprocess.PIPE)
    printed, _ = process.communicate()
    assert (process.returncode, printed) == (0, "goes on\n")


@dataclass(frozen=True)
class Measured:
    """A row of every kind of cell."""

    name: str
    count: int
    is_sure: bool
    score: float | None


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (("a", "x", "1", ""), "count: invalid literal"),
        (("a", "1", "2", ""), "is_sure: '2' is neither 0 nor 1"),
        (("a", "1", "1", "nan"), "score: "),
    ],
)
def test_a_cell_of_another_kind_is_told_by_its_column(
    cells: tuple[str, ...], message: str
) -> None:
    columns = tables.columns(Measured)
    sound = tables.from_cells(Measured, dict(zip(columns, ("a", "1", "1", ""), strict=True)))
    assert Measured(**sound) == Measured("a", 1, True, None)
    with pytest.raises(ValueError, match=f"^{message}"):
        tables.from_cells(Measured, dict(zip(columns, cells, strict=True)))
