"""Heat maps: Grad-CAM of the last block, on real networks of chosen weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from whoswho.artifacts.model.description import HeadShape
from whoswho.backbone.compute import forward
from whoswho.backbone.network import Network, backbone_from, build_head, random_backbone
from whoswho.evaluation import attention


def network(labels: int = 3) -> Network:
    backbone, width = backbone_from("resnet18", random_backbone("resnet18", 0))
    head = build_head(width, labels, HeadShape((8,), 0.0, False))
    return Network("resnet18", forward.fold(backbone), head).eval().requires_grad_(False)


class Places(nn.Module):
    """A backbone whose two features are the means of its last maps' left and right half."""

    def __init__(self) -> None:
        super().__init__()
        same = nn.Conv2d(3, 3, 1, bias=False)
        same.weight.data = torch.eye(3)[:, :, None, None]
        self.layer4 = nn.Sequential(nn.AvgPool2d(8), same)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        maps = self.layer4(pictures)[:, :2]
        return maps.mean(dim=(2, 3))


def test_a_map_a_picture_between_0_and_1() -> None:
    pictures = torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    maps = attention.heat_maps(network(), pictures, [0, 1, 2, 0, 1], batch=2)
    assert maps.shape == (5, 2, 2)
    assert maps.dtype == np.float32
    assert maps.min() >= 0
    assert maps.max() == 1


def test_the_place_that_counts_is_lit() -> None:
    head = nn.Linear(2, 2, bias=False)
    head.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    pictures = torch.zeros(1, 3, 32, 32)
    pictures[0, 0, :8, :8] = 1  # the first feature comes from the top left
    pictures[0, 1, 24:, 24:] = 1  # the second from the bottom right
    net = Network("resnet18", Places(), head)
    first, second = attention.heat_maps(net, pictures.repeat(2, 1, 1, 1), [0, 1])
    assert first[0, 0] == 1
    assert first.sum() == 1
    assert second[-1, -1] == 1
    assert second.sum() == 1


def test_nothing_that_speaks_for_the_answer_is_a_dark_map() -> None:
    head = nn.Linear(2, 2, bias=False)
    head.weight.data = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
    maps = attention.heat_maps(Network("resnet18", Places(), head), torch.ones(1, 3, 32, 32), [0])
    assert not maps.any()


def test_the_network_is_left_as_it_was_and_maps_do_not_depend_on_the_batch() -> None:
    net = network()
    net.train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    pictures = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    together = attention.heat_maps(net, pictures, [0, 1, 2])
    alone = attention.heat_maps(net, pictures, [0, 1, 2], batch=1)
    assert np.allclose(together, alone, atol=1e-4)
    assert net.training
    assert not any(p.grad is not None for p in net.parameters())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("arch", "places"),
    [("mobilenet_v3_small", 2), ("swin_t", 2), ("vgg11", 4), ("densenet121", 2)],
)
def test_other_backbones_have_their_last_maps(arch: str, places: int) -> None:
    backbone, width = backbone_from(arch, random_backbone(arch, 0))
    net = Network(arch, backbone, build_head(width, 3, HeadShape((), 0.0, False))).eval()
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    maps = attention.heat_maps(net, pictures, [0, 1])
    assert maps.shape == (2, places, places)
    assert 0 <= maps.min() <= maps.max() <= 1


def test_a_backbone_without_maps_lights_nothing() -> None:
    backbone, width = backbone_from("vit_b_32", random_backbone("vit_b_32", 0))
    net = Network("vit_b_32", backbone, build_head(width, 3, HeadShape((), 0.0, False))).eval()
    assert not attention.heat_maps(net, torch.rand(1, 3, 224, 224), [0]).any()


def test_no_pictures() -> None:
    assert len(attention.heat_maps(network(), torch.zeros(0, 3, 64, 64), [])) == 0
