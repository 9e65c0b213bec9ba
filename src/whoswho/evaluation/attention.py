"""Where in a picture the model found the name it gave: Grad-CAM.

Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization", ICCV 2017 (arXiv:1610.02391): the backbone's last maps, each weighted by the mean
gradient of the answer's logit over it, summed, negative parts cut off. It shows what counted for
the answer, with the coarseness of the last maps (7x7 for 224 pixels); it does not show why.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from whoswho.backbone.network import Network, trainable_blocks


def heat_maps(
    network: Network, pictures: Tensor, answers: Sequence[int], *, batch: int = 16
) -> NDArray[np.float32]:
    """What counted for each answer: (pictures, height, width) of the last maps, 0 to 1.

    A picture in which nothing spoke for its answer has zeros throughout; so have all where the
    backbone's last block has no maps (a vision transformer answers from a token beside them).

    Args:
        pictures: prepared and normalised, (pictures, 3, size, size).
        answers: index of the label to explain, one a picture.
    """
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    part = _last_spatial_part(network, pictures[:1].to(device))
    if part is None:
        network.train(was_training)
        return np.zeros((len(pictures), 1, 1), np.float32)
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, maps: Tensor) -> Tensor:
        # A leaf of the graph: the gradient stops here, so that it is there also when the backbone
        # is frozen, and the backbone itself need not be gone through backwards. What follows may
        # write into its input, so it gets a copy.
        kept[:] = [maps.detach().requires_grad_()]
        return kept[0].clone()

    handle = part.register_forward_hook(keep)
    batches = []
    try:
        for start in range(0, len(pictures), batch):
            chosen = torch.as_tensor(answers[start : start + batch], device=device)
            with torch.enable_grad():
                logits = network(pictures[start : start + batch].to(device))
                total = logits.gather(1, chosen[:, None]).sum()
                (gradient,) = torch.autograd.grad(total, kept[0])
            maps, gradient = _channels_first(kept[0].detach()), _channels_first(gradient)
            weights = gradient.mean(dim=(2, 3), keepdim=True)
            heat = (weights * maps).sum(dim=1).clamp(min=0)
            highest = heat.amax(dim=(1, 2), keepdim=True)
            batches.append(heat / torch.where(highest > 0, highest, 1))
    finally:
        handle.remove()
        network.train(was_training)
    return np.asarray(torch.cat(batches).float().cpu().numpy(), np.float32)


def _last_spatial_part(network: Network, picture: Tensor) -> nn.Module | None:
    """The last part of the backbone's blocks whose output has a height and a width.

    Found by passing a picture through; None without one.
    """
    spatial: list[nn.Module] = []

    def look(module: nn.Module, _inputs: object, maps: Tensor) -> None:
        if maps.dim() == 4:
            spatial.append(module)

    blocks = trainable_blocks(network.backbone, 1)
    handles = [part.register_forward_hook(look) for block in blocks for _, part in block]
    try:
        with torch.inference_mode():
            if len(picture):
                network(picture)
    finally:
        for handle in handles:
            handle.remove()
    return spatial[-1] if spatial else None


def _channels_first(maps: Tensor) -> Tensor:
    """Maps (pictures, channels, height, width); a few backbones keep their channels last.

    Pictures are square, so the two equal sizes beside each other are height and width.
    """
    _, first, second, last = maps.shape
    return maps.permute(0, 3, 1, 2) if first == second != last else maps
