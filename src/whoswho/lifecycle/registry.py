"""The registered model `whoswho`: its versions, their aliases, and the log of who moved them.

Aliases: `challenger` is the newest registered version, `champion` the promoted one, `previous` the
champion before. MLflow keeps no record of their moves, so each one is a tag of the registered
model, written by the same hand that moves the alias.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import getpass
import io
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlflow
from mlflow.artifacts import download_artifacts
from mlflow.entities import ViewType
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Map

from whoswho import paths
from whoswho.artifacts.backbone import BackboneSource
from whoswho.artifacts.model import model_digest
from whoswho.errors import UserError
from whoswho.lifecycle import store, tracking
from whoswho.lifecycle.outputs import KEPT, Outputs
from whoswho.lifecycle.tracking import DIGEST, Run, Store, answering

NAME = "whoswho"
CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous"
SPLIT = "split.sha256"
MOVE = "move."  # a tag of the registered model for every move of an alias
CODE = Path(__file__).parents[1]
# What the served model imports; the installed versions are pinned with it.
REQUIREMENTS = (
    "mlflow", "pandas", "torch", "torchvision", "facenet-pytorch", "safetensors", "numpy",
    "pillow", "pillow-heif", "pydantic", "ruamel.yaml",
)  # fmt: skip


@dataclass(frozen=True)
class Version:
    """One registered version."""

    number: int
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    run_id: str
    created: datetime.datetime

    def metric(self, name: str) -> float | None:
        """A metric it was registered with, such as `test/accuracy`."""
        return float(self.tags[name]) if name in self.tags else None


@dataclass(frozen=True)
class Move:
    """One entry of the promotion log: an alias that went from one version to another."""

    when: str
    who: str
    alias: str
    before: int | None
    after: int | None
    why: str
    forced: bool


@dataclass(frozen=True)
class Registered:
    """What registering a model led to; `number` is None where it was not to be registered."""

    number: int | None
    new: bool
    said: str


def register(opened: Store, run_id: str, outputs: Outputs, digest: str, when: str) -> Registered:
    """Bring a completed run's model into the registry; a known model only moves `challenger`.

    `when`: always | improves (a lower validation log loss than the challenger's on the same
    split; another split cannot be compared, so it registers) | never.
    """
    if when == "never":
        return Registered(None, False, "not registered (register.when: never)")
    # Two queued experiments may end at once; each model gets one version.
    with answering(opened), store.locked(opened.root):
        _make_model(opened)
        known = version_of(opened, digest)
        if known is not None and not _has_files(opened, known):
            known = None
        if known is None and when == "improves":
            against = aliases(opened).get(CHALLENGER)
            if against and not _improves(opened, outputs, against):
                return Registered(
                    None, False, f"not registered: no better than version {against} on validation"
                )
        number = known or _log_version(opened, run_id, outputs.folder / "model", digest)
        for key, value in _version_tags(opened, run_id, outputs, digest).items():
            opened.client.set_model_version_tag(NAME, str(number), key, value)
        move(opened, CHALLENGER, number, "registered" if known is None else "registered again")
        if known is None:
            return Registered(number, True, f"version {number} of {NAME} is the challenger")
        return Registered(number, False, f"already version {number} of {NAME}: the challenger")


def versions(opened: Store | None = None) -> list[Version]:
    """All versions, newest first; none where nothing was ever registered."""
    opened = opened or tracking.open_store()
    with answering(opened):
        model = registered(opened)
        if model is None:
            return []
        named: dict[int, list[str]] = {}
        for alias, number in sorted(model.aliases.items()):
            named.setdefault(int(number), []).append(alias)
        found = _versions(opened, f"name = '{NAME}'")
    return [
        Version(
            int(version.version), tuple(named.get(int(version.version), ())), dict(version.tags),
            str(version.run_id),
            datetime.datetime.fromtimestamp(version.creation_timestamp / 1000).astimezone(),
        )
        for version in found
    ]  # fmt: skip


def log(opened: Store | None = None) -> list[Move]:
    """Every move of an alias, oldest first."""
    opened = opened or tracking.open_store()
    with answering(opened):
        model = registered(opened)
    if model is None:
        return []
    moves = (json.loads(model.tags[key]) for key in sorted(model.tags) if key.startswith(MOVE))
    return [Move(**move) for move in moves]


def resolve(reference: str, opened: Store | None = None) -> int:
    """The number behind `3`, `champion`, `models:/whoswho/3` or `models:/whoswho@champion`."""
    opened = opened or tracking.open_store()
    asked = reference.removeprefix(f"models:/{NAME}").lstrip("@/") or reference
    if asked.startswith("models:"):
        raise UserError(f"{reference}: this repository registers models:/{NAME} only")
    if not asked.isdecimal():
        known = aliases(opened)
        if asked in known:
            return known[asked]
        if asked == CHAMPION:
            raise UserError(
                f"models:/{NAME}@{CHAMPION}: no version is the champion yet; `whoswho promote` "
                "makes the newest one champion, or use the model at hand with "
                f"`--model {paths.MODEL.as_posix()}`"
            )
        there = ", ".join(sorted(known)) or "none"
        raise UserError(f"{reference}: no such alias (there are: {there}); see `whoswho models`")
    try:
        return int(opened.client.get_model_version(NAME, asked).version)
    except MlflowException:
        raise UserError(f"version {asked}: not registered; see `whoswho models`") from None


def model_folder(reference: str, opened: Store | None = None) -> Path:
    """The folder of a registered version's weights and model.json, fetched where it is remote."""
    opened = opened or tracking.open_store()
    with answering(opened):
        number = str(resolve(reference, opened))
        place = opened.client.get_model_version_download_uri(NAME, number)
        digest = opened.client.get_model_version(NAME, number).tags.get(DIGEST)
    lost = UserError(
        f"models:/{NAME}/{number}: its files are gone from {place}; register it again with "
        "`dvc repro -f -s register`, or predict with another version"
    )
    if (local := _local(place)) is not None:
        if not local.is_dir():
            raise lost
        return local
    kept = opened.root / ".whoswho" / "models" / (digest or f"version-{number}")
    if not kept.is_dir():
        with paths.fresh_folder(kept) as folder:
            try:
                got = download_artifacts(
                    artifact_uri=f"{place.rstrip('/')}/artifacts/model",
                    dst_path=str(folder), tracking_uri=opened.uri,
                )  # fmt: skip
            except (MlflowException, OSError) as error:
                raise UserError(f"{lost} ({tracking.one_line(error)})") from None
            for file in Path(got).iterdir():
                shutil.move(file, folder / file.name)
            if digest and model_digest(folder) != digest:
                raise UserError(f"models:/{NAME}/{number}: arrived damaged; run it again")
    return kept


def _local(place: str) -> Path | None:
    """The model folder behind a version's place on this machine; None for a place elsewhere."""
    if urlsplit(place).scheme != "file":
        return None
    return Path(url2pathname(urlsplit(place).path)) / "artifacts" / "model"


def outputs_of(opened: Store, number: int, folder: Path) -> Outputs:
    """What a version was trained and judged on, fetched from its run into an empty `folder`."""
    try:
        run_id = opened.client.get_model_version(NAME, str(number)).run_id or ""
        for path in KEPT:
            (folder / path).parent.mkdir(exist_ok=True)
            opened.client.download_artifacts(run_id, path.as_posix(), str((folder / path).parent))
    except (MlflowException, OSError) as error:
        raise UserError(
            f"version {number}: its run no longer has what the gate reads "
            f"({tracking.one_line(error)}); register it again with `dvc repro -f -s register`"
        ) from None
    return Outputs(folder)


def runs(opened: Store) -> Iterator[Run]:
    """Every run of the experiment, newest first, also those deleted but not yet collected."""
    token = None
    while True:
        page = opened.client.search_runs(
            [opened.experiment_id], "", ViewType.ALL, 1000, ["attributes.start_time DESC"], token
        )
        yield from page
        token = page.token
        if not token:
            return


def weights_of(opened: Store, run: Run) -> list[str]:
    """MLflow's ids of a run's weights that are not deleted yet."""
    found = []
    for output in run.outputs.model_outputs if run.outputs else ():
        try:
            found.append(str(opened.client.get_logged_model(output.model_id).model_id))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    return found


def _log_version(opened: Store, run_id: str, folder: Path, digest: str) -> int:
    """Upload the model folder with the code that runs it, as a new version."""
    with tempfile.TemporaryDirectory() as scratch:
        code = Path(scratch) / "whoswho"
        shutil.copytree(CODE, code, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".*"))
        info = Model.log(
            artifact_path=None, name=NAME, flavor=mlflow.pyfunc, run_id=run_id,
            python_model=str(CODE / "lifecycle" / "registered_model.py"),
            artifacts={"model": str(folder.resolve())},
            # Loads without this repository installed, and with the code it was registered with.
            code_paths=[str(code)],
            pip_requirements=pins(), signature=signature(), input_example=_example(),
            tags={DIGEST: digest},
        )  # fmt: skip
        version = opened.client.create_model_version(
            NAME, info.model_uri, run_id, {DIGEST: digest}, model_id=info.model_id,
        )  # fmt: skip
    return int(version.version)


def signature() -> ModelSignature:
    """One text column `image` in; the answer's fields out."""
    answer: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.string, "label", required=False),
        ColSpec(DataType.double, "probability", required=False),
        ColSpec(DataType.boolean, "unknown"),
        ColSpec(Map(DataType.double), "probabilities"),
        ColSpec(DataType.string, "problem", required=False),
    ]
    return ModelSignature(Schema([ColSpec(DataType.string, "image")]), Schema(answer))


def pins() -> list[str]:
    """The installed versions of what the model imports, as pip takes them from an index."""
    found = []
    for name in REQUIREMENTS:
        version = metadata.version(name).partition("+")[0]  # "+cpu" is on no index
        found.append(f"{name}=={version}")
    return found


def _example() -> Any:
    """A picture as a client sends it: small, because MLflow shows it and tries it."""
    import pandas as pd
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(buffer, "PNG")
    return pd.DataFrame({"image": [base64.b64encode(buffer.getvalue()).decode()]})


def _version_tags(
    opened: Store, run_id: str, outputs: Outputs, digest: str
) -> dict[str, str]:  # fmt: skip
    run = opened.run(run_id)
    backbone = BackboneSource.model_validate(outputs.model["backbone"])
    return {
        DIGEST: digest,
        SPLIT: outputs.split_digest,
        "format": str(outputs.model["format"]),
        "commit": run.data.tags.get("commit", "none"),
        "backbone": backbone.entry,
        "random_backbone": str(backbone.untrained).lower(),
        **{key: repr(float(value)) for key, value in outputs.metrics.items()},
    }


def _has_files(opened: Store, number: int) -> bool:
    """Whether a version's files are still there, as far as this machine can see."""
    local = _local(opened.client.get_model_version_download_uri(NAME, str(number)))
    return local is None or local.is_dir()


def _improves(opened: Store, outputs: Outputs, against: int) -> bool:
    tags = opened.client.get_model_version(NAME, str(against)).tags
    key = "validation/log_loss"
    if tags.get(SPLIT) != outputs.split_digest or key not in tags or key not in outputs.metrics:
        return True
    return outputs.metrics[key] < float(tags[key])


def move(
    opened: Store, alias: str, number: int, why: str, *, forced: bool = False
) -> None:  # fmt: skip
    """Point an alias at a version and write that into the log, unless it points there already."""
    before = aliases(opened).get(alias)
    if before == number:
        return
    opened.client.set_registered_model_alias(NAME, alias, str(number))
    now = datetime.datetime.now(datetime.UTC)
    entry = Move(
        now.isoformat(timespec="seconds"), _user(), alias, before, number,
        " ".join(why.split())[:1000], forced,
    )  # fmt: skip
    opened.client.set_registered_model_tag(
        NAME, f"{MOVE}{now:%Y%m%dT%H%M%S.%f}.{alias}",
        json.dumps(entry.__dict__, ensure_ascii=False),
    )  # fmt: skip


def registered(opened: Store) -> RegisteredModel | None:
    """The registered model, or None where nothing was ever registered."""
    try:
        return opened.client.get_registered_model(NAME)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None


def _make_model(opened: Store) -> None:
    if registered(opened) is None:
        with contextlib.suppress(MlflowException):  # another machine was quicker
            opened.client.create_registered_model(
                NAME, description="Tells the people of this repository's labels apart."
            )


def aliases(opened: Store) -> dict[str, int]:
    """Alias -> version, read from the registered model itself."""
    with answering(opened):
        model = registered(opened)
    return {alias: int(number) for alias, number in model.aliases.items()} if model else {}


def version_of(opened: Store, digest: str) -> int | None:
    """The newest version of the model with this digest."""
    found = _versions(opened, f"name = '{NAME}' AND tags.`{DIGEST}` = '{digest}'")
    return int(found[0].version) if found else None


def _versions(opened: Store, query: str) -> Sequence[ModelVersion]:
    """The versions that a query finds, newest first."""
    found: list[ModelVersion] = []
    token = None
    while True:
        page = opened.client.search_model_versions(query, max_results=200, page_token=token)
        found.extend(page)
        token = page.token
        if not token:
            return sorted(found, key=lambda version: -int(version.version))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "unknown"
