"""A ResNet's forward pass in oneDNN's own operations.

The ReLU after a convolution, and the sum at the end of a block, happen inside the convolution
while its result is still in the core's cache, and the weights are packed once into the order that
oneDNN reads. These are the operations that torch.compile ends in, without the compiling.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from whoswho.backbone.network.resnet import ResNet

NAMES = ("_convolution_pointwise", "_convolution_pointwise_", "_reorder_convolution_weight")


def is_available(backbone: nn.Module) -> bool:
    """Whether torch has the operations, and `backbone` is a network they suffice for."""
    has_onednn: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    has_operations = has_onednn and all(hasattr(torch.ops.mkldnn, name) for name in NAMES)
    return has_operations and isinstance(backbone, ResNet)


class FusedResNet:
    """A folded ResNet (see `forward.fold`), ready to run on the processor in many threads.

    Its weights are packed when it sees its first pictures: how depends on their size.
    """

    def __init__(self, folded: nn.Module, dtype: torch.dtype) -> None:
        self._folded = folded
        self._dtype = dtype
        self._packed: dict[torch.Size, _Packed] = {}
        self._lock = threading.Lock()

    def __call__(self, pictures: Tensor) -> Tensor:
        """Pictures (batch, 3, height, width) to features (batch, width), 32-bit."""
        with torch.inference_mode():
            x = pictures.to(dtype=self._dtype, memory_format=torch.channels_last)
            return self._for(x).run(x).float()

    def _for(self, x: Tensor) -> _Packed:
        size = x.shape[2:]
        with self._lock:
            if size not in self._packed:
                self._packed[size] = _Packed(self._folded, x)
            return self._packed[size]


@dataclass(frozen=True)
class _Convolution:
    """A convolution with bias, its weights packed for inputs of one size."""

    weight: Tensor
    bias: Tensor | None
    geometry: tuple[list[int], list[int], list[int], int]  # padding, stride, dilation, groups

    @classmethod
    def pack(cls, layer: nn.Conv2d, x: Tensor) -> _Convolution:
        """The layer for inputs like `x`, in its precision."""
        assert not isinstance(layer.padding, str)
        geometry = list(layer.padding), list(layer.stride), list(layer.dilation), layer.groups
        weight = torch.ops.mkldnn._reorder_convolution_weight(
            layer.weight.detach().to(x.dtype), *geometry, list(x.shape)
        )
        bias = None if layer.bias is None else layer.bias.detach().to(x.dtype)
        return cls(weight, bias, geometry)

    def __call__(self, x: Tensor, then: str = "relu") -> Tensor:
        """The convolution of `x`, then "relu" or "none"."""
        maps: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, self.weight, self.bias, *self.geometry, then, [], ""
        )
        return maps

    def onto(self, other: Tensor, x: Tensor) -> Tensor:
        """The ReLU of `other` + the convolution of `x`, written over `other`."""
        maps: Tensor = torch.ops.mkldnn._convolution_pointwise_.binary(
            other, x, self.weight, self.bias, *self.geometry, "add", 1.0, "relu", [], ""
        )
        return maps


class _Packed:
    """The network for pictures of one size."""

    def __init__(self, folded: nn.Module, x: Tensor) -> None:
        """Pack every convolution, following one batch through the network to know its inputs."""
        self.stem = _Convolution.pack(folded.get_submodule("conv1"), x)  # type: ignore[arg-type]
        self.pool = folded.get_submodule("maxpool")
        self.blocks: list[tuple[list[_Convolution], _Convolution | None]] = []
        x = self.pool(self.stem(x))
        for layer in ("layer1", "layer2", "layer3", "layer4"):
            for block in folded.get_submodule(layer).children():
                x = self._add(block, x)

    def run(self, x: Tensor) -> Tensor:
        """Channels-last pictures to features."""
        x = self.pool(self.stem(x))
        for steps, shortcut in self.blocks:
            other = x if shortcut is None else shortcut(x, "none")
            for step in steps[:-1]:
                x = step(x)
            x = steps[-1].onto(other, x)
        return x.mean((2, 3))

    def _add(self, block: nn.Module, x: Tensor) -> Tensor:
        """Pack a block for inputs like `x`; what it gives of them."""
        layers = [part for name, part in block.named_children() if name.startswith("conv")]
        shortcut = None
        if block.downsample is not None:
            down = block.get_submodule("downsample.0")
            shortcut = _Convolution.pack(down, x)  # type: ignore[arg-type]
        other = x if shortcut is None else shortcut(x, "none")
        steps = []
        for layer in layers:
            steps.append(_Convolution.pack(layer, x))  # type: ignore[arg-type]
            x = steps[-1].onto(other, x) if layer is layers[-1] else steps[-1](x)
        self.blocks.append((steps, shortcut))
        return x
