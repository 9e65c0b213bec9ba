"""The files of a registered version: its model folder, and the record that the gate reads.

Both lie with the version itself, so that it answers and is judged also when its run is gone.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlflow.artifacts import download_artifacts, list_artifacts
from mlflow.exceptions import MlflowException

from whoswho import paths
from whoswho.artifacts.model.description import WEIGHTS, model_digest
from whoswho.errors import UserError
from whoswho.lifecycle.registry import versions
from whoswho.lifecycle.registry.record import FILES, MODEL, Record, read_record
from whoswho.lifecycle.tracking.runs import DIGEST
from whoswho.lifecycle.tracking.store import Store, error_line

CACHE = Path(".whoswho/models")
AGAIN = "`dvc repro -f -s register`"
NEEDED = (MODEL / WEIGHTS, *FILES)  # without one of them a version cannot answer or be judged


def model_folder(store: Store, reference: str) -> Path:
    """The folder of a registered version's weights and model.json, fetched where it is remote.

    Raises:
        UserError: there is no such version, or its files are gone or damaged.
    """
    number = versions.resolve(store, reference)
    uri = _uri(store, number)
    local = _local_folder(uri)
    if local is not None:
        if not (local / MODEL).is_dir():
            raise UserError(_gone(store, number, uri))
        return local / MODEL
    digest = store.client.get_model_version(store.project, str(number)).tags.get(DIGEST)
    kept = store.root / CACHE / (digest or f"version-{number}")
    if not kept.is_dir():
        with paths.fresh_folder(kept) as folder:
            try:
                download_artifacts(f"{uri}/{MODEL}", dst_path=str(folder), tracking_uri=store.uri)
            except (MlflowException, OSError) as error:
                raise UserError(f"{_gone(store, number, uri)} ({error_line(error)})") from None
            if digest and model_digest(folder / MODEL) != digest:
                raise UserError(f"models:/{store.project}/{number}: arrived damaged; run it again")
    return kept / MODEL


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
    local = _local_folder(uri)
    if local is not None:
        return [path.as_posix() for path in NEEDED if not (local / path).is_file()]
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
    local = _local_folder(uri)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        try:
            for path in FILES:
                (folder / path.parent).mkdir(exist_ok=True)
                if local is not None:
                    shutil.copyfile(local / path, folder / path)
                else:
                    target = str(folder / path.parent)
                    download_artifacts(f"{uri}/{path}", dst_path=target, tracking_uri=store.uri)
        except (MlflowException, OSError):
            raise UserError(_gone(store, number, uri)) from None
        try:
            return read_record(folder)
        except UserError as error:
            reason = str(error).replace(f"{folder}/", "").partition(";")[0]
            raise UserError(
                f"version {number}: its record cannot be read ({reason}); register it again "
                f"with {AGAIN}"
            ) from None


def upload_record(store: Store, model_id: str, record: Record) -> None:
    """Put what the gate reads beside the weights of a logged model, over what is there."""
    with tempfile.TemporaryDirectory() as scratch:
        for path in FILES:
            target = Path(scratch) / path
            target.parent.mkdir(exist_ok=True)
            shutil.copyfile(record.folder / path, target)
        store.client.log_model_artifacts(model_id, scratch, "artifacts")


def _gone(store: Store, number: int, uri: str) -> str:
    return (
        f"models:/{store.project}/{number}: its files are gone from {uri}; where it is the model "
        f"at hand register it again with {AGAIN}, else take another version"
    )


def _uri(store: Store, number: int) -> str:
    """The folder of a version's artifacts, laid out as artifacts/ is."""
    uri: str = store.client.get_model_version_download_uri(store.project, str(number))
    return f"{uri.rstrip('/')}/artifacts"


def _local_folder(uri: str) -> Path | None:
    """The folder behind a uri on this machine; None for one elsewhere."""
    if urlsplit(uri).scheme != "file":
        return None
    return Path(url2pathname(urlsplit(uri).path))
