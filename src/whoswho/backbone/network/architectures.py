"""Which architectures a backbone may have: torchvision's classifiers, and a few others.

torchvision and timm are imported where one of their networks is built: importing torchvision takes
longer than importing torch, and a ResNet is built without it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from whoswho.arches import DLIB, INCEPTION, LITE0
from whoswho.artifacts.model.settings import IMAGENET, Normalization
from whoswho.backbone.network import dlib_resnet29, inception, lite0, resnet
from whoswho.backbone.network.parts import State
from whoswho.errors import UserError

Built = TypeVar("Built")

RESNETS = resnet.SHAPES  # torchvision's too, built without it
_CLASSES = 1000  # what torchvision's classifiers tell apart
# Heads that two old architectures carry for training alone.
_SIDE_HEADS = ("AuxLogits", "aux1", "aux2")
OTHERS = {LITE0: lite0.NETWORK, DLIB: dlib_resnet29.NETWORK, INCEPTION: inception.NETWORK}


def architectures() -> tuple[str, ...]:
    """The names of torchvision's classifiers and of the others."""
    from torchvision import models

    return *OTHERS, *models.list_models(module=models)


def check_arch(arch: str) -> None:
    """Raise UserError where there is no architecture of this name."""
    if arch in OTHERS or arch in RESNETS:
        return
    names = architectures()
    if arch not in names:
        near = difflib.get_close_matches(arch, names, 3, 0.4) or ("resnet50",)
        raise UserError(
            f"backbone.arch: {arch!r} is not a classifier of torchvision, nor one of "
            f"{', '.join(OTHERS)}; nearest: {', '.join(near)}"
        )


def normalization(backbone: nn.Module) -> Normalization:
    """How the backbone's pictures become numbers; torchvision's where it says nothing."""
    own: Normalization = getattr(backbone, "normalization", IMAGENET)
    return own


def headless(arch: str) -> tuple[nn.Module, int]:
    """A new network without its head, as torch draws it, and the width of what it gives."""
    check_arch(arch)
    if other := OTHERS.get(arch):
        net = other.build()
        net.normalization = other.normalization  # type: ignore[assignment]
        return net, other.width
    net = _classifier(arch)
    name, head = _head_of(arch, net)
    parent, _, own = name.rpartition(".")
    setattr(net.get_submodule(parent), own, nn.Identity())
    return net, head.in_features


def on_meta(arch: str) -> tuple[nn.Module, int]:
    """`headless` without memory for its tensors."""
    net, width = _light(headless, arch)
    return net.to("meta"), width


def renamed(arch: str, state: State) -> State:
    """The tensors of a weights file under the names of the network."""
    return OTHERS[arch].renamed(state) if arch in OTHERS else state


def head_names(arch: str) -> tuple[str, ...]:
    """The starts of the names of heads among the tensors of a weights file."""
    if arch in OTHERS:
        return OTHERS[arch].heads
    name, _ = _head_of(arch, _light(_classifier, arch))
    return (f"{name}.", *(f"{side}." for side in _SIDE_HEADS))


def _light(build: Callable[[str], Built], arch: str) -> Built:
    """What `build` makes of an architecture, without memory for its tensors where that can be.

    A few networks compute with tensors while they are built: these are built with them.
    """
    try:
        with torch.device("meta"):
            return build(arch)
    except NotImplementedError:
        return build(arch)


def _classifier(arch: str) -> nn.Module:
    if arch in RESNETS:
        return resnet.ResNet(RESNETS[arch], _CLASSES)
    from torchvision import models

    # Two old networks warn that their drawing is slow; it is the one their papers state.
    extra = {"init_weights": True} if arch in ("googlenet", "inception_v3") else {}
    net: nn.Module = models.get_model(arch, weights=None, **extra)
    for side in _SIDE_HEADS:
        if hasattr(net, side):
            setattr(net, side, None)
            net.aux_logits = False  # type: ignore[assignment]
    return net


def _head_of(arch: str, net: nn.Module) -> tuple[str, nn.Linear]:
    """The last linear layer, which gives a number a class."""
    heads = [
        (name, module)
        for name, module in net.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == _CLASSES
    ]
    if not heads:
        raise UserError(
            f"backbone.arch: {arch} has no linear layer as its head that could be replaced; take "
            "another, such as resnet50"
        )
    return heads[-1]
