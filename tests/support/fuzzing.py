"""Damaged inputs: how a real file is spoiled, and what a reader may then do."""

from __future__ import annotations

import copy
import csv
import io
import json
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from whoswho.errors import UserError, message

SECONDS = float(os.environ.get("WHOSWHO_FUZZ_SECONDS", "0"))  # of each target; 0: a fixed number

CELLS = (
    "", " ", "x", "nan", "inf", "-inf", "1e999", "-1", "0", "1.5", "9" * 5000, "1" + "0" * 308,
    "١٢", "None", "null", "True", "../../../../tmp/escaped", "/etc/passwd", "a\0b", '"', "\ud83d",
    "a;b", "1 2 3", "1 2 3 4", "<<<<<<< HEAD", "=1+1", "\u202e", "x" * 5000, "y" * 200_000,
)  # fmt: skip
DEEP = 100_000  # levels
VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 10**400, 1.5, float("inf"), float("nan"), "", "x", "1", [], {},
    [[]], [None], {"a": None}, "../../../../tmp/escaped", "\ud83d", [1, 2], "9" * 5000, [[1], [2]],
)  # fmt: skip


@st.composite
def spoiled_bytes(draw: st.DrawFn, wholes: Sequence[bytes]) -> bytes:
    """One of the files with a few bytes changed, cut, doubled or put in."""
    data = bytearray(draw(st.sampled_from(wholes)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.sampled_from((1, 1, 2, 4, 16, 300)))
        kind = draw(st.integers(0, 4))
        if kind == 0:
            data[at : at + length] = draw(st.binary(min_size=length, max_size=length))
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            del data[at : at + length]
        elif kind == 3:
            data[at:at] = data[at : at + length] * draw(st.integers(1, 4))
        else:
            word = draw(st.sampled_from((b"\0" * 8, b"\xff" * 8, b"\n", b'"', b"\xef\xbb\xbf")))
            data[at:at] = word
    return bytes(data)


@st.composite
def spoiled_table(draw: st.DrawFn, wholes: Sequence[bytes]) -> bytes:
    """One of the tables with cells, columns or rows changed; or with its bytes spoiled."""
    if draw(st.integers(0, 4)) == 0:
        return draw(spoiled_bytes(wholes))
    text = draw(st.sampled_from(wholes)).decode()
    rows = list(csv.reader(io.StringIO(text)))
    for _ in range(draw(st.integers(1, 3))):
        row = draw(st.integers(0, len(rows) - 1))
        kind = draw(st.integers(0, 9))
        if kind == 0 and len(rows) > 1:
            del rows[row]
        elif kind == 1:
            rows.insert(row, list(rows[row]))
        elif kind == 2 and rows[row]:
            del rows[row][draw(st.integers(0, len(rows[row]) - 1))]
        elif rows[row]:
            rows[row][draw(st.integers(0, len(rows[row]) - 1))] = draw(st.sampled_from(CELLS))
        if not rows:
            break
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode(errors="surrogatepass")


@st.composite
def spoiled_json(draw: st.DrawFn, wholes: Sequence[bytes]) -> bytes:
    """One of the documents with values changed or keys gone; or with its bytes spoiled."""
    kind = draw(st.integers(0, 9))
    whole = draw(st.sampled_from(wholes))
    if kind == 0:
        return draw(spoiled_bytes((whole,)))
    if kind == 1:
        return draw(st.sampled_from((b"[" * DEEP, b'{"a":' * DEEP, b"[" * DEEP + b"]" * DEEP)))
    content = copy.deepcopy(json.loads(whole))
    for _ in range(draw(st.integers(1, 2))):
        content = _changed(draw, content)
    return json.dumps(content).encode()


def _changed(draw: st.DrawFn, content: Any) -> Any:
    """`content` with a value somewhere in it replaced, or a key gone."""
    keys = list(content) if isinstance(content, dict) else []
    if isinstance(content, list):
        keys = list(range(min(len(content), 20)))
    if not keys or draw(st.integers(0, 5)) == 0:
        return copy.deepcopy(draw(st.sampled_from(VALUES)))
    key = draw(st.sampled_from(keys))
    if draw(st.integers(0, 4)) == 0:
        del content[key]
    else:
        content[key] = _changed(draw, content[key])
    return content


# What readers once ended in a traceback over.
DAMAGED = {
    ".json": (
        b"[" * DEEP, b'{"a":' * DEEP, b'{"a": "\\ud83d"}', b'{"a": 1e999}', b'{"a": NaN}', b"null",
        b"{}", b'{"a": 1' + b"0" * 400 + b"}", b'{"none_because": "x", "judged": "x"}',
    ),
    ".csv": (b"", b"\0", b"\x01\x01\r\x01", b"a,b\n1\n", b'"', b"a\n" + b"x" * 200_000),
    ".npy": (
        b"", b"\x93NUMPY\x01\x00\x10\x00{'descr': '\0<f4'",
        b"\x93NUMPY\x01\x00v\x00{'desc\x93NUMPY\x01\x00v\x00{'descr': '<f4', "
        b"'fortran_order': False, 'shape': (24, 4), }" + b" " * 60,
        b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (24, 4), }\n"
        + b" " * 57 + b"\n" + bytes(384),
        b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (24, 4), }"
        + b" " * 60,
    ),
    ".safetensors": (b"", b"\xff" * 8, b"\x02" + bytes(7) + b"{}", b"\x80\x04cos\nsystem\n"),
}  # fmt: skip


class Tally:
    """How many cases were tried, by target; `make fuzz` prints it."""

    def __init__(self) -> None:
        self.cases: dict[str, int] = {}

    def run(
        self, name: str, strategy: st.SearchStrategy[bytes], look: Callable[[bytes], object],
        examples: int = 150, known_cases: Sequence[bytes] = (),
    ) -> None:  # fmt: skip
        """Try each of `known_cases` once and cases of a strategy: the same ones each time, or new
        ones for as long as wanted.
        """

        def tried(case: bytes) -> None:
            self.cases[name] = self.cases.get(name, 0) + 1
            look(case)

        profile = settings(
            max_examples=examples,
            derandomize=not SECONDS,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        )
        for case in known_cases:
            tried(case)
        until = time.monotonic() + SECONDS
        round_ = 0
        while True:
            test = profile(given(strategy)(tried))
            if SECONDS:
                test = seed(time.time_ns() + round_)(test)
            test()
            round_ += 1
            if time.monotonic() >= until:
                return


def refused_in_a_line(look: Callable[[], object], names: str = "") -> bool:
    """Whether `look` refuses what it reads; in one line that a person can read, and no other way.

    Args:
        names: what the line must name.
    """
    try:
        look()
    except UserError as error:
        text = message(error)
        assert names in text, text
        assert 10 < len(text) < 1300, text
        return True
    return False
