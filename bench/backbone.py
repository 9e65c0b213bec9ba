"""The backbone's forward pass beside its peers and beside what the processor could do at most.

Each way runs in a process of its own, on the same weights and pictures, its preparation timed
apart: `python -m bench.backbone` runs and compares them all.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

GMAC = 4.09  # multiply-accumulates of a ResNet-50 a picture of 224 x 224, in 10^9
PICTURES = 256
BATCH = 8  # what the pipeline uses; the peers get the same
ROUNDS = 3  # the fastest counts: what else the machine does only ever takes time away

Run = Callable[[Tensor], Any]


def pictures(count: int) -> Tensor:
    """Pictures of noise: how long a convolution takes does not depend on what it sees."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, 224, 224, generator=generator)


def resnet50() -> nn.Module:
    """A random ResNet-50 without its head."""
    from whoswho.backbone import network

    backbone, _ = network.backbone_from("resnet50", network.random_backbone("resnet50", 0))
    return backbone.eval().requires_grad_(False)


def ours(given: Tensor) -> Callable[[], list[Tensor]]:
    """The pipeline's own pass, as the features stage calls it."""
    from whoswho.backbone.compute import forward

    ready = forward.prepare(resnet50(), torch.device("cpu"))

    def run() -> list[Tensor]:
        found: list[Tensor] = [torch.empty(0)] * len(given)

        def work(rows: range) -> None:
            features = ready.run(given[rows.start : rows.stop])
            for row, value in zip(rows, features, strict=True):
                found[row] = value

        forward.each(forward.chunks(len(given), ready.batch), work, ready.streams)
        return found

    return run


def eager(given: Tensor, dtype: torch.dtype) -> Callable[[], list[Tensor]]:
    """What a plain script does: the network as it is, all cores on one batch."""
    backbone = resnet50().to(dtype)
    if dtype == torch.bfloat16:
        backbone = backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def run() -> list[Tensor]:
        with torch.inference_mode():
            return [
                row
                for batch in given.split(32)
                for row in backbone(
                    batch.to(dtype).contiguous(
                        memory_format=torch.channels_last
                        if dtype == torch.bfloat16
                        else torch.contiguous_format
                    )
                ).float()
            ]

    return run


def compiled(given: Tensor) -> Callable[[], list[Tensor]]:
    """torch.compile with its weights frozen in, after the time it takes to compile."""
    import torch._inductor.config as inductor

    inductor.freezing = True
    backbone = resnet50().to(torch.bfloat16).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimized = torch.compile(backbone)

    def run() -> list[Tensor]:
        with torch.inference_mode():
            return [
                row
                for batch in given.split(32)
                for row in optimized(
                    batch.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
                ).float()
            ]

    return run


def openvino(given: Tensor) -> Callable[[], list[Tensor]]:
    """OpenVINO in bf16, asynchronous, on the same batches."""
    import openvino as ov

    converted = ov.convert_model(resnet50(), example_input=given[:BATCH])
    converted.reshape([BATCH, 3, 224, 224])
    engine = ov.compile_model(
        converted,
        "CPU",
        {"INFERENCE_PRECISION_HINT": "bf16", "PERFORMANCE_HINT": "THROUGHPUT"},
    )

    def run() -> list[Tensor]:
        found: list[Tensor] = [torch.empty(0)] * len(given)
        queue = ov.AsyncInferQueue(engine)

        def keep(request: Any, start: int) -> None:
            for row, value in enumerate(torch.from_numpy(request.get_output_tensor().data.copy())):
                found[start + row] = value

        queue.set_callback(keep)
        for start in range(0, len(given), BATCH):
            queue.start_async([given[start : start + BATCH].numpy()], start)
        queue.wait_all()
        return found

    return run


WAYS: dict[str, Callable[[Tensor], Callable[[], list[Tensor]]]] = {
    "eager fp32": lambda given: eager(given, torch.float32),
    "eager bf16, channels last": lambda given: eager(given, torch.bfloat16),
    "torch.compile, frozen, bf16": compiled,
    "OpenVINO bf16": openvino,
    "this pipeline": ours,
}


def bound() -> float:
    """Pictures a second if a ResNet-50 were bf16 matrix products of the size that goes best."""

    def rate(size: int) -> float:
        a, b = (torch.randn(size, size).to(torch.bfloat16) for _ in range(2))
        return size**3 / min(_seconds(lambda: a @ b) for _ in range(6))

    return max(map(rate, (1024, 2048, 4096))) / (GMAC * 1e9)


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def one(way: str, count: int) -> dict[str, float]:
    """Preparation in seconds, pictures a second, and the cosine to fp32 features."""
    given = pictures(count)
    start = time.perf_counter()
    run = WAYS[way](given)
    first = run()  # compiles and allocates
    prepared = time.perf_counter() - start
    fastest = min(_seconds(run) for _ in range(ROUNDS))
    with torch.inference_mode():
        exact = resnet50()(given[:16])
    cosine = nn.functional.cosine_similarity(exact, torch.stack(first[:16]).float())
    return {
        "prepared": prepared - fastest,
        "rate": count / fastest,
        "cosine": cosine.min().item(),
    }


def measure(count: int) -> None:
    """Print every way's rate, and this pipeline's beside the fastest peer and the bound."""
    found: dict[str, dict[str, float]] = {}
    for way in WAYS:
        if way.startswith("OpenVINO") and importlib.util.find_spec("openvino") is None:
            print(f"backbone, {way}: not measured; pip install -c constraints.txt -e '.[bench]'")
            continue
        done = subprocess.run(
            [sys.executable, "-m", "bench.backbone", way, str(count)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no word"])[-1]
            print(f"backbone, {way}: not measured here ({last[:120]})")
            continue
        found[way] = json.loads(done.stdout.splitlines()[-1])
        print(
            f"backbone, {way}: {found[way]['rate']:.1f} pictures a second after "
            f"{found[way]['prepared']:.1f} s, cosine to fp32 {found[way]['cosine']:.5f}"
        )
    most = bound()
    mine = found["this pipeline"]["rate"]
    print(
        f"backbone, this pipeline: {mine / most:.2f} of the arithmetic bound ({most:.0f} a second)"
    )
    for way in [way for way in found if way != "this pipeline"]:
        print(f"backbone, this pipeline: {mine / found[way]['rate']:.2f} times the rate of {way}")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(one(sys.argv[1], int(sys.argv[2]))))
    else:
        measure(PICTURES)
