"""The code a registered version carries: no more than it needs, and all of that."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.lifecycle_models import NAMES, make_model
from support.lifecycle_store import environment
from support.pictures import png, portrait

from whoswho import arches
from whoswho.artifacts.model.description import read_description, write_description
from whoswho.artifacts.model.settings import PictureSettings
from whoswho.backbone import weights
from whoswho.lifecycle.registry.packaging import ENTRY, SOURCE, carried_code

# Loads models in the order named and prints what each answers.
LOAD = """
import json, sys
import mlflow, pandas
models = [mlflow.pyfunc.load_model(folder) for folder in sys.argv[2:]]
pictures = pandas.DataFrame({"image": json.loads(sys.argv[1])})
print(json.dumps([model.predict(pictures) for model in models]))
"""
# Makes as if only the distributions named, and what they require, were installed.
ONLY = """
import json, re, sys
from importlib import metadata
from packaging.requirements import Requirement

def closure(names):
    known, remaining = set(), list(names)
    while remaining:
        name = re.sub(r"[-_.]+", "-", remaining.pop()).lower()
        if name in known:
            continue
        known.add(name)
        try:
            required = metadata.requires(name) or ()
        except metadata.PackageNotFoundError:  # of another system
            continue
        for requirement in map(Requirement, required):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                remaining.append(requirement.name)
    return known

allowed = closure(json.loads(sys.argv.pop(1)))
owners = metadata.packages_distributions()

class Installed:
    # A finder in an environment of those distributions alone.

    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        names = {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners.get(top, ())}
        if top == "whoswho" or (names and not names & allowed):
            return None
        return self.finder.find_spec(name, path, target)

for module in [m for m in sys.modules if m.partition(".")[0] == "packaging"]:
    del sys.modules[module]
sys.meta_path[:] = map(Installed, sys.meta_path)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose pictures are cropped to faces, which needs the detector."""
    folder = make_model(tmp_path_factory.mktemp("model"), NAMES)
    description = read_description(folder)
    picture = description.picture.__class__("face", 0.3, 64, 0.9, 0.06)
    write_description(folder, description.model_copy(update={"picture": picture}))
    return folder


def save(folder: Path, model: Path, scratch: Path, source: Path = SOURCE) -> list[str]:
    """Save a model as MLflow registers it; returns its requirements."""
    import mlflow

    with carried_code(scratch, "0" * 64, source) as code:
        mlflow.pyfunc.save_model(
            folder, python_model=str(code.folder / ENTRY), artifacts={"model": str(model)},
            code_paths=[str(code.folder)], pip_requirements=list(code.requirements),
        )  # fmt: skip
    return list(code.requirements)


def run(code: str, *arguments: str, cwd: Path) -> list[list[dict[str, object]]]:
    env = {key: value for key, value in environment().items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    answers: list[list[dict[str, object]]] = json.loads(done.stdout.splitlines()[-1])
    return answers


def test_it_carries_what_inference_imports_and_nothing_else(tmp_path: Path) -> None:
    with carried_code(tmp_path, "0" * 64) as code:
        paths = {path.relative_to(code.folder).as_posix() for path in code.folder.rglob("*.py")}
        text = "".join(path.read_text("utf-8") for path in code.folder.rglob("*.py"))
    rooms = {path.partition("/")[0] for path in paths if "/" in path}
    assert rooms == {"artifacts", "backbone", "inference", "pictures", "workers"}
    assert {
        "inference/registered_model.py",
        "pictures/opening/__init__.py",
        "__init__.py",
    } <= paths
    assert not {"params.py", "backbone/loading/loader.py", "workers/cluster.py"} & paths
    assert "import whoswho\n" not in text
    assert "from whoswho." not in text
    names = {pin.partition("==")[0].replace("_", "-") for pin in code.requirements}
    assert names == {
        "dlib-bin", "facenet-pytorch", "mlflow", "numpy", "pandas", "pillow", "pillow-heif",
        "pydantic", "safetensors", "threadpoolctl", "timm", "torch", "torchvision",
    }  # fmt: skip
    assert all("+" not in pin for pin in code.requirements)


def test_code_and_model_make_the_name(tmp_path: Path) -> None:
    other = other_source(tmp_path)
    names = set()
    for digest, source in (("0" * 64, SOURCE), ("1" * 64, SOURCE), ("0" * 64, other)):
        with (
            carried_code(tmp_path, digest, source) as first,
            carried_code(tmp_path / "again", digest, source) as second,
        ):
            assert first.folder.name == second.folder.name
            names.add(first.folder.name)
    assert len(names) == 3
    assert not [name for name in sys.modules if name.partition(".")[0] in names]


def other_source(tmp_path: Path) -> Path:
    """This repository's package, but for a sentence in a nested module."""
    other = shutil.copytree(SOURCE, tmp_path / "other" / "whoswho")
    payload = other / "inference" / "payload.py"
    changed = payload.read_text("utf-8").replace("send the picture's bytes", "another version")
    payload.write_text(changed, "utf-8")
    return other


@pytest.mark.slow
def test_versions_in_one_process_each_run_their_own_code(model: Path, tmp_path: Path) -> None:
    save(tmp_path / "one", model, tmp_path)
    save(tmp_path / "two", model, tmp_path, other_source(tmp_path))
    sentences = {"one": "send the picture's bytes", "two": "another version"}
    for order in (["one", "two"], ["two", "one"]):
        answers = run(LOAD, json.dumps(["../secret.png"]), *order, cwd=tmp_path)
        for name, (answer,) in zip(order, answers, strict=True):
            assert sentences[name] in str(answer["problem"])


@pytest.mark.slow
def test_it_answers_where_nothing_else_can_be_imported(model: Path, tmp_path: Path) -> None:
    requirements = save(tmp_path / "saved", model, tmp_path)
    listed = (tmp_path / "saved" / "requirements.txt").read_text().split()
    assert sorted(listed) == sorted(requirements)
    names = json.dumps([pin.partition("==")[0] for pin in requirements])
    picture = base64.b64encode(png()).decode()
    ((answer,),) = run(ONLY + LOAD, names, json.dumps([picture]), "saved", cwd=tmp_path)
    assert answer["problem"] is None
    assert answer["label"] in NAMES
    with pytest.raises(AssertionError, match="No module named 'scipy'"):
        run(ONLY + "import scipy", json.dumps(["numpy"]), cwd=tmp_path)


@pytest.mark.slow
def test_a_face_model_brings_its_landmarks_and_weights(tmp_path: Path) -> None:
    state, _ = weights.fetch(["random"], arches.DLIB, 0, [])
    (tmp_path / "model").mkdir()
    folder = make_model(tmp_path / "model", NAMES, arch=arches.DLIB, backbone=state)
    picture = PictureSettings("face", 0.3, 224, 0.9, 0.08)
    write_description(folder, read_description(folder).model_copy(update={"picture": picture}))
    requirements = save(tmp_path / "saved", folder, tmp_path)
    names = json.dumps([pin.partition("==")[0] for pin in requirements])
    assert "face-recognition-models" not in names.replace("_", "-")
    file = io.BytesIO()
    portrait().save(file, "JPEG")
    pictures = [base64.b64encode(data).decode() for data in (file.getvalue(), png())]
    ((face, noise),) = run(ONLY + LOAD, names, json.dumps(pictures), "saved", cwd=tmp_path)
    assert face["problem"] is None
    assert face["label"] in NAMES
    assert noise["problem"] == "no face was found, and this model answers for faces alone"
