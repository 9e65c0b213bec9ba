"""The network: any ResNet by name, the blog's head, and freezing that holds (field report C1)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision import models

from whoswho.artifacts.model.description import HeadShape
from whoswho.backbone import network
from whoswho.backbone.compute import forward
from whoswho.backbone.network import Network, Unfreeze, resnet
from whoswho.backbone.network.architectures import architectures, head_names, headless, on_meta
from whoswho.backbone.network.seeds import seeded
from whoswho.errors import UserError

ARCH = "resnet18"
UNFREEZE: tuple[Unfreeze, ...] = (0, 1, 2, 3, 4, "all")
BLOG = HeadShape((128,), 0.0, standardize=False)


@pytest.mark.parametrize("arch", ["resnet18", "regnet_x_400mf"])
def test_a_network_without_memory_is_the_same_network(arch: str) -> None:
    """torchvision's RegNets compute with tensors while they are built, which "meta" refuses."""
    (light, width), (whole, own) = on_meta(arch), headless(arch)
    assert all(tensor.is_meta for tensor in light.state_dict().values())
    shapes = [{name: t.shape for name, t in net.state_dict().items()} for net in (light, whole)]
    assert shapes[0] == shapes[1]
    assert width == own
    assert head_names(arch)[0] == "fc."


@pytest.mark.parametrize("arch", resnet.SHAPES)
def test_a_resnet_is_torchvisions_without_its_import(arch: str) -> None:
    """Its tensors in their order, drawn alike for a seed, and the same answer; its blocks too."""
    with torch.device("meta"):
        ours, theirs = resnet.ResNet(resnet.SHAPES[arch], 1000), models.get_model(arch)
    tensors = [[(k, t.shape, t.dtype) for k, t in n.state_dict().items()] for n in (ours, theirs)]
    assert tensors[0] == tensors[1]
    assert [name for name, _ in ours.named_modules()] == [
        name for name, _ in theirs.named_modules()
    ]
    if arch not in ("resnet18", "resnext50_32x4d"):  # blocks of two, of three
        return
    with seeded(3):
        ours = resnet.ResNet(resnet.SHAPES[arch], 1000)
    with seeded(3):
        theirs = models.get_model(arch)
    state = theirs.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in ours.state_dict().items())
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for mode in (True, False):
        with torch.inference_mode():
            assert torch.equal(ours.train(mode)(pictures), theirs.train(mode)(pictures))


def small_network(labels: int = 3, shape: HeadShape = BLOG) -> Network:
    backbone, width = network.backbone_from(ARCH, network.random_backbone(ARCH, 0))
    return Network(ARCH, backbone, network.build_head(width, labels, shape))


def test_the_architectures_are_torchvisions_classifiers() -> None:
    names = set(architectures())
    assert {"resnet18", "resnet152", "resnext50_32x4d", "wide_resnet50_2"} <= names
    assert {"vgg16", "vit_b_16", "densenet121", "efficientnet_b0"} <= names
    assert not {"fcn_resnet50", "raft_small"} & names


@pytest.mark.parametrize("arch", ["resnet-50", "wgg16", "Resnet50"])
def test_an_unknown_architecture_is_an_error_with_names(arch: str) -> None:
    with pytest.raises(UserError, match=r"nearest: .*(resn|vgg)"):
        on_meta(arch)


@pytest.mark.parametrize(("arch", "width"), [("resnet18", 512), ("resnext50_32x4d", 2048)])
def test_a_backbone_gives_features_of_its_width(arch: str, width: int) -> None:
    outline, told = on_meta(arch)
    assert told == width
    assert not any(name.startswith("fc.") for name in outline.state_dict())
    backbone, _ = network.backbone_from(arch, network.random_backbone(arch, 0))
    assert backbone.eval()(torch.zeros(2, 3, 64, 64)).shape == (2, width)


def test_without_standardisation_the_head_is_the_blogs() -> None:
    layers = list(network.build_head(2048, 17, BLOG))
    assert [type(layer) for layer in layers] == [nn.Linear, nn.ReLU, nn.Linear]
    assert (layers[0].in_features, layers[0].out_features, layers[2].out_features) == (
        2048,
        128,
        17,
    )


def test_the_head_has_the_shape_asked_for() -> None:
    shape = HeadShape((64, 32), 0.5, standardize=True)
    head = network.build_head(512, 4, shape)
    kinds = [type(layer).__name__ for layer in head]
    assert kinds == ["Standardize", "Linear", "ReLU", "Linear", "ReLU", "Dropout", "Linear"]
    assert [type(layer) for layer in network.build_head(512, 4, HeadShape((), 0.0, False))] == [
        nn.Linear
    ]


def test_the_head_is_drawn_from_its_seed_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    heads = [network.build_head(512, 4, BLOG, seed) for seed in (3, 3, 4)]
    assert torch.equal(torch.rand(2), expected)
    first, same, other = (head.get_parameter("labels.weight") for head in heads)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


WAKING: dict[str, Callable[[Network], object]] = {
    "network": lambda net: net.train(),
    "backbone": lambda net: net.backbone.train(),
    "each block": lambda net: [block.train() for block in net.backbone.children()],
    "each module": lambda net: [module.train() for module in net.backbone.modules()],
}


@pytest.mark.parametrize("waking", WAKING)
@pytest.mark.parametrize("unfreeze", UNFREEZE)
def test_frozen_blocks_hold_every_tensor_still_whatever_train_is_called(
    unfreeze: Unfreeze, waking: str
) -> None:
    net = small_network()
    net.freeze(unfreeze)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    WAKING[waking](net)
    learning = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learning, lr=0.1, weight_decay=0.1)
    net(torch.randn(4, 3, 64, 64)).square().sum().backward()
    optimizer.step()
    learns = {
        name for block in network.trainable_blocks(net.backbone, unfreeze) for name, _ in block
    }
    frozen = net.frozen_names()
    for name, value in net.state_dict().items():
        block = name.split(".")[1] if name.startswith("backbone.") else "head"
        held = block != "head" and block not in learns
        assert (name in frozen) == held, name
        assert torch.equal(value, before[name]) == held, name


def names_of(arch: str, unfreeze: Unfreeze) -> list[list[str]]:
    backbone, _ = network.backbone_from(arch, network.random_backbone(arch, 0))
    return [[name for name, _ in block] for block in network.trainable_blocks(backbone, unfreeze)]


def test_learning_blocks_go_from_the_named_one_up() -> None:
    assert names_of(ARCH, 0) == []
    assert names_of(ARCH, 4) == [["layer4"]]
    assert names_of(ARCH, 1) == [["layer1"], ["layer2"], ["layer3"], ["layer4"]]
    assert names_of(ARCH, "all")[0] == ["conv1", "bn1"]


@pytest.mark.parametrize(
    ("arch", "width", "blocks"),
    [
        ("mobilenet_v3_small", 1024, [["features.12"], ["classifier"]]),
        (
            "densenet121",
            1024,
            [["features.transition3"], ["features.denseblock4", "features.norm5"]],
        ),
        ("shufflenet_v2_x0_5", 1024, [["stage4"], ["conv5"]]),
        ("regnet_x_400mf", 400, [["trunk_output.block3"], ["trunk_output.block4"]]),
        ("efficientnet_b0", 1280, [["features.7"], ["features.8"]]),
        ("googlenet", 1024, [["inception5a"], ["inception5b"]]),
        ("swin_t", 768, [["features.6"], ["features.7", "norm"]]),
    ],
)
def test_other_classifiers_lose_their_head_and_learn_from_a_block_up(
    arch: str, width: int, blocks: list[list[str]]
) -> None:
    state = network.random_backbone(arch, 0)
    backbone, told = network.backbone_from(
        arch, {name: value.clone() for name, value in state.items()}
    )
    assert told == width
    net = Network(arch, backbone, network.build_head(width, 3, BLOG))
    net.freeze(3)
    learning = network.trainable_blocks(net.backbone, 3)
    assert [[name for name, _ in block] for block in learning] == blocks
    net.train()
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    net(torch.randn(2, 3, 64, 64)).square().sum().backward()
    optimizer.step()
    upper = tuple(f"{name}." for block in blocks for name in block)
    frozen = net.frozen_names()
    for name, value in net.backbone.state_dict().items():
        held = not name.startswith(upper)
        assert (f"backbone.{name}" in frozen) == held, name
        if held:
            assert torch.equal(value, state[name]), name
    assert not torch.equal(net.head[-1].weight, network.build_head(width, 3, BLOG)[-1].weight)


def test_a_classifier_without_a_linear_head_is_an_error() -> None:
    with pytest.raises(UserError, match=r"squeezenet1_0 has no linear layer .* resnet50"):
        on_meta("squeezenet1_0")


def test_a_size_that_a_backbone_cannot_take_is_an_error() -> None:
    network.check_size("resnet18", 64)
    network.check_size("vit_b_16", 224)
    with pytest.raises(UserError, match=r"picture\.size: 64 does not fit vit_b_16 .*224"):
        network.check_size("vit_b_16", 64)


def test_freezing_can_be_taken_back() -> None:
    net = small_network()
    net.freeze(0)
    net.freeze("all")
    net.train()
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(module.training for module in norms)
    assert net.frozen_names() == set()


@pytest.mark.parametrize("arch", ["resnet18", "resnet50", "resnext50_32x4d"])
def test_folding_batch_norms_changes_nothing_but_rounding(arch: str) -> None:
    backbone, _ = network.backbone_from(arch, network.random_backbone(arch, 0))
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after training
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1)
            nn.init.uniform_(module.bias, -0.1, 0.1)
    pictures = torch.randn(2, 3, 64, 64)
    expected = backbone.eval()(pictures).detach()
    folded = forward.fold(backbone)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert torch.allclose(folded(pictures), expected, rtol=1e-3, atol=1e-4 * float(expected.max()))
