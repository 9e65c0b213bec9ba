"""A backbone, and a small head that tells the labels apart."""

from __future__ import annotations

from collections import OrderedDict
from typing import Self

import torch
from torch import Tensor, nn

from whoswho.artifacts.model.description import HeadShape
from whoswho.backbone.network import architectures
from whoswho.backbone.network.parts import FrozenBatchNorm
from whoswho.backbone.network.parts import State as State
from whoswho.backbone.network.seeds import seeded
from whoswho.errors import UserError, one_line

Unfreeze = int | str  # 0: frozen | 1..4: from that block up | "all"
Block = list[tuple[str, nn.Module]]  # modules of the backbone, by their names in it

BLOCKS = 4  # what `unfreeze` can name; below them lies the stem
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)


class Standardize(nn.Module):
    """Features minus their training mean, divided by their training deviation.

    An untrained backbone gives features far from zero (mean 18, deviation 19 was measured), on
    which the blog's head hardly learns in three epochs.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    def forward(self, features: Tensor) -> Tensor:
        """Scale features (batch, width)."""
        return (features - self.mean) / self.deviation


class Network(nn.Module):
    """Pictures (batch, 3, size, size) in, one logit a label (batch, labels) out."""

    def __init__(self, arch: str, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.arch = arch
        self.backbone = backbone
        self.head = head
        self._frozen: set[nn.Module] = set()

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits of prepared pictures."""
        logits: Tensor = self.head(self.backbone(pictures))
        return logits

    def freeze(self, unfreeze: Unfreeze) -> None:
        """Let the head and the backbone's blocks from `unfreeze` up learn; freeze all others.

        Frozen is every tensor, the running statistics of batch norms included, and nothing is
        drawn by chance: a frozen block stays in evaluation mode.
        """
        blocks = trainable_blocks(self.backbone, unfreeze)
        parts = [part for block in blocks for _, part in block]
        if unfreeze == "all":
            parts = [self.backbone]
        self._frozen = set(self.backbone.modules()).difference(*(p.modules() for p in parts))
        self.backbone.requires_grad_(False)
        for part in parts:
            part.requires_grad_(True)
        for module in self.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                frozen = module in self._frozen
                module.__class__ = FrozenBatchNorm if frozen else nn.BatchNorm2d
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode for all but what is frozen."""
        super().train(mode)
        for module in self._frozen:
            module.training = False
        return self

    def frozen_names(self) -> set[str]:
        """The names, in the state, of all frozen tensors."""
        return {
            f"backbone.{name}"
            for name in self.backbone.state_dict()
            if self.backbone.get_submodule(name.rpartition(".")[0]) in self._frozen
        }


def trainable_blocks(backbone: nn.Module, unfreeze: Unfreeze) -> list[Block]:
    """The blocks that learn, from the lowest up: 0 none, 3 the upper two, all every part."""
    if unfreeze == 0:
        return []
    blocks = _blocks(backbone)
    return blocks if unfreeze == "all" else blocks[-BLOCKS:][int(unfreeze) - 1 :]


def _blocks(backbone: nn.Module) -> list[Block]:
    """The backbone's parts that have parameters, from the stem up; the last four are the blocks.

    Of a ResNet these are its stem and layer1 to layer4. Where a backbone has fewer parts than
    that, the largest is opened until it has; a norm belongs to the part before it.
    """
    parts = _parts("", backbone)
    while len(_with_norms(parts)) <= BLOCKS:
        sizes = [
            (sum(p.numel() for p in part.parameters()), index)
            for index, (name, part) in enumerate(parts)
            if _parts(name, part)
        ]
        if not sizes:
            break
        _, largest = max(sizes)
        name, part = parts[largest]
        parts[largest : largest + 1] = _parts(f"{name}.", part)
    return _with_norms(parts)


def _parts(prefix: str, module: nn.Module) -> Block:
    """The children of a module that have parameters."""
    return [
        (f"{prefix}{name}", child)
        for name, child in module.named_children()
        if next(child.parameters(), None) is not None
    ]


def _with_norms(parts: Block) -> list[Block]:
    """Each part with the norms that follow it."""
    blocks: list[Block] = []
    for name, part in parts:
        owners = [m for m in part.modules() if next(m.parameters(recurse=False), None) is not None]
        if blocks and all(isinstance(owner, _NORMS) for owner in owners):
            blocks[-1].append((name, part))
        else:
            blocks.append([(name, part)])
    return blocks


def check_size(arch: str, size: int) -> None:
    """Raise UserError where the backbone cannot take pictures of `size` pixels a side."""
    if arch in architectures.RESNETS:
        return  # any size fits
    backbone, _ = architectures.on_meta(arch)
    if not learns(backbone):
        return  # it looks for the face, whatever the picture's size
    try:
        with torch.inference_mode():
            backbone.eval()(torch.empty(1, 3, size, size, device="meta"))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UserError(
            f"picture.size: {size} does not fit {arch} ({one_line(error, 100)}); set picture.size "
            "to 224, or take a backbone.arch that any size fits, such as resnet50"
        ) from None


def learns(backbone: nn.Module) -> bool:
    """Whether training could change anything in it."""
    return next(backbone.parameters(), None) is not None


def backbone_from(arch: str, state: State) -> tuple[nn.Module, int]:
    """A backbone holding the tensors of `state` itself (not copies), and its feature width."""
    net, width = architectures.on_meta(arch)
    net.load_state_dict(state, assign=True)
    return net, width


def random_backbone(arch: str, seed: int) -> State:
    """A backbone's state as its library draws it, the same bytes for the same seed."""
    with seeded(seed):
        backbone, _ = architectures.headless(arch)
    return dict(backbone.state_dict())


def build_head(width: int, labels: int, shape: HeadShape, seed: int = 0) -> nn.Sequential:
    """The head: [standardize], a Linear and ReLU for each hidden width, [dropout], Linear."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if shape.standardize:
        layers["standardize"] = Standardize(width)
    with seeded(seed):
        for number, hidden in enumerate(shape.widths, start=1):
            layers[f"hidden{number}"] = nn.Linear(width, hidden)
            layers[f"relu{number}"] = nn.ReLU()
            width = hidden
        if shape.dropout:
            layers["dropout"] = nn.Dropout(shape.dropout)
        layers["labels"] = nn.Linear(width, labels)
    return nn.Sequential(layers)
