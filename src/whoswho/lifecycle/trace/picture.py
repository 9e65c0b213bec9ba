"""`whoswho trace` of a picture: from where, what was decided, what each version makes of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from whoswho import paths
from whoswho.artifacts.decisions import read_decisions
from whoswho.artifacts.split import SplitRow, read_split
from whoswho.cleaning import reasons
from whoswho.dataset import forgotten, manifest, review
from whoswho.errors import UserError
from whoswho.lifecycle.registry import version_files, versions
from whoswho.lifecycle.registry.versions import Version
from whoswho.lifecycle.tracking.store import Store
from whoswho.wording import aligned

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class TracedPicture:
    """A picture by its bytes; `file` is one that holds them, where there is one at hand."""

    sha256: str
    file: Path | None


def picture(workspace: Path, what: str) -> TracedPicture | None:
    """The picture that `what` names: a file, also one below data/, or a sha256; else None."""
    for file in (Path(what), workspace / paths.DATA / what):
        if file.is_file():
            return TracedPicture(paths.sha256(file), file)
    if not _SHA256.fullmatch(what.lower()):
        return None
    sha256, data = what.lower(), workspace / paths.DATA
    rows = [(row.file, row.sha256) for row in (manifest.read(data) if data.is_dir() else [])]
    if (workspace / paths.CLEAN).is_dir():
        rows += [(row.file, row.sha256) for row in read_decisions(workspace / paths.CLEAN)]
    names = [name for name, its in rows if name and its == sha256]
    at_hand = next((data / name for name in names if (data / name).is_file()), None)
    return TracedPicture(sha256, at_hand)


def lines(store: Store, workspace: Path, traced: TracedPicture) -> list[str]:
    """What is known of it, here and in every version.

    Raises:
        UserError: nothing is.
    """
    facts = [*_sources(workspace, traced.sha256), *_decisions(workspace, traced.sha256)]
    uses = [_version(store, version, traced) for version in versions.all_versions(store)]
    if not facts and not any(taught for *_, taught in uses):
        raise UserError(
            f"{traced.file or traced.sha256}: no table of this repository and no version knows "
            "this picture; `whoswho predict FILE` asks the champion"
        )
    first = [("picture", str(traced.file or "no file at hand")), ("sha256", traced.sha256)]
    table: list[Sequence[str]] = [("version", "in its", "answers"), *(row[:3] for row in uses)]
    return [*(f"{name:<10} {text}" for name, text in [*first, *facts]), "", *aligned(table)]


def _sources(workspace: Path, sha256: str) -> list[tuple[str, str]]:
    """Where it came from, by the tables of the crawls, and whether it is barred."""
    data, facts = workspace / paths.DATA, []
    for row in manifest.read(data) if data.is_dir() else []:
        if row.sha256 == sha256:
            search = f"{row.site}, searched for {row.search!r}" if row.search else row.site
            url = row.page_url or row.address
            author = f", by {row.author}" if row.author else ""
            fetched = f"fetched {row.fetched_at}" if row.fetched_at else ""
            rights = f"licence {row.licence or 'unknown'}{author}"
            parts = filter(None, (search, url, fetched, rights, row.note))
            facts.append(("from", "; ".join(parts)))
    if data.is_dir() and forgotten.load(data).bars_picture(sha256):
        facts.append(("forgotten", "taken down; no crawl fetches it again"))
    return facts


def _decisions(workspace: Path, sha256: str) -> list[tuple[str, str]]:
    """What people and the checks decided, and the split it is in now."""
    facts = []
    if (workspace / paths.REVIEW).is_file():
        for entry in review.read(workspace / paths.REVIEW):
            if entry.sha256 == sha256:
                other = f" as {entry.other_label}" if entry.other_label else ""
                text = f"{entry.when}: {entry.decision}{other} ({entry.label}) {entry.why}"
                facts.append(("review", text))
    if (workspace / paths.CLEAN).is_dir():
        for row in read_decisions(workspace / paths.CLEAN):
            if row.sha256 == sha256:
                why = [reasons.explain(row, reason) for reason in row.reasons]
                why += [f"overruled: {reasons.explain(row, reason)}" for reason in row.overruled]
                facts.append(("clean", "; ".join([f"{row.file}: {row.decision}", *why])))
    if (workspace / paths.DATASET).is_dir():
        for own in read_split(workspace / paths.DATASET):
            if own.sha256 == sha256:
                facts.append(("split", f"{own.split}, as {own.label} ({own.crop}, {own.path})"))
    return facts


def _version(store: Store, version: Version, traced: TracedPicture) -> tuple[str, str, str, bool]:
    """Its name, what the picture was to it, what it answers, and whether it knew the picture."""
    try:
        record = version_files.fetch_record(store, version.number)
    except UserError as error:
        return str(version), "?", str(error), False
    row = next((row for row in record.split if row.sha256 == traced.sha256), None)
    role = _role(row)
    for judged in record.evaluation.pictures:
        if row and judged.file == row.file and judged.split == row.split:
            return str(version), role, f"{judged.told} {judged.probability:.3f}", True
    if traced.file is None:
        return str(version), role, "nobody can tell without the file", bool(row)
    # Imported here: it brings torch, which what is known of a version or a run does without.
    from whoswho.inference.predictor import Predictor

    try:
        folder = version_files.model_folder(store, str(version.number))
        (answer,) = Predictor(folder).predict([traced.file])
    except UserError as error:
        return str(version), role, str(error), bool(row)
    if answer.problem:
        return str(version), role, f"({answer.problem})", bool(row)
    return str(version), role, f"{answer.title} {answer.probability:.3f}", bool(row)


def _role(row: SplitRow | None) -> str:
    if row is None:
        return "nothing"
    return f"{row.split} pictures, as {row.label}" + ("; it taught" * (row.split == "train"))
