"""The one way to call a function for many pictures: on all cores, the results in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from tqdm import tqdm

from whoswho.workers import cluster, pool

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    title: str,
    few: int | None = None,
) -> Iterator[Result]:
    """`function` of every item, in order; a progress bar with rate and ETA on a terminal.

    The environment may name a cluster (see `cluster.address`), whose workers take all of them.

    Args:
        function: a module's own function (or a partial of one): it is sent to other processes.
        few: fewer items than these stay in this process; None: than `pool.FEW`.
    """
    count = min(pool.cores(), pool.MOST_WORKERS)
    results: Iterator[Result]
    if items and cluster.address():
        results = cluster.stream(function, items)
    elif count <= 1 or len(items) < (few or pool.FEW):
        results = map(function, items)
    else:
        results = pool.stream(function, items, count)
    yield from progress(results, len(items), title)


def progress(results: Iterable[Result], total: int, title: str = "") -> Iterator[Result]:
    """The results, with a progress bar where stderr is a terminal."""
    yield from tqdm(results, desc=title, total=total, unit="picture", disable=None, leave=False)
