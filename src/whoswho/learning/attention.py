"""Where in a picture the model found the name it gave: Grad-CAM.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017 (arXiv:1610.02391): the trunk's last maps, each weighted by the mean
gradient of the answer's logit over it, summed, negative parts cut off. It shows what counted for
the answer, with the coarseness of the last maps (7x7 for 224 pixels); it does not show why.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from whoswho.learning.network import Network

# The block of a ResNet whose output is the last that still has places.
_LAST_BLOCK = "layer4"


def heat_maps(
    network: Network, pictures: Tensor, answers: Sequence[int], *, batch: int = 16
) -> NDArray[np.float32]:
    """What counted for each answer: (pictures, height, width) of the last maps, 0 to 1.

    A picture in which nothing spoke for its answer has zeros throughout.

    Args:
        pictures: prepared and normalised, (pictures, 3, size, size).
        answers: index of the label to explain, one a picture.
    """
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, maps: Tensor) -> Tensor:
        # A leaf of the graph: the gradient is asked for here, so that it is there also when the
        # trunk is frozen, and the trunk itself need not be gone through backwards.
        leaf = maps.detach().requires_grad_()
        kept.append(leaf)
        return leaf

    device = next(network.parameters()).device
    was_training = network.training
    handle = network.trunk.get_submodule(_LAST_BLOCK).register_forward_hook(keep)
    network.eval()
    found = []
    try:
        for start in range(0, len(pictures), batch):
            kept.clear()
            chosen = torch.as_tensor(answers[start : start + batch], device=device)
            with torch.enable_grad():
                logits = network(pictures[start : start + batch].to(device))
                total = logits.gather(1, chosen[:, None]).sum()
                (gradient,) = torch.autograd.grad(total, kept[0])
            weights = gradient.mean(dim=(2, 3), keepdim=True)
            heat = (weights * kept[0].detach()).sum(dim=1).clamp(min=0)
            highest = heat.amax(dim=(1, 2), keepdim=True)
            found.append(heat / torch.where(highest > 0, highest, 1))
    finally:
        handle.remove()
        network.train(was_training)
    if not found:
        return np.zeros((0, 1, 1), np.float32)
    return np.asarray(torch.cat(found).float().cpu().numpy(), np.float32)
