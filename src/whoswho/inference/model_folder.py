"""A trained model as a folder: everything that is needed to answer, and nothing that runs.

weights.safetensors holds backbone and head; model.json says how to build and use them; history.csv
tells how it was trained. The folder carries a format number, and another format is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from whoswho import paths, tables
from whoswho.artifacts.backbone import BackboneSource
from whoswho.artifacts.model import AGAIN, DESCRIPTION, FORMAT, HISTORY, WEIGHTS, describe
from whoswho.backbone import forward, network
from whoswho.backbone.network import HeadShape, Network
from whoswho.errors import UserError
from whoswho.pictures import prepare
from whoswho.training import calibration
from whoswho.training.calibration import Float64
from whoswho.training.training import METRICS, Fitted, spread

HISTORY_COLUMNS = ("epoch", *METRICS)


@dataclass(frozen=True)
class Model:
    """A model ready to answer."""

    network: Network  # in evaluation mode, each batch norm folded into its convolution
    labels: tuple[str, ...]  # in the order of the logits
    picture: dict[str, Any]  # the settings of pictures/prepare.py
    temperature: float
    threshold: float  # below this probability the answer is "none of these people"
    description: dict[str, Any]  # all of model.json

    def logits(self, images: Sequence[Image.Image]) -> Float64:
        """What the network says of prepared pictures, (pictures, labels)."""
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            batch = prepare.to_tensor(images).to(device, memory_format=torch.channels_last)
            said: Float64 = self.network(batch).cpu().numpy().astype(np.float64)
        return said

    def probabilities(self, images: Sequence[Image.Image]) -> Float64:
        """How likely each label is for each prepared picture, (pictures, labels)."""
        return calibration.probabilities(self.logits(images), self.temperature)


def save(
    folder: Path,
    fitted: Fitted,
    *,
    picture: Mapping[str, Any],
    temperature: float,
    threshold: float,
    params: Mapping[str, Any],
    inputs: Mapping[str, str],
    source: BackboneSource,
) -> None:
    """Write a model into `folder` (an empty one, such as paths.fresh_folder gives).

    Args:
        picture: the settings its pictures were prepared with, from dataset.json.
        params: the resolved params, flat.
        inputs: digests of what was learned from, by name.
    """
    from safetensors.torch import save_file

    save_file({name: value.contiguous() for name, value in fitted.state.items()}, folder / WEIGHTS)
    paths.write_json(
        folder / DESCRIPTION,
        {
            "format": FORMAT,
            "arch": fitted.arch,
            "labels": list(fitted.labels),
            "head": fitted.shape.to_json(),
            "epoch": fitted.epoch,
            "repeats": fitted.repeats,
            "picture": dict(picture),
            "temperature": temperature,
            "threshold": threshold,
            "params": dict(params),
            "inputs": dict(inputs),
            "backbone": source.model_dump(mode="json"),
        },
    )
    tables.write(folder / HISTORY, HISTORY_COLUMNS, fitted.history)


def load(folder: Path, device: torch.device | None = None) -> Model:
    """The model in `folder`, on `device` (the processor where none is named).

    Raises:
        UserError: no model is there, its format is unknown here, or its files do not fit together.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    description = describe(folder)
    path = folder / WEIGHTS
    try:
        state = load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: not there; {AGAIN}") from None
    except SafetensorError as error:
        raise UserError(f"{path}: damaged ({error}); {AGAIN}") from None
    try:
        labels = tuple(description["labels"])
        shape = HeadShape.from_json(description["head"])
        backbone = _below(state, "backbone.")
        body, width = network.backbone_from(description["arch"], backbone)
        head = network.build_head(width, len(labels), shape)
        head.load_state_dict(_below(state, "head."))
        net = Network(description["arch"], forward.fold(body), head).eval().requires_grad_(False)
        model = Model(
            net,
            labels,
            dict(description["picture"]),
            float(description["temperature"]),
            float(description["threshold"]),
            description,
        )
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        arch, count = description.get("arch"), len(description.get("labels", ()))
        raise UserError(
            f"{path}: does not fit {DESCRIPTION} beside it, which has {count} labels and a "
            f"{arch} ({reason}); {AGAIN}"
        ) from None
    model.network.to(device or "cpu").to(memory_format=torch.channels_last)
    return model


def repeated(description: Mapping[str, Any]) -> dict[str, float]:
    """Mean and spread of the validation metrics over trainings of several seeds, as metrics.

    Empty where there was one. A difference between two runs within the spread is none.
    """
    rows = description.get("repeats", ())
    if len(rows) < 2:
        return {}
    found: dict[str, float] = {"validation/repeats": len(rows)}
    for metric in ("validation/loss", "validation/accuracy"):
        mean, deviation = spread(rows, metric)
        found[f"{metric}_mean"] = mean
        found[f"{metric}_deviation"] = deviation
    return found


def _below(state: network.State, prefix: str) -> network.State:
    return {
        name.removeprefix(prefix): value
        for name, value in state.items()
        if name.startswith(prefix)
    }
