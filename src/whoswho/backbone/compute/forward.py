"""The forward pass of a backbone that does not learn, as fast as the machine at hand can run it.

The way is chosen by what the processor and the backbone are, never by timing and never by the
number of pictures, so that the same machine gives the same bytes each time:

- a ResNet on a processor with oneDNN: each convolution folded with its batch norm and fused with
  what follows it (see `fused`), one single-threaded stream a core over batches of eight, which
  keeps a batch in the core's own cache;
- everything else: folded, channels last, as torch runs it.

In 16-bit brain floats where the processor or GPU has them, else in 32 bits. torch.compile is
never used: it is no faster than the first way once compiled (`python -m bench.backbone` prints all
of them), and the compiling would come on top, whatever the size of the work. What a batch gives
depends on nothing but the batch, so the number of streams changes the time and not the features.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from whoswho.artifacts.model.settings import Normalization
from whoswho.backbone.compute import device as devices
from whoswho.backbone.compute import fused
from whoswho.backbone.network.architectures import normalization
from whoswho.backbone.network.dlib_resnet29 import FaceEmbedding
from whoswho.backbone.network.parts import NormThenActivation

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Pass:
    """A backbone's forward pass."""

    run: Callable[[Tensor], Tensor]  # (batch, 3, size, size) to (batch, width), fp32 on the CPU
    batch: int  # pictures that `run` is fastest with
    streams: int  # threads that should call `run` at once
    precision: str  # bf16 or fp32
    normalization: Normalization  # of the pictures that `run` takes


def prepare(backbone: nn.Module, device: torch.device) -> Pass:
    """The fastest pass of a copy of `backbone` on `device`.

    dlib's, which is none of torch's, runs as it is: in processes, in batches for all of them.
    """
    if isinstance(backbone, FaceEmbedding):
        return Pass(backbone, 64, 1, "fp32", normalization(backbone))
    folded = fold(backbone)
    name, dtype = ("bf16", torch.bfloat16) if devices.has_bf16(device) else ("fp32", torch.float32)
    if device.type != "cpu":
        return Pass(_eager(folded, device, dtype), 64, 1, name, normalization(folded))
    devices.keep_memory()
    ours = fused.is_available(backbone)
    run = fused.FusedResNet(folded, dtype) if ours else _eager(folded, device, dtype)
    return Pass(run, 8, torch.get_num_threads(), name, normalization(folded))


def fold(backbone: nn.Module) -> nn.Module:
    """A copy in evaluation mode with each batch norm folded into the convolution before it."""
    copied = copy.deepcopy(backbone).eval().requires_grad_(False)
    for parent in list(copied.modules()):
        before: tuple[str, nn.Module] | None = None
        for name, child in list(parent.named_children()):
            # Of a norm with its activation the activation stays.
            norm, *rest = child if isinstance(child, NormThenActivation) else [child]
            if before and isinstance(before[1], nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, before[0], fuse_conv_bn_eval(before[1], norm))
                setattr(parent, name, nn.Sequential(*rest) if rest else nn.Identity())
            before = (name, child)
    return copied.requires_grad_(False)


def each(batches: Iterable[Batch], work: Callable[[Batch], None], streams: int) -> None:
    """Call `work` for every batch, `streams` at a time, each of them on one core.

    Batches are drawn one by one, so that no list of them is ever held.
    """
    if streams == 1:
        for batch in batches:
            work(batch)
        return
    source, lock, failed = iter(batches), threading.Lock(), threading.Event()

    def drain() -> None:
        torch.set_num_threads(1)
        while not failed.is_set():
            with lock:
                batch = next(source, None)
            if batch is None:
                return
            try:
                work(batch)
            except BaseException:
                failed.set()
                raise

    with devices.one_thread(), ThreadPoolExecutor(streams) as pool:
        for future in [pool.submit(drain) for _ in range(streams)]:
            try:
                future.result()
            except BaseException:
                failed.set()
                raise


def chunks(rows: int, size: int) -> Iterator[range]:
    """The numbers below `rows` in ranges of at most `size`."""
    for start in range(0, rows, size):
        yield range(start, min(start + size, rows))


def _eager(
    folded: nn.Module, device: torch.device, dtype: torch.dtype
) -> Callable[[Tensor], Tensor]:
    network = folded.to(device, dtype).to(memory_format=torch.channels_last)

    def run(pictures: Tensor) -> Tensor:
        with torch.inference_mode():
            x = pictures.to(device).to(dtype, memory_format=torch.channels_last)
            features: Tensor = network(x)
            return features.float().cpu()

    return run
