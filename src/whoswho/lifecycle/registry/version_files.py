"""The files of a registered version: its model folder, and what its run keeps for the gate."""

from __future__ import annotations

import tempfile
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException

from whoswho import paths
from whoswho.artifacts.model.description import model_digest
from whoswho.errors import UserError
from whoswho.lifecycle.registry import versions
from whoswho.lifecycle.registry.record import FILES, MODEL, Record, read_record
from whoswho.lifecycle.tracking.runs import DIGEST
from whoswho.lifecycle.tracking.store import Store, error_line

CACHE = Path(".whoswho/models")
AGAIN = "`dvc repro -f -s register`"


def model_folder(store: Store, reference: str) -> Path:
    """The folder of a registered version's weights and model.json, fetched where it is remote.

    Raises:
        UserError: there is no such version, or its files are gone or damaged.
    """
    number = str(versions.resolve(store, reference))
    uri = store.client.get_model_version_download_uri(store.project, number)
    digest = store.client.get_model_version(store.project, number).tags.get(DIGEST)
    gone = (
        f"models:/{store.project}/{number}: its files are gone from {uri}; register it again "
        f"with {AGAIN}, or predict with another version"
    )
    local = _local_folder(uri)
    if local is not None:
        if not local.is_dir():
            raise UserError(gone)
        return local
    kept = store.root / CACHE / (digest or f"version-{number}")
    if not kept.is_dir():
        remote = f"{uri.rstrip('/')}/artifacts/{MODEL}"
        with paths.fresh_folder(kept) as folder:
            try:
                download_artifacts(remote, dst_path=str(folder), tracking_uri=store.uri)
            except (MlflowException, OSError) as error:
                raise UserError(f"{gone} ({error_line(error)})") from None
            if digest and model_digest(folder / MODEL) != digest:
                raise UserError(f"models:/{store.project}/{number}: arrived damaged; run it again")
    return kept / MODEL


def are_there(store: Store, number: int) -> bool:
    """Whether a version's files are still there, as far as this machine can see."""
    local = _local_folder(store.client.get_model_version_download_uri(store.project, str(number)))
    return local is None or local.is_dir()


def fetch_record(store: Store, number: int) -> Record:
    """What a version was trained and judged on, from its run.

    Raises:
        UserError: its run no longer has it.
    """
    run_id = store.client.get_model_version(store.project, str(number)).run_id or ""
    with tempfile.TemporaryDirectory() as folder:
        try:
            for path in FILES:
                target = Path(folder) / path.parent
                target.mkdir(exist_ok=True)
                store.client.download_artifacts(run_id, path.as_posix(), str(target))
        except (MlflowException, OSError) as error:
            raise UserError(
                f"version {number}: its run no longer has what the gate reads "
                f"({error_line(error)}); register it again with {AGAIN}"
            ) from None
        try:
            return read_record(Path(folder))
        except UserError as error:
            reason = str(error).replace(f"{folder}/", "").partition(";")[0]
            raise UserError(
                f"version {number}: the record of its run cannot be read ({reason}); register it "
                f"again with {AGAIN}"
            ) from None


def _local_folder(uri: str) -> Path | None:
    """The model folder behind a version's uri on this machine; None for one elsewhere."""
    if urlsplit(uri).scheme != "file":
        return None
    return Path(url2pathname(urlsplit(uri).path)) / "artifacts" / MODEL
