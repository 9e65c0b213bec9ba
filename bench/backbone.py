"""`python -m bench.backbone [--rounds 5]`: the backbone's forward pass beside its peers and beside
what the processor could do at most.

Each way runs in a process of its own, on the same weights and pictures, in the precision that the
pipeline takes on this machine; its preparation is timed apart, then all do a round in turn.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bench.rounds import Way, answer, ratios, seconds

PICTURES = 32  # a round
BATCH = 8  # what the pipeline uses; the peers get the same
ROUNDS = 5  # the fastest counts: what else the machine does only ever takes time away
OURS, BOUND = "this pipeline", "matrix products alone"
# Into so many parts the rows of a product are cut where that goes faster: a picture each, or less.
PARTS = (1, 8, 56)

Run = Callable[[], object]
Product = tuple[int, int, int]  # rows, columns and depth


def pictures(count: int) -> Tensor:
    """Pictures of noise: how long a convolution takes does not depend on what it sees."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, 224, 224, generator=generator)


def resnet50() -> nn.Module:
    """A random ResNet-50 without its head."""
    from whoswho.backbone import network

    backbone, _ = network.backbone_from("resnet50", network.random_backbone("resnet50", 0))
    return backbone.eval().requires_grad_(False)


def precision() -> torch.dtype:
    """The one that the pipeline takes here."""
    from whoswho.backbone.compute import device

    return torch.bfloat16 if device.has_bf16(torch.device("cpu")) else torch.float32


def ours(given: Tensor) -> Callable[[], list[Tensor]]:
    """The pipeline's own pass, as the features stage calls it."""
    from whoswho.backbone.compute import forward

    ready = forward.prepare(resnet50(), torch.device("cpu"))

    def run() -> list[Tensor]:
        vectors: list[Tensor] = [torch.empty(0)] * len(given)

        def work(rows: range) -> None:
            features = ready.run(given[rows.start : rows.stop])
            for row, value in zip(rows, features, strict=True):
                vectors[row] = value

        forward.each(forward.chunks(len(given), ready.batch), work, ready.streams)
        return vectors

    return run


def eager(given: Tensor) -> Callable[[], list[Tensor]]:
    """What a plain script does: the network as it is in 32 bits, all cores on one batch."""
    return _in_batches(resnet50(), given)


def channels_last(given: Tensor) -> Callable[[], list[Tensor]]:
    """What a careful script does: the precision and the order of channels that suit it."""
    backbone = resnet50().to(precision()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _in_batches(backbone, _suited(given))


def compiled(given: Tensor) -> Callable[[], list[Tensor]]:
    """torch.compile with its weights frozen in, after the time it takes to compile."""
    import torch._inductor.config as inductor

    inductor.freezing = True
    backbone = resnet50().to(precision()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _in_batches(torch.compile(backbone), _suited(given))


def _suited(given: Tensor) -> Tensor:
    return given.to(precision(), memory_format=torch.channels_last)


def _in_batches(backbone: Callable[[Tensor], Tensor], given: Tensor) -> Callable[[], list[Tensor]]:
    def run() -> list[Tensor]:
        with torch.inference_mode():
            return [row for batch in given.split(32) for row in backbone(batch).float()]

    return run


def openvino(given: Tensor) -> Callable[[], list[Tensor]]:
    """OpenVINO, asynchronous, on the same batches."""
    import openvino as ov

    converted = ov.convert_model(resnet50(), example_input=given[:BATCH])
    converted.reshape([BATCH, 3, 224, 224])
    bits = "bf16" if precision() == torch.bfloat16 else "f32"
    settings = {"INFERENCE_PRECISION_HINT": bits, "PERFORMANCE_HINT": "THROUGHPUT"}
    engine = ov.compile_model(converted, "CPU", settings)

    def run() -> list[Tensor]:
        vectors: list[Tensor] = [torch.empty(0)] * len(given)
        queue = ov.AsyncInferQueue(engine)

        def keep(request: Any, start: int) -> None:
            for row, value in enumerate(torch.from_numpy(request.get_output_tensor().data.copy())):
                vectors[start + row] = value

        queue.set_callback(keep)
        for start in range(0, len(given), BATCH):
            queue.start_async([given[start : start + BATCH].numpy()], start)
        queue.wait_all()
        return vectors

    return run


WAYS: dict[str, Callable[[Tensor], Callable[[], list[Tensor]]]] = {
    OURS: ours,
    "plain torch, 32 bits": eager,
    "torch, channels last": channels_last,
    "torch.compile, frozen": compiled,
    "OpenVINO": openvino,
}


# --- The bound -----------------------------------------------------------------------------------


def products(backbone: nn.Module) -> Counter[Product]:
    """Every convolution for a batch of pictures as a matrix product, and how many there are."""
    counts: Counter[Product] = Counter()

    def note(layer: nn.Module, _: object, maps: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d)
        count, channels, height, width = maps.shape
        depth = layer.in_channels // layer.groups * math.prod(layer.kernel_size)
        counts[count * height * width, channels, depth] += 1

    for layer in backbone.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(note)
    with torch.inference_mode():
        backbone(pictures(BATCH))
    return counts


def bound() -> tuple[Run, int]:
    """The arithmetic of the network and nothing else, and how many pictures' a run of it does.

    As many streams as the pipeline has, each on one core, multiply matrices of the sizes that the
    convolutions have, as often as the network does. Each product goes the way that is fastest:
    torch's or oneDNN's with its weights packed, its rows at once or in parts that stay in the
    core's cache, where the pipeline has other numbers to fetch each time.
    """
    from whoswho.backbone.compute import device as devices
    from whoswho.backbone.compute import forward

    devices.keep_memory()
    streams = torch.get_num_threads()
    torch.set_num_threads(1)
    shapes = list(products(resnet50()).elements())
    fastest = {shape: min(_ways(shape), key=_shortest) for shape in set(shapes)}
    # Each stream has numbers of its own.
    steps = [{shape: way.again() for shape, way in fastest.items()} for _ in range(streams)]
    batches = max(1, PICTURES // BATCH // streams)

    def network(stream: int) -> None:
        with torch.inference_mode():
            for shape in shapes * batches:
                steps[stream][shape].run()

    return partial(forward.each, range(streams), network, streams), streams * batches * BATCH


@dataclass
class _Multiplied:
    """A product in so many parts of its rows, by oneDNN where its weights are packed."""

    given: Tensor
    weights: Tensor
    made: Tensor
    parts: int
    packed: bool

    def again(self) -> _Multiplied:
        return replace(self, given=self.given.clone(), made=self.made.clone())

    def run(self) -> None:
        for _ in range(self.parts):
            if self.packed:
                torch.ops.mkldnn._linear_pointwise(self.given, self.weights, None, "none", [], "")
            else:
                torch.mm(self.given, self.weights.t(), out=self.made)


def _ways(shape: Product) -> Iterator[_Multiplied]:
    rows, columns, depth = shape
    dtype = precision()
    weights = torch.randn(columns, depth).to(dtype)
    for parts in PARTS:
        given = torch.randn(rows // parts, depth).to(dtype)
        made = torch.empty(rows // parts, columns, dtype=dtype)
        packed = torch.ops.mkldnn._reorder_linear_weight(weights, rows // parts)
        yield _Multiplied(given, weights, made, parts, packed=False)
        yield _Multiplied(given, packed, made, parts, packed=True)


def _shortest(way: _Multiplied) -> float:
    """In seconds of processor, of which what else runs takes none away."""
    took = []
    with torch.inference_mode():
        for _ in range(3):
            start = time.thread_time()
            way.run()
            took.append(time.thread_time() - start)
    return min(took)


# --- All of them ---------------------------------------------------------------------------------


def run_way(way: str) -> None:
    """A way's own process: its preparation in seconds, its cosine to 32 bits, then rounds."""
    if way == BOUND:
        run, count = bound()
        run()
        answer({}, run, count)
        return
    given = pictures(PICTURES)
    vectors: list[Tensor] = []

    def prepare() -> Callable[[], list[Tensor]]:
        made = WAYS[way](given)
        vectors.extend(made())  # compiles and allocates
        return made

    ready: list[Callable[[], list[Tensor]]] = []
    prepared = seconds(lambda: ready.append(prepare()))
    again = seconds(ready[0])
    with torch.inference_mode():
        exact = resnet50()(given[:16])
    cosine = nn.functional.cosine_similarity(exact, torch.stack(vectors[:16]).float())
    answer({"prepared": prepared - again, "cosine": cosine.min().item()}, ready[0], PICTURES)


def measure(rounds: int) -> None:
    """Print every way's rate, and this pipeline's beside each peer's and the bound."""
    bits = "bf16" if precision() == torch.bfloat16 else "32 bits"
    print(f"backbone: ResNet-50 in {bits}, {rounds} rounds in turn, the best of each", flush=True)
    with ExitStack() as stack:
        ways: dict[str, Way] = {}
        for name in [*WAYS, BOUND]:
            if name == "OpenVINO" and importlib.util.find_spec("openvino") is None:
                print(
                    f"backbone, {name}: not measured; pip install -c constraints.txt -e '.[bench]'"
                )
                continue
            try:
                ways[name] = stack.enter_context(Way("bench.backbone", "--way", name))
            except RuntimeError as error:
                print(f"{name}: not measured here ({str(error)[:120]})")
        for _ in range(rounds):
            for way in ways.values():
                way.round()
        for name, way in ways.items():
            figures = "".join(f", {key} {value:.5g}" for key, value in way.figures.items())
            print(f"{name}: {way.best:.1f} pictures/s{figures}")
        for name, way in ways.items():
            if name != OURS:
                print(f"{OURS}: {ratios(ways[OURS], way)} the rate of {name}")


def main() -> None:
    """Measure all, or be one of them."""
    parser = argparse.ArgumentParser(prog="python -m bench.backbone", description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        run_way(options.way)
    else:
        measure(options.rounds)


if __name__ == "__main__":
    main()
