"""`python -m bench.int8 [--arch efficientnet_lite0]`: what 8 bits would gain, and what they cost.

ONNX Runtime's static quantisation of the folded backbone, calibrated on training pictures, its
weights quantised per channel in 7 bits (without VNNI products of 8 bits overflow), beside this
pipeline's pass and ONNX Runtime's in 32 bits; on press pictures that are not part of the
repository, else on the drawn sample. All on one core, in turn, batches of eight.
"""

from __future__ import annotations

import argparse
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from bench.rounds import seconds
from bench.sets import DRAWN, fill, there
from bench.workspace import copy_of_the_repository
from whoswho import paths
from whoswho.artifacts.model.settings import Normalization
from whoswho.backbone import network, weights
from whoswho.backbone.compute import forward
from whoswho.pictures import opening, tensors

CALIBRATION = JUDGED = 40  # pictures
BATCH = 8
ROUNDS = 5  # the fastest counts
PERCENTILE = 99.99  # of what a layer gives: beyond it numbers are cut

Run = Callable[[Tensor], Tensor]


def pictures(scratch: Path, normalization: Normalization) -> tuple[Tensor, Tensor]:
    """Whole pictures to calibrate on, and others to judge by."""
    workspace = copy_of_the_repository(scratch / "set")
    fill(workspace, (there(["sports_celebrities"]) or [DRAWN])[0])
    images = []
    for path in sorted(file for file in (workspace / paths.DATA).rglob("*") if file.is_file()):
        try:
            images.append(opening.open_picture(path).resize((224, 224)))
        except opening.ImageOpenError:
            continue  # the sample's dirt
    chosen = [images[place] for place in np.linspace(0, len(images) - 1, 2 * JUDGED).astype(int)]
    given = tensors.to_tensor(chosen, normalization)
    return given[::2], given[1::2]


class Batches:
    """Pictures to calibrate on, as ONNX Runtime asks for them."""

    def __init__(self, given: Tensor) -> None:
        self._left: Iterator[Tensor] = iter(given.split(BATCH))

    def get_next(self) -> dict[str, Any] | None:
        """The next batch, None after the last."""
        batch = next(self._left, None)
        return None if batch is None else {"input": batch.contiguous().numpy()}


def session(path: Path) -> Run:
    """ONNX Runtime on one core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    loaded = onnxruntime.InferenceSession(path, options)

    def run(batch: Tensor) -> Tensor:
        return torch.from_numpy(loaded.run(None, {"input": batch.contiguous().numpy()})[0])

    return run


def quantised(source: Path, given: Tensor) -> Iterator[tuple[str, Run]]:
    """The network in 8 bits: all of it, and with what suffers most left in 32."""
    import onnx
    from onnxruntime import quantization

    convolutions = [node for node in onnx.load(source).graph.node if node.op_type == "Conv"]
    names = [node.name for node in convolutions]
    depthwise = [
        node.name
        for node in convolutions
        if any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)
    ]
    left_out = {
        "all of it": [],
        "first three, last two and depthwise layers in 32": [*names[:3], *names[-2:], *depthwise],
    }
    methods = quantization.CalibrationMethod
    for what, layers in left_out.items():
        for method in (methods.MinMax, methods.Percentile):
            target = source.with_name("quantised.onnx")
            with redirect_stdout(io.StringIO()):  # it counts aloud
                quantization.quantize_static(
                    source, target, Batches(given),
                    per_channel=True,
                    reduce_range=True,
                    activation_type=quantization.QuantType.QUInt8,
                    weight_type=quantization.QuantType.QInt8,
                    op_types_to_quantize=["Conv", "Add"],
                    nodes_to_exclude=layers,
                    calibrate_method=method,
                    extra_options={"CalibPercentile": PERCENTILE},
                )  # fmt: skip
            yield f"8 bits, {what}, {method.name}", session(target)


def measure(scratch: Path, arch: str) -> None:
    """Print each way's rate beside this pipeline's, and how near its features come."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")  # of the exporter, which is the old one
    torch.set_num_threads(1)
    state, _ = weights.fetch(["random" if arch == "resnet50" else "IMAGENET1K_V1"], arch, 0, [])
    backbone, _ = network.backbone_from(arch, state)
    ready = forward.prepare(backbone, torch.device("cpu"))
    calibration, judged = pictures(scratch, ready.normalization)
    exported, source = scratch / "exported.onnx", scratch / "backbone.onnx"
    torch.onnx.export(
        forward.fold(backbone), (calibration[:BATCH].contiguous(),), exported,
        dynamo=False, opset_version=17, input_names=["input"],
    )  # fmt: skip
    quant_pre_process(exported, source)
    ways: dict[str, Run] = {
        "this pipeline": ready.run,
        "ONNX Runtime, 32 bits": session(source),
        **dict(quantised(source, calibration)),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, run in ways.items():
            best[name] = min(best[name], seconds(lambda run=run: run(judged[:BATCH])))
    exact = torch.cat([ready.run(batch) for batch in judged.split(BATCH)])
    middle = exact.mean(0)
    for name, run in ways.items():
        features = torch.cat([run(batch) for batch in judged.split(BATCH)]).float()
        near = cosine_similarity(exact, features)
        apart = cosine_similarity(exact - middle, features - middle)
        print(
            f"{arch}, {name}: {BATCH / best[name]:.1f} pictures/s on a core, "
            f"{best['this pipeline'] / best[name]:.2f} times; cosine {near.mean():.4f}, at least "
            f"{near.min():.4f}; about the mean picture {apart.mean():.4f}, {apart.min():.4f}",
            flush=True,
        )


def main() -> None:
    """Measure both backbones, or the one named."""
    parser = argparse.ArgumentParser(prog="python -m bench.int8", description=__doc__)
    parser.add_argument("--arch", nargs="*", default=["efficientnet_lite0", "resnet50"])
    for arch in parser.parse_args().arch:
        with tempfile.TemporaryDirectory(prefix="whoswho-bench-") as scratch:
            measure(Path(scratch), arch)


if __name__ == "__main__":
    main()
