"""Weights files from anywhere: opened without running anything in them, told from other networks.

People save a network plainly, nested in a checkpoint, wrapped for several processors or compiled;
its tensors are the same, and load here. A pickled object is refused: opening one runs its code.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from whoswho.backbone.network import State
from whoswho.errors import UserError, one_line

SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")

_NESTS = ("state_dict", "model", "model_state_dict", "model_state", "network", "net")
# What torch.save writes begins as a zip archive, or before torch 1.6 as a pickle.
_STARTS = (b"PK\3\4", b"\x80")
# What torch.load raises of a file that is not whole.
_DAMAGE = (RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError)
# Batch norms of old files do not count their batches; nothing here reads the count.
_COUNTER = "num_batches_tracked"
_HOW_TO_SAVE = "torch.save(model.state_dict(), 'weights.pth')"


def open_state(path: Path) -> State:
    """The tensors of a weights file, without nests.

    Raises:
        UserError: the file is damaged, holds a pickled object or no tensors.
    """
    content = _open(path)
    for _ in range(3):
        if not isinstance(content, Mapping):
            break
        tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
        if tensors:
            return tensors
        content = next((content[name] for name in _NESTS if name in content), None)
    raise UserError(
        f"{path}: holds no weights (looked for tensors at the top and under "
        f"{', '.join(_NESTS[:3])}); save them with {_HOW_TO_SAVE}"
    )


def fit_to(
    expected: State, tensors: State, arch: str, heads: tuple[str, ...], entry: str
) -> State:
    """The backbone among `tensors`, in the order and precision of `expected`.

    Args:
        heads: starts of the names of classifier heads, which are left out.
        entry: where they come from, for messages.

    Raises:
        UserError: they are of another architecture (names its first differing layer), or hold
            numbers that are not finite.
    """
    counters = {name: torch.tensor(0) for name in expected if name.endswith(_COUNTER)}
    state = counters | _without_wrapper(expected, tensors, heads)
    for name in dict.fromkeys([*expected, *state]):
        in_file, in_arch = (_shape(name, tensors) for tensors in (state, expected))
        if in_file != in_arch:
            raise UserError(
                f"{entry}: not weights of a {arch}: the first layer that differs is "
                f"{name.rpartition('.')[0]} ({in_file} in the file, {in_arch} in a {arch}); set "
                "backbone.arch to the network the file was saved from"
            )
        if not torch.isfinite(state[name]).all():
            raise UserError(f"{entry}: {name} holds numbers that are not finite; save it again")
    return {name: state[name].to(like.dtype).contiguous() for name, like in expected.items()}


def _without_wrapper(expected: State, tensors: State, heads: tuple[str, ...]) -> State:
    """Tensors by their names in the backbone: without wrappers' prefixes and classifier heads.

    The prefix is the one under which most of the backbone is found.
    """
    first = next(iter(expected))
    prefixes = {name.removesuffix(first) for name in tensors if f".{name}".endswith(f".{first}")}
    prefix = max(
        sorted(prefixes),
        key=lambda prefix: sum(f"{prefix}{name}" in tensors for name in expected),
        default="",
    )
    names = {name.removeprefix(prefix): name for name in tensors if name.startswith(prefix)}
    return {plain: tensors[name] for plain, name in names.items() if not plain.startswith(heads)}


def _open(path: Path) -> Any:
    damaged = f"{path}: damaged (%s); fetch or save it again"
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise UserError(damaged % one_line(error, 120)) from None
    with path.open("rb") as file:
        if not file.read(4).startswith(_STARTS):
            raise UserError(f"{path}: no weights file; fetch or save it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual pickle protocols, which are refused below
            # weights_only builds tensors and plain containers, and runs nothing that is inside.
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, *_DAMAGE) as error:
        program = "a TorchScript program" if "TorchScript" in str(error) else ""
        if isinstance(error, pickle.UnpicklingError):
            class_name = re.search(r"(?:GLOBAL|class|function) ([\w.]+\.[\w.]+)", str(error))
            program = "a pickled object" + (f" ({class_name[1]})" if class_name else "")
        if not program:
            raise UserError(damaged % one_line(error, 120)) from None
        raise UserError(
            f"{path}: holds {program}, which would run code from the file when opened; where it "
            f"was made, save its weights alone: {_HOW_TO_SAVE}"
        ) from None


def _shape(name: str, tensors: State) -> str:
    if name not in tensors:
        return "absent"
    shape = "x".join(map(str, tensors[name].shape)) or "a number"
    return f"{name.rpartition('.')[2]} is {shape}"
