"""Whether a version still answers: asked before an alias moves to it.

It is loaded as a server would load it, from its own files and by the code it carries, and must
repeat what it answered to its probe pictures when it was registered.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
from mlflow.artifacts import download_artifacts

from whoswho.artifacts.model.description import model_digest
from whoswho.artifacts.split import open_prepared
from whoswho.errors import UserError, one_line
from whoswho.lifecycle.registry import version_files
from whoswho.lifecycle.registry.probe_files import FOLDER, Probe, read_probes
from whoswho.lifecycle.registry.record import MODEL
from whoswho.lifecycle.tracking.runs import DIGEST
from whoswho.lifecycle.tracking.store import Store
from whoswho.pictures import tensors

# By so much a probability may differ: another processor rounds otherwise, in 16 bits more.
ROUNDING = 0.02


def check(store: Store, number: int) -> None:
    """See that a version has its files, loads, and repeats its answers.

    Raises:
        UserError: it does not, and why.
    """
    version_files.check(store, number)
    uri = store.client.get_model_version_download_uri(store.project, str(number))
    with tempfile.TemporaryDirectory() as scratch:
        local = version_files.local_folder(uri)
        fetched = local or download_artifacts(uri, dst_path=scratch, tracking_uri=store.uri)
        try:
            tags = store.client.get_model_version(store.project, str(number)).tags
            _check(Path(fetched), tags)
        except UserError as error:
            raise UserError(
                f"version {number} gets no alias: {error}; where it is the model at hand register "
                f"it again with {version_files.AGAIN}, else take another version"
            ) from None


def _check(folder: Path, tags: dict[str, str]) -> None:
    artifacts = folder / "artifacts"
    if model_digest(artifacts / MODEL) != tags.get(DIGEST):
        raise UserError("its weights or model.json are not those that were registered")
    probes = read_probes(artifacts)
    try:
        with _code_of_its_own(folder):
            loaded = mlflow.pyfunc.load_model(str(folder)).unwrap_python_model()
            model = loaded.predictor.model
            answers = model.answer([_opened(artifacts / FOLDER, probe) for probe in probes])
    except Exception as error:  # noqa: BLE001 - a damaged version's own code may raise anything
        raise UserError(f"it cannot be loaded and asked ({one_line(error, 160)})") from None
    differ = _differing(probes, model, answers)
    if differ:
        raise UserError(
            f"it answers {len(differ)} of its {len(probes)} probe pictures otherwise than when it "
            f"was registered ({differ[0]})"
        )


def _differing(probes: Sequence[Probe], model: Any, answers: Any) -> list[str]:
    """What is answered otherwise, a phrase a picture; on a border either side is the same."""
    differences = []
    border = abs(answers.similarity - model.description.min_similarity) <= ROUNDING
    for number, probe in enumerate(probes):
        now = dict(zip(model.labels, answers.probabilities[number].tolist(), strict=True))
        name = max(now, key=now.__getitem__)
        worst = max(abs(now[label] - probe.probabilities.get(label, 0.0)) for label in now)
        unknown = bool(answers.unknown[number])
        if worst > ROUNDING or (unknown != probe.unknown and not border[number]):
            then = "unknown" if probe.unknown else probe.predicted
            answer = "unknown" if unknown else name
            before = probe.probabilities.get(name, 0.0)
            differences.append(f"{then}, now {answer}; {name} {before:.3f}, now {now[name]:.3f}")
    return differences


def _opened(folder: Path, probe: Probe) -> Any:
    box = tuple(map(int, probe.face.split())) or None
    return tensors.with_face(open_prepared(folder / probe.picture), box)  # type: ignore[arg-type]


@contextmanager
def _code_of_its_own(folder: Path) -> Iterator[None]:
    """Let no module of a version that was imported before answer for the file that is there."""
    code = folder / "code"
    names = {path.name for path in code.iterdir()} if code.is_dir() else set()

    def forget() -> None:
        for module in [name for name in sys.modules if name.partition(".")[0] in names]:
            del sys.modules[module]
        importlib.invalidate_caches()

    before = list(sys.path)
    forget()
    try:
        yield
    finally:
        forget()
        sys.path[:] = before
