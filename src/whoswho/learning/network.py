"""The network: a torchvision ResNet as trunk, and a small head that tells the labels apart."""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from whoswho.errors import UserError

if TYPE_CHECKING:
    from torchvision.models import ResNet

# torchvision is imported where a trunk is built: a head that learns from stored features needs
# none, and importing it costs as long as importing torch.

State = dict[str, Tensor]
Unfreeze = int | str  # 0: frozen | 1..4: that layer and the ones above learn | "all"

_LAYERS = ("layer1", "layer2", "layer3", "layer4")
_STEM = ("conv1", "bn1")


@dataclass(frozen=True)
class HeadShape:
    """What the head looks like; stored in the model."""

    widths: tuple[int, ...]  # of the hidden layers
    dropout: float  # before the last layer
    standardize: bool  # begin by scaling features by their training mean and deviation

    def to_json(self) -> dict[str, Any]:
        """The shape as model.json holds it."""
        return {**asdict(self), "widths": list(self.widths)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> HeadShape:
        """The shape model.json holds."""
        return cls(tuple(value["widths"]), float(value["dropout"]), bool(value["standardize"]))


class Standardize(nn.Module):
    """Features minus their training mean, divided by their training deviation.

    An untrained trunk gives features far from zero (mean 18, deviation 19 was measured), on which
    the blog's head hardly learns in three epochs.
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


class StillBatchNorm(nn.BatchNorm2d):
    """The batch norm of a frozen block: its statistics are weights, so no train() wakes it."""

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whoever asks and from however far above."""
        return super().train(False)


class Network(nn.Module):
    """Pictures (batch, 3, size, size) in, one logit a label (batch, labels) out."""

    def __init__(self, arch: str, trunk: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.arch = arch
        self.trunk = trunk
        self.head = head

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits of prepared pictures."""
        logits: Tensor = self.head(self.trunk(pictures))
        return logits

    def freeze(self, unfreeze: Unfreeze) -> None:
        """Let the head and the trunk's blocks from `unfreeze` up learn; hold all others still.

        Held means every tensor, the running statistics of batch norms included.
        """
        learning = learning_blocks(unfreeze)
        for name, block in self.trunk.named_children():
            block.requires_grad_(name in learning)
            for module in block.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.__class__ = nn.BatchNorm2d if name in learning else StillBatchNorm
        self.train(self.training)

    def frozen_names(self) -> set[str]:
        """The names, in the state, of all tensors that `freeze` holds still."""
        return {
            f"trunk.{name}.{key}"
            for name, block in self.trunk.named_children()
            if not any(parameter.requires_grad for parameter in block.parameters())
            for key in block.state_dict()
        }


def learning_blocks(unfreeze: Unfreeze) -> tuple[str, ...]:
    """The trunk's blocks that learn: 0 none, 3 layer3 and layer4, all every one with the stem."""
    if unfreeze == "all":
        return (*_STEM, *_LAYERS)
    return _LAYERS[int(unfreeze) - 1 :] if unfreeze else ()


def architectures() -> tuple[str, ...]:
    """The names of torchvision's ResNets."""
    from torchvision import models

    names = models.list_models(module=models)
    home = models.resnet.__name__
    return tuple(name for name in names if models.get_model_builder(name).__module__ == home)


def check_arch(arch: str) -> None:
    """Raise UserError where torchvision has no ResNet of this name."""
    known = architectures()
    if arch not in known:
        near = difflib.get_close_matches(arch, known, 3, 0.4) or known
        raise UserError(
            f"backbone.arch: {arch!r} is not a ResNet of torchvision; nearest: {', '.join(near)}"
        )


def trunk_outline(arch: str) -> tuple[State, int]:
    """The trunk's tensors without their memory, in the network's order, and its feature width."""
    net, width = _without_memory(arch)
    return dict(net.state_dict()), width


def trunk_from(arch: str, state: State) -> tuple[nn.Module, int]:
    """A trunk holding the tensors of `state` itself (not copies), and its feature width."""
    net, width = _without_memory(arch)
    net.load_state_dict(state, assign=True)
    return net, width


def random_trunk(arch: str, seed: int) -> State:
    """A trunk's state as torchvision draws it (Kaiming), the same bytes for the same seed."""
    from torchvision import models

    check_arch(arch)
    with seeded(seed):
        net = models.get_model(arch, weights=None)
    return {name: value for name, value in net.state_dict().items() if not name.startswith("fc.")}


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


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from a generator of one's own: the block neither sees nor moves the global one."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def _without_memory(arch: str) -> tuple[ResNet, int]:
    from torchvision import models

    check_arch(arch)
    with torch.device("meta"):
        net: ResNet = models.get_model(arch, weights=None)
    width = net.fc.in_features
    net.fc = nn.Identity()
    return net, width
