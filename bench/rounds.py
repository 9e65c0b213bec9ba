"""Ways of doing one thing, measured in turn: a process each, a round of each after another.

What else the machine does meanwhile falls on all of them alike, and none runs with what another
left in memory.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import IO, Self

Figures = dict[str, float]


class Way:
    """A process of a module here that has prepared itself and does a round whenever it is asked.

    Raises:
        RuntimeError: it ended before it was ready; the text is the last that it said.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        with tempfile.TemporaryFile("w+") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            line = _stream(self._process.stdout).readline()
            if not line:
                self._process.communicate()
                errors.seek(0)
                raise RuntimeError((errors.read().strip().splitlines() or ["no word"])[-1])
        self.figures: Figures = json.loads(line)  # see `answer`
        self.rates: list[float] = []  # things a second, of each round
        self.costs: list[float] = []  # seconds of processor a thing, of each round

    def round(self) -> None:
        """Let it do a round, and note how fast it was."""
        stdin = _stream(self._process.stdin)
        stdin.write("\n")
        stdin.flush()
        rate, cost = map(float, _stream(self._process.stdout).readline().split())
        self.rates.append(rate)
        self.costs.append(cost)

    @property
    def best(self) -> float:
        """The rate of the fastest round: what else the machine does only ever takes time away."""
        return max(self.rates)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()  # closes its input, at which it ends


def answer(figures: Mapping[str, float], run: Callable[[], object], count: int) -> None:
    """What the process of a `Way` does: say what it found, then run once for each line asked.

    Args:
        count: things that a run does.
    """
    print(json.dumps(figures), flush=True)
    for _ in sys.stdin:
        before = time.process_time()
        rate = count / seconds(run)
        print(rate, (time.process_time() - before) / count, flush=True)


def seconds(run: Callable[[], object]) -> float:
    """How long a run takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def ratios(first: Way, second: Way) -> str:
    """How many times as fast as the second the first is: of the best rounds, of every pair of
    rounds the least and the most, and in seconds of processor, where other programs run beside.
    """
    pairs = sorted(a / b for a, b in zip(first.rates, second.rates, strict=True))
    return (
        f"{first.best / second.best:.2f} times ({pairs[0]:.2f} to {pairs[-1]:.2f}; by seconds of "
        f"processor {min(second.costs) / min(first.costs):.2f})"
    )


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream
