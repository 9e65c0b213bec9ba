"""A step of fine-tuning, for tests of networks that are no torchvision classifier."""

from __future__ import annotations

import torch

from whoswho.backbone.network import Network


def changed_by_a_step(net: Network, pictures: torch.Tensor) -> set[str]:
    """The names of the tensors that a step on `pictures` changes; none of them is frozen."""
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.train()
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    net(pictures).square().sum().backward()
    optimizer.step()
    changed = {n for n, value in net.state_dict().items() if not torch.equal(value, before[n])}
    assert not changed & net.frozen_names()
    return changed
