"""Weights files from anywhere: opened without running anything in them, told from other networks.

People save a network plainly, nested in a checkpoint, wrapped for several processors or compiled;
its tensors are the same, and load here. A pickled object is refused: opening one runs its code.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from whoswho.backbone.network import State
from whoswho.errors import UserError

SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")

_NESTS = ("state_dict", "model", "model_state_dict", "model_state", "network", "net")
# What torch.save writes begins as a zip archive, or before torch 1.6 as a pickle.
_STARTS = (b"PK\3\4", b"\x80")

# Batch norms of old files do not count their batches; nothing here reads the count.
_COUNTER = "num_batches_tracked"
_HOW_TO_SAVE = "torch.save(model.state_dict(), 'weights.pth')"


def open_state(path: Path) -> State:
    """The tensors of a weights file, without nests.

    Raises:
        UserError: the file is damaged, holds a pickled object or no tensors.
    """
    tensors = _tensors(_open(path))
    if not tensors:
        raise UserError(
            f"{path}: holds no weights (looked for tensors at the top and under "
            f"{', '.join(_NESTS[:3])}); save them with {_HOW_TO_SAVE}"
        )
    return tensors


def fit_to(
    expected: State, tensors: State, arch: str, heads: tuple[str, ...], source: object
) -> State:
    """The backbone among `tensors`, in the order of `expected`, as 32-bit numbers.

    Args:
        heads: starts of the names of classifier heads, which are left out.

    Raises:
        UserError: they are of another architecture (names its first differing layer), or hold
            numbers that are not finite.
    """
    state = _plain(expected, tensors, heads)
    fitted: State = {}
    for name, like in expected.items():
        value = state.get(name)
        if value is None and name.endswith(_COUNTER):
            value = torch.zeros((), dtype=torch.long)
        if value is None or value.shape != like.shape:
            layer, _, tensor = name.rpartition(".")
            here = "absent" if value is None else f"{tensor} is {_shape(value)}"
            raise UserError(
                f"{source}: not weights of a {arch}: the first layer that differs is {layer} "
                f"({here} in the file, {tensor} is {_shape(like)} in a {arch}); set "
                "backbone.arch to the network the file was saved from"
            )
        if not name.endswith(_COUNTER) and not bool(torch.isfinite(value).all()):
            raise UserError(f"{source}: {name} holds numbers that are not finite; save it again")
        fitted[name] = value.to(like.dtype).contiguous()
    surplus = _first(name for name in state if name not in expected)
    if surplus is not None:
        raise UserError(
            f"{source}: not weights of a {arch}: the first layer that differs is "
            f"{surplus.rpartition('.')[0]}, which a {arch} does not have; set backbone.arch to "
            "the network the file was saved from"
        )
    return fitted


def _plain(expected: State, tensors: State, heads: tuple[str, ...]) -> State:
    """Tensors by their names in the backbone: without wrappers' prefixes and classifier heads.

    The prefix is the one under which most of the backbone is found.
    """
    first = next(iter(expected))
    prefixes = {
        name.removesuffix(first) for name in tensors if name == first or name.endswith(f".{first}")
    }
    prefix = max(
        sorted(prefixes),
        key=lambda prefix: sum(f"{prefix}{name}" in tensors for name in expected),
        default="",
    )
    names = {name: name.removeprefix(prefix) for name in tensors if name.startswith(prefix)}
    return {plain: tensors[name] for name, plain in names.items() if not plain.startswith(heads)}


def _open(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise UserError(f"{path}: damaged ({_line(error)}); fetch or save it again") from None
    with path.open("rb") as file:
        start = file.read(4)
    if not start.startswith(_STARTS):
        raise UserError(f"{path}: no weights file; fetch or save it again")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual pickle protocols, which are refused below
            # weights_only builds tensors and plain containers, and runs nothing that is inside.
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"(?:GLOBAL|class|function) ([\w.]+\.[\w.]+)", str(error))
        what = f" ({named[1]})" if named else ""
        raise UserError(
            f"{path}: holds a pickled object{what}, which would run code from the file when "
            f"opened; where it was made, save its weights alone: {_HOW_TO_SAVE}"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError) as error:
        if "TorchScript" in str(error):
            raise UserError(
                f"{path}: holds a TorchScript program, not weights; where it was made, save its "
                f"weights alone: {_HOW_TO_SAVE}"
            ) from None
        raise UserError(f"{path}: damaged ({_line(error)}); fetch or save it again") from None


def _tensors(content: Any) -> State:
    for _ in range(3):
        if not isinstance(content, Mapping):
            return {}
        tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
        if tensors:
            return tensors
        content = next((content[name] for name in _NESTS if name in content), None)
    return {}


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _first(names: Iterable[str]) -> str | None:
    return next(iter(names), None)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
