"""The files of a registered version: its model folder, and the record that the gate reads.

Both lie with the version itself, so that it answers and is judged also when its run is gone.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from filelock import FileLock
from mlflow.artifacts import download_artifacts, list_artifacts
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from whoswho import paths
from whoswho.artifacts.model.description import WEIGHTS, model_digest
from whoswho.errors import UserError
from whoswho.lifecycle.registry import probe_files, versions
from whoswho.lifecycle.registry.record import FILES, MODEL, Record, read_record
from whoswho.lifecycle.registry.versions import Version
from whoswho.lifecycle.tracking import lineage
from whoswho.lifecycle.tracking.runs import DIGEST
from whoswho.lifecycle.tracking.store import Store, error_line

AGAIN = "`dvc repro -f -s register`"
NEEDED = (
    MODEL / WEIGHTS,
    *FILES,
    probe_files.TABLE,
)  # without one of them a version cannot answer or be judged


def model_folder(store: Store, reference: str) -> Path:
    """The folder of a registered version's weights and model.json, fetched where it is remote.

    Raises:
        UserError: there is no such version, or its files are gone or damaged.
    """
    number = versions.resolve(store, reference)
    uri = _uri(store, number)
    local = local_folder(uri)
    if local is not None:
        if not (local / MODEL).is_dir():
            raise UserError(_gone(store, number, uri))
        return local / MODEL
    digest = store.client.get_model_version(store.project, str(number)).tags.get(DIGEST)
    kept = store.root / paths.FETCHED / (digest or f"version-{number}")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(kept.with_suffix(".lock")):  # two first predictions may begin at once
        if not kept.is_dir():
            with paths.fresh_folder(kept) as folder:
                _download(store, f"{uri}/{MODEL}", folder, _gone(store, number, uri))
                if digest and model_digest(folder / MODEL) != digest:
                    raise UserError(
                        f"models:/{store.project}/{number}: arrived damaged; run it again"
                    )
    return kept / MODEL


def _download(store: Store, uri: str, folder: Path, gone: str) -> None:
    try:
        download_artifacts(uri, dst_path=str(folder), tracking_uri=store.uri)
    except (MlflowException, OSError) as error:
        raise UserError(f"{gone} ({error_line(error)})") from None


def check(store: Store, number: int) -> None:
    """See that a version has all its files, in the store itself and not in a copy of them here.

    Raises:
        UserError: they are gone, or the store does not say.
    """
    if missing(store, number):
        raise UserError(_gone(store, number, _uri(store, number)))


def missing(store: Store, number: int) -> list[str]:
    """The files that a version lacks, as paths below its folder of artifacts.

    Raises:
        UserError: the store does not say.
    """
    uri = _uri(store, number)
    try:
        there = {
            f"{folder}/{file.path.rpartition('/')[2]}"
            for folder in sorted({path.parent.as_posix() for path in NEEDED})
            for file in list_artifacts(f"{uri}/{folder}", tracking_uri=store.uri)
        }
    except (MlflowException, OSError) as error:
        raise UserError(
            f"models:/{store.project}/{number}: {uri} does not say which files it has "
            f"({error_line(error)})"
        ) from None
    return [path.as_posix() for path in NEEDED if path.as_posix() not in there]


def fetch_record(store: Store, number: int) -> Record:
    """What a version was trained and judged on, without its weights.

    Raises:
        UserError: its files are gone or damaged.
    """
    uri = _uri(store, number)
    try:
        return _fetched(store, uri)
    except (MlflowException, OSError):
        raise UserError(_gone(store, number, uri)) from None
    except UserError as error:
        reason = str(error).partition(";")[0]
        raise UserError(
            f"version {number}: its record cannot be read ({reason}); register it again "
            f"with {AGAIN}"
        ) from None


def fetch_run_record(store: Store, run_id: str) -> Record:
    """What the model of a run was trained and judged on, registered or not.

    Raises:
        UserError: the run has not all of it: it was not completed, or files are gone.
    """
    try:
        return _fetched(store, store.run(run_id).info.artifact_uri)
    except (MlflowException, OSError, UserError) as error:
        raise UserError(
            f"run {run_id}: does not have what its model was judged by ({error_line(error)}); a "
            "training that ended is completed by `dvc repro`"
        ) from None


def _fetched(store: Store, uri: str) -> Record:
    """The record among the artifacts at `uri`."""
    with tempfile.TemporaryDirectory() as scratch:
        for path in FILES:
            target = str(Path(scratch) / path.parent)
            download_artifacts(f"{uri}/{path.as_posix()}", dst_path=target, tracking_uri=store.uri)
        try:
            return read_record(Path(scratch))
        except UserError as error:
            raise UserError(str(error).replace(f"{scratch}/", "")) from None


def upload_record(store: Store, model_id: str, record: Record) -> None:
    """Put what the gate reads, and the probe pictures, beside the weights of a logged model, over
    what is there.
    """
    with tempfile.TemporaryDirectory() as scratch:
        for path in FILES:
            target = Path(scratch) / path
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(record.folder / path, target)
        probe_files.write_probes(Path(scratch), record)
        store.client.log_model_artifacts(model_id, scratch, "artifacts")


def copy_lineage(store: Store, run_id: str, model_id: str) -> None:
    """Put what the run says of where its model came from beside the weights, to outlive it."""
    if store.client.list_artifacts(run_id, lineage.FOLDER.as_posix()):
        with tempfile.TemporaryDirectory() as scratch:
            store.client.download_artifacts(run_id, lineage.FOLDER.as_posix(), scratch)
            store.client.log_model_artifacts(model_id, scratch, "artifacts")


def lineage_of(store: Store, version: Version | None, run: Run | None) -> dict[str, str]:
    """The files of `lineage.files` by name, from the version or else from the run; none where
    neither has them.
    """
    uris = [_uri(store, version.number)] if version else []
    uris += [run.info.artifact_uri] if run else []
    for base in uris:
        uri = f"{base}/{lineage.FOLDER.as_posix()}"
        with suppress(MlflowException, OSError), tempfile.TemporaryDirectory() as scratch:
            folder = Path(download_artifacts(uri, dst_path=scratch, tracking_uri=store.uri))
            return {file.name: file.read_text("utf-8") for file in folder.iterdir()}
    return {}


def _gone(store: Store, number: int, uri: str) -> str:
    return (
        f"models:/{store.project}/{number}: its files are gone from {uri}; where it is the model "
        f"at hand register it again with {AGAIN}, else take another version"
    )


def _uri(store: Store, number: int) -> str:
    """The folder of a version's artifacts, laid out as artifacts/ is."""
    uri: str = store.client.get_model_version_download_uri(store.project, str(number))
    return f"{uri.rstrip('/')}/artifacts"


def local_folder(uri: str) -> Path | None:
    """The folder behind a uri on this machine; None for one elsewhere."""
    if urlsplit(uri).scheme != "file":
        return None
    return Path(url2pathname(urlsplit(uri).path))
