"""A stage loads what it uses and no more: imports are most of what a short stage costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.repository import REPOSITORY

from bench import imports

HEAVY = {
    "dvc", "facenet_pytorch", "flask", "matplotlib", "mlflow", "onnxruntime", "pandas", "scipy",
    "selenium", "sklearn", "sympy", "timm", "torch", "torch._dynamo", "torchvision",
}  # fmt: skip
# What the modules of the stages bring, one after the other in one process.
BROUGHT = {
    "preprocess": set(),
    "report": set(),
    "clean": {"scipy"},
    "register": {"mlflow", "pandas"},
    "suspects": {"sklearn"},
    "evaluate": {"torch"},
    "features": set(),
    "backbone": set(),
    "train": set(),
}
LOADED = """
import importlib, json, sys
heavy, brought = set(json.loads(sys.argv[2])), {}
for stage in json.loads(sys.argv[1]):
    before = set(sys.modules)
    importlib.import_module(f"whoswho.stages.{stage}")
    brought[stage] = sorted(heavy & set(sys.modules) - before)
print(json.dumps(brought))
"""
# The work itself, all on a processor: faces sought, a ResNet built and asked, a head taught and
# held out.
WORK = """
import json, sys
import numpy as np, torch
from PIL import Image
from whoswho import params
from whoswho.backbone import network
from whoswho.backbone.compute import forward
from whoswho.evaluation.folds import split_folds
from whoswho.pictures.faces import FaceFinder
from whoswho.training.optimization import build_optimizer

assert FaceFinder(0.9, 0.2).find(Image.new("RGB", (80, 80))) == []
network.check_size("resnet18", 64)
backbone, width = network.backbone_from("resnet18", network.random_backbone("resnet18", 0))
values = forward.prepare(backbone, torch.device("cpu")).run(torch.rand(8, 3, 64, 64)).clone()
head = torch.nn.Linear(width, 2)
train = params.load_params().train
optimizer = build_optimizer(train, [{"params": list(head.parameters()), "lr": 0.1}])
optimizer.zero_grad()
head(values).sum().backward()
optimizer.step()
assert split_folds(np.arange(8) % 2, list("abcdefgh"), 2, 0)
print(json.dumps(sorted(set(json.loads(sys.argv[1])) & set(sys.modules))))
"""


def printed(program: str, *arguments: str) -> Any:
    """What a program that is told the heavy modules prints of them."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments, json.dumps(sorted(HEAVY))],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_stage_brings_no_heavy_package_that_it_does_not_need() -> None:
    assert set(BROUGHT) == set(imports.STAGES)
    brought = printed(LOADED, json.dumps(list(BROUGHT)))
    assert {stage: set(names) for stage, names in brought.items()} == BROUGHT


def test_faces_a_resnet_and_a_head_need_no_torchvision_and_no_compiler() -> None:
    assert printed(WORK) == ["torch"]


REPORT = """import time: self [us] | cumulative | imported package
import time:       100 |        100 |     numpy.linalg
import time:      3000 |       3100 |   numpy
import time:       200 |        200 |   json
import time:        50 |       3350 | whoswho.tables
import time:      4000 |       4000 | torch._dynamo
what a stage prints
"""


def test_what_is_imported_is_read_from_what_python_writes() -> None:
    modules = imports.read(REPORT)
    assert [module.name for module in modules] == [
        "numpy.linalg", "numpy", "json", "whoswho.tables", "torch._dynamo",
    ]  # fmt: skip
    assert imports.by_package(modules) == pytest.approx(
        {"numpy": 0.0031, "Python": 0.0002, "whoswho": 0.00005, "torch": 0.004}
    )
    assert imports.drawn_in(modules) == pytest.approx(
        {
            "whoswho.tables: numpy": 0.0031,
            "whoswho.tables: json": 0.0002,
            "while it runs: torch._dynamo": 0.004,
        }
    )
    called = {"numpy": True, "numpy.linalg": False, "torch._dynamo": False, "whoswho.tables": True}
    assert imports.never_called(modules, called) == pytest.approx(
        {"torch": 0.004, "numpy.linalg": 0.0001}
    )


def test_every_command_begins_with_imports_that_there_are() -> None:
    lines = imports.first_lines("review")
    assert lines == "from whoswho.reviewing import server"
    assert "mlflow" not in imports.first_lines("crawl")
    for name in imports.ENDING:
        assert imports.first_lines(name) or name == "store"


def test_whose_functions_are_called_is_noted(tmp_path: Path) -> None:
    (tmp_path / "used.py").write_text("def f():\n    pass\n")
    (tmp_path / "idle.py").write_text("def f():\n    pass\nf()\n")
    script = tmp_path / "script.py"
    script.write_text("import used, idle, sys\nused.f()\nassert sys.argv[1:] == ['a']\n")
    noted = tmp_path / "called.json"
    called = REPOSITORY / "bench" / "called.py"
    subprocess.run([sys.executable, called, noted, script, "a"], cwd=tmp_path, check=True)
    is_called = json.loads(noted.read_text(encoding="utf-8"))
    assert (is_called["used"], is_called["idle"]) == (True, False)
