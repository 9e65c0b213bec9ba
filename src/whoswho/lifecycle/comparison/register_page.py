"""reports/register.html: where the model at hand stands, as it is registered.

Which version is the champion differs from store to store and from day to day, so the page is no
output of the stage: Git and DVC pass it over. It shows text alone, and no picture.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from mlflow.entities import Run

from whoswho import arches, git, params, paths
from whoswho.artifacts.suspects import TABLE, read_suspects, to_look_at
from whoswho.lifecycle.comparison import comparison_tables, paired, sides
from whoswho.lifecycle.registry import promotion, versions
from whoswho.lifecycle.registry.record import Record
from whoswho.lifecycle.registry.registration import Registered
from whoswho.lifecycle.registry.versions import CHAMPION
from whoswho.lifecycle.tracking.store import Store, error_line, public
from whoswho.reporting.pages.rendering import render_page
from whoswho.wording import needs_most

PAGE = paths.REGISTER_PAGE
_HERE = "http://127.0.0.1:5000"  # where `whoswho ui` answers unless told otherwise
T = TypeVar("T")


def write(store: Store, workspace: Path, run: Run, result: Registered, record: Record) -> Path:
    """Write the page of a model that was just registered, or was not to be; returns its path.

    What cannot be said of an old champion is named on the page: registering does not fail for it.
    """
    champion = versions.aliases(store).get(CHAMPION)
    compared = gate = None
    missing = gate_missing = ""
    name = sides.WORKSPACE if result.number is None else str(result.number)
    own = sides.side(store, workspace, name)
    figures = [comparison_tables.measures("On its own pictures", {"this model": own})]
    if champion is not None and champion != result.number:
        compared, missing = _attempt(
            lambda: paired.compare(sides.side(store, workspace, str(champion)), own)
        )
        figures = comparison_tables.figures(compared) if compared else figures
    if result.number is not None:
        policy = params.load_params(workspace).promote
        # The version was just made and need not be asked again.
        gate, gate_missing = _attempt(
            lambda: promotion.rehearse(store, name, policy, asks_version=False)[1]
        )
    source, labels = record.model.backbone, record.model.labels
    taught = Counter(row.label for row in record.split if row.split == "train")
    page = render_page(
        "register.html",
        written=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        run=run.info,
        result=result,
        links=_links(store, run, result.number),
        local=not store.uri.startswith("http"),
        version=_version(store, result.number),
        digest=record.digest,
        data=data_date(workspace),
        champion=champion,
        compared=compared,
        missing=missing,
        verdict=paired.verdict(compared) if compared else [],
        figures=figures,
        gate=gate or [],
        gate_missing=gate_missing,
        trained=arches.trained_offline(record.model.picture.crop) if source.untrained else "",
        needy=needs_most({label: taught[label] for label in labels}),
        suspects=to_look_at(read_suspects(workspace / paths.SUSPECTS), untrained=source.untrained),
        suspects_table=TABLE.as_posix(),
    )
    paths.write_text(workspace / PAGE, page)
    return workspace / PAGE


def data_date(workspace: Path) -> str:
    """When data.dvc as it is here was committed, in words."""
    name = f"{paths.DATA}.dvc"
    changed = git.uncommitted(workspace, [name])
    if changed is None:
        return f"unknown: {name} is in no commit here"
    if changed:
        return f"not committed: {name} is not what the last commit has"
    commit_line = git.answer(workspace, "log", "-1", "--format=%ct %h", "--", name)
    if not commit_line:
        return f"unknown: there is no {name}"
    seconds, commit = commit_line.split()
    when = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    return f"{when:%Y-%m-%d %H:%M} UTC, when {name} was committed ({commit})"


def _attempt(make: Callable[[], T]) -> tuple[T | None, str]:
    """What `make` returns, or else why it does not."""
    try:
        return make(), ""
    except Exception as error:  # noqa: BLE001 - what is left of an old champion may raise anything
        return None, error_line(error)


def _version(store: Store, number: int | None) -> str:
    return next((str(v) for v in versions.all_versions(store) if v.number == number), "")


def _links(store: Store, run: Run, number: int | None) -> dict[str, str]:
    """Addresses of the run and of the version on MLflow's pages."""
    address = public(store.uri).rstrip("/") if store.uri.startswith("http") else _HERE
    experiment, project = store.experiment_id, quote(store.project, safe="")
    return {
        "run": f"{address}/#/experiments/{experiment}/runs/{run.info.run_id}",
        "version": f"{address}/#/models/{project}/versions/{number}",
    }
