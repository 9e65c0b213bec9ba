"""Whether a model was trained with the params that stand in params.yaml and in dvc.lock.

DVC notes down what params.yaml holds when a stage ends: who edits it while train runs gets a model
of other params than dvc.lock says, and no later `dvc repro` finds anything to do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from whoswho import paths
from whoswho.errors import UserError
from whoswho.params import Params, flatten

LOCK = Path("dvc.lock")


def check(trained: Mapping[str, Any], params: Params, workspace: Path) -> None:
    """See that params.yaml and dvc.lock say what a model was trained with, `section.key` -> value.

    Raises:
        UserError: they do not; names the first param that differs, and the cure.
    """
    stated = {paths.PARAMS.name: flatten(params), LOCK.name: _locked(workspace / LOCK)}
    for file, values in stated.items():
        differing = [
            name
            for name, value in trained.items()
            if name in values and _plain(values[name]) != _plain(value)
        ]
        if differing:
            name, more = differing[0], f" (and {len(differing) - 1} more)" * (len(differing) > 1)
            raise UserError(
                f"{file}: {name} is {values[name]}, but the model was trained with "
                f"{trained[name]}{more}: params.yaml was edited while or after train ran; "
                "put back what you do not want, then: dvc repro -f -s train && dvc repro"
            )


def _locked(path: Path) -> Mapping[str, Any]:
    """The params of train as DVC noted them down, by `section.key`; none where it did not."""
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
        noted = content["stages"]["train"]["params"][paths.PARAMS.name]
    except (OSError, YAMLError, KeyError, TypeError):
        return {}  # a stage that somebody runs by hand
    flat: dict[str, Any] = {}
    for name, value in noted.items():
        inside = value.items() if isinstance(value, dict) else ()
        flat |= {f"{name}.{key}": each for key, each in inside} or {name: value}
    return flat


def _plain(value: object) -> object:
    """A value as JSON gives it back: a list for a tuple."""
    return json.loads(json.dumps(value))
