"""ResNets as torchvision defines them, without importing it: that costs more than importing torch.

Names and order of the tensors, and how they are drawn, are torchvision's, so that its weights fit
and a seed gives the same bytes; `tests/test_network.py` compares the two. Sources: He et al. 2015
(arXiv:1512.03385), with the stride on the 3x3 convolution; Xie et al. 2016 (arXiv:1611.05431);
Zagoruyko and Komodakis 2016 (arXiv:1605.07146).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

_STEM = 64  # channels
_CHANNELS = (64, 128, 256, 512)  # of the four layers' blocks


@dataclass(frozen=True)
class Shape:
    """What one ResNet looks like.

    Attributes:
        blocks: of each of the four layers.
        expansion: how many times a block's channels it gives: 1 of two 3x3 convolutions, 4 of a
            3x3 between two 1x1.
        groups: of the 3x3 convolution; `width`: its channels a group, in the first layer.
    """

    blocks: tuple[int, int, int, int]
    expansion: int = 4
    groups: int = 1
    width: int = 64


SHAPES = {
    "resnet18": Shape((2, 2, 2, 2), expansion=1),
    "resnet34": Shape((3, 4, 6, 3), expansion=1),
    "resnet50": Shape((3, 4, 6, 3)),
    "resnet101": Shape((3, 4, 23, 3)),
    "resnet152": Shape((3, 8, 36, 3)),
    "resnext50_32x4d": Shape((3, 4, 6, 3), groups=32, width=4),
    "resnext101_32x8d": Shape((3, 4, 23, 3), groups=32, width=8),
    "resnext101_64x4d": Shape((3, 4, 23, 3), groups=64, width=4),
    "wide_resnet50_2": Shape((3, 4, 6, 3), width=128),
    "wide_resnet101_2": Shape((3, 4, 23, 3), width=128),
}


class Block(nn.Module):
    """Two or three convolutions around which their input passes to be added."""

    def __init__(
        self, given: int, channels: int, shape: Shape, stride: int, downsample: nn.Module | None
    ) -> None:
        super().__init__()
        self.three = shape.expansion > 1
        if self.three:
            inner = channels * shape.width // 64 * shape.groups
            self.conv1 = nn.Conv2d(given, inner, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(inner)
            self.conv2 = _conv3x3(inner, inner, stride, shape.groups)
            self.bn2 = nn.BatchNorm2d(inner)
            self.conv3 = nn.Conv2d(inner, channels * shape.expansion, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(channels * shape.expansion)
            self.relu = nn.ReLU(inplace=True)
        else:
            self.conv1 = _conv3x3(given, channels, stride)
            self.bn1 = nn.BatchNorm2d(channels)
            self.relu = nn.ReLU(inplace=True)
            self.conv2 = _conv3x3(channels, channels)
            self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, channels, height, width)."""
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.three:
            out = self.bn3(self.conv3(self.relu(out)))
        out += x if self.downsample is None else self.downsample(x)
        added: Tensor = self.relu(out)
        return added


class ResNet(nn.Module):
    """A ResNet that tells `classes` apart."""

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, _STEM, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        given = _STEM
        for number, channels in enumerate(_CHANNELS, start=1):
            self.add_module(f"layer{number}", _layer(given, number, channels, shape))
            given = channels * shape.expansion
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(given, classes)
        for module in self.modules():
            # Without memory there is nothing to draw, and torch would import its compiler for it.
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, classes) of pictures (batch, 3, height, width)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for number in range(1, len(_CHANNELS) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


def _layer(given: int, number: int, channels: int, shape: Shape) -> nn.Sequential:
    """The blocks of a layer; the first of all but the first layer halves height and width."""
    stride, wide = 1 if number == 1 else 2, channels * shape.expansion
    downsample = None
    if stride > 1 or given != wide:
        convolution = nn.Conv2d(given, wide, 1, stride=stride, bias=False)
        downsample = nn.Sequential(convolution, nn.BatchNorm2d(wide))
    blocks = [Block(given, channels, shape, stride, downsample)]
    blocks += [Block(wide, channels, shape, 1, None) for _ in range(1, shape.blocks[number - 1])]
    return nn.Sequential(*blocks)


def _conv3x3(given: int, channels: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(given, channels, 3, stride=stride, padding=1, groups=groups, bias=False)
