"""What the workspace holds of pictures that are to be forgotten.

A picture is its bytes: every file with them counts, under whatever label and name. What the stages
computed from it counts as well, as whole outputs.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from whoswho import paths
from whoswho.artifacts.decisions import Decision
from whoswho.artifacts.split import SplitRow
from whoswho.dataset import forgotten, versions
from whoswho.dataset.manifest import ManifestRow
from whoswho.errors import UserError
from whoswho.labels import is_litter
from whoswho.tables import Row
from whoswho.takedown import history, versioned
from whoswho.takedown.contents import Contents, read
from whoswho.takedown.history import History
from whoswho.takedown.request import TakedownRequest


@dataclass
class Traces:
    """What the workspace holds of the pictures.

    Attributes:
        pictures: sha256 of their bytes, also where no file has them any more.
        files: sha256 of each file that goes, by its path relative to data/; empty for a link whose
            target is not ours.
        folders: of the labels asked for, relative to data/.
        rows: of the manifest. `former`: with those that a later one replaces.
        reviews: of review.csv.
        outputs: of stages, the last stage's first.
        caches: files of our own outside the outputs.
        in_split: whether a model has learned from them or was judged by them.
        look_alikes: sha256 of files that stay, by their path: cleaning found that they look like
            one that goes, though their bytes differ.
        unreadable: files that cannot be opened, and stay: nobody can tell whether they go.
        unknown: of the labels asked for, those nobody here has heard of, each with its nearest.
        past: what DVC's lists and locks tell of every version.
        staying: sha256 of the files below data/ that stay, by their path.
    """

    request: TakedownRequest
    pictures: set[str] = field(default_factory=set)
    files: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    rows: list[ManifestRow] = field(default_factory=list)
    former: list[ManifestRow] = field(default_factory=list)
    reviews: list[Row] = field(default_factory=list)
    outputs: list[Path] = field(default_factory=list)
    caches: list[Path] = field(default_factory=list)
    in_split: bool = False
    look_alikes: dict[str, str] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    unknown: dict[str, str] = field(default_factory=dict)
    past: History = field(default_factory=History)
    staying: dict[str, str] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        """Whether there is anything to remove."""
        in_data = self.files or self.folders or self.former
        return bool(in_data or self.reviews or self.outputs or self.caches)

    def has_row(self, row: ManifestRow) -> bool:
        """Whether a row of the manifest is of a picture that goes, or of what was asked for."""
        return row.sha256 in self.pictures or row.file in self.files or self.is_asked_for(row)

    def is_asked_for(self, row: ManifestRow) -> bool:
        """Whether a row of the manifest itself names a label or an address asked for."""
        return (
            self.request.names_label(row.label)
            or self.request.names_address(row.address)
            or self.request.names_address(row.page_url)
        )

    def has_review(self, row: Row) -> bool:
        """Whether a row of review.csv is of a picture that goes, or names a label asked for."""
        return row["sha256"].strip().lower() in self.pictures or any(
            self.request.names_label(row[column]) for column in ("label", "other_label")
        )


def find(
    workspace: Path,
    request: TakedownRequest,
    *,
    with_copies: bool = False,
    past: History | None = None,
) -> Traces:
    """Everything in `workspace` that holds what is asked for, or was computed from it.

    `with_copies` asks for the look-alikes as well. `past` is what was read of it before.

    Raises:
        UserError: a table cannot be read. Nothing was touched.
    """
    contents = read(workspace)
    if past is None:
        repo = versions.opened(workspace)
        past = history.read(repo, workspace, versioned.reader(repo))
    traces = _find(contents, request, past)
    if with_copies:
        present = set(contents.hashes.values())
        alike = history.look_alikes(past, traces.pictures)
        gone = {sha256 for _, sha256 in alike if sha256 not in present}
        pictures = request.pictures.union(traces.look_alikes.values(), gone)
        traces = _find(contents, replace(request, pictures=pictures), past)
    return traces


def check_known(traces: Traces, *, elsewhere: bool) -> None:
    """Raise UserError for a label nobody knows: barring a misspelt name would bar nobody.

    `elsewhere` says that a run or a version knows it.
    """
    if elsewhere:
        return
    for label, nearest in traces.unknown.items():
        hint = f"did you mean {nearest!r}?" if nearest else "`ls data` lists them"
        raise UserError(f"--label {label}: no such label in data/ or in any table; {hint}")


def _find(contents: Contents, request: TakedownRequest, past: History) -> Traces:
    hashes = contents.hashes
    folders = [name for name, label in contents.folders.items() if label in request.labels]
    traces = Traces(request, set(request.pictures), folders=sorted(folders), past=past)
    # Pictures that count under a label though they lie elsewhere, or nowhere any more.
    traces.pictures |= {
        sha256
        for row in contents.reviews
        if request.names_label(row["other_label"])
        and re.fullmatch("[0-9a-f]{64}", sha256 := row["sha256"].strip().lower())
    }
    present = set(hashes.values())
    traces.pictures |= {
        row.sha256
        for row in contents.listed
        if row.label in request.labels and row.sha256 not in present
    }
    traces.pictures |= history.pictures(past, request) - present
    below = tuple(f"{folder}/" for folder in folders)
    traces.files = {file: sha256 for file, sha256 in hashes.items() if file.startswith(below)}
    _follow(traces, contents)
    traces.former = [row for row in contents.former if traces.has_row(row)]
    traces.reviews = [row for row in contents.reviews if traces.has_review(row)]
    traces.in_split = _speak_of(traces, contents.prepared)
    if traces.in_split or _speak_of(traces, contents.cleaned):
        _add_outputs(traces, contents.workspace)
    traces.caches += _left_behind(contents.workspace)
    traces.unreadable = sorted(contents.unreadable - traces.files.keys())
    traces.staying = {file: hashes[file] for file in hashes.keys() - traces.files.keys()}
    traces.look_alikes = _look_alikes(traces, contents, past)
    known = contents.labels | history.labels(past)
    barred = forgotten.load(contents.workspace / paths.DATA)
    for label in sorted(request.labels - known):
        if not barred.bars_label(label):
            nearest = difflib.get_close_matches(label, sorted(known), 1)
            traces.unknown[label] = nearest[0] if nearest else ""
    return traces


def _follow(traces: Traces, contents: Contents) -> None:
    """Add to `traces` what hangs together: a row leads to a file, its bytes to more of both."""
    while True:
        before = len(traces.files), len(traces.rows), len(traces.pictures)
        traces.rows = [row for row in contents.rows if traces.has_row(row)]
        named = {row.file for row in traces.rows}
        traces.files = {
            file: sha256
            for file, sha256 in contents.hashes.items()
            if file in traces.files or file in named or sha256 in traces.pictures
        }
        traces.pictures |= {row.sha256 for row in traces.rows}
        traces.pictures |= {
            sha256
            for file, sha256 in traces.files.items()
            if not any(map(is_litter, Path(file).parts))
        }
        traces.pictures.discard("")
        if before == (len(traces.files), len(traces.rows), len(traces.pictures)):
            return


def _speak_of(traces: Traces, rows: Iterable[Decision] | Iterable[SplitRow] | None) -> bool:
    """Whether a stage's table speaks of what goes.

    Where it is missing nobody can tell, so its outputs go with the first picture that goes.
    """
    if rows is None:
        return bool(traces.files or traces.rows)
    cells = traces.pictures | traces.request.labels
    columns = ("sha256", "group", "label", "other_label")
    return any(vars(row).get(column) in cells for row in rows for column in columns)


def _add_outputs(traces: Traces, workspace: Path) -> None:
    """What the stages computed from the pictures."""
    repo = versions.opened(workspace)
    outputs = versioned.derived(repo, spare=None if traces.in_split else paths.DATASET)
    traces.outputs = list(filter(os.path.lexists, outputs))
    if traces.in_split and (workspace / paths.CHECKPOINTS).is_dir():
        traces.caches += sorted((workspace / paths.CHECKPOINTS).iterdir())


def _left_behind(workspace: Path) -> list[Path]:
    """What a killed stage was writing, versions fetched from a server, and what `dvc plots` drew:
    nobody can tell of whom, and nobody needs them.
    """
    folders = (paths.CLEAN.parent, paths.REPORTS, paths.FETCHED)
    partial = [file for folder in folders for file in (workspace / folder).glob(".*.partial")]
    fetched = (workspace / paths.FETCHED).glob("[!.]*")
    drawn = filter(Path.is_dir, [workspace / paths.DVC_PLOTS])
    return sorted({*partial, *fetched, *drawn})


def _look_alikes(traces: Traces, contents: Contents, past: History) -> dict[str, str]:
    """The look-alikes that are there, by any version's table: cleaning's own may be gone."""
    alike = history.look_alikes(past, traces.pictures)
    alike |= history.alike([vars(row) for row in contents.cleaned or ()], traces.pictures)
    hashes = contents.hashes
    return {file: sha256 for file, sha256 in sorted(alike) if hashes.get(file) == sha256}
