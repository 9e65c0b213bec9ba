"""Prepared pictures as the network's input, in training, judging and serving alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from whoswho.artifacts.model.settings import IMAGENET, Normalization

if TYPE_CHECKING:
    import torch


def to_tensor(
    images: Sequence[Image.Image], normalization: Normalization = IMAGENET
) -> torch.Tensor:
    """Prepared pictures as the network's input, see `standardized`."""
    return standardized(pixels(images), normalization)


def pixels(images: Sequence[Image.Image]) -> torch.Tensor:
    """Prepared pictures as they are: batch x size x size x 3 bytes."""
    import torch

    return torch.from_numpy(np.stack([np.asarray(image.convert("RGB")) for image in images]))


def standardized(pixels: torch.Tensor, normalization: Normalization = IMAGENET) -> torch.Tensor:
    """Pixels as the network's input, where they are: batch x 3 x size x size, 32-bit.

    Its memory is channels last, as the pixels came: what a convolution is fastest with.
    """
    import torch

    count, height, width, _ = pixels.shape
    # Whole rows at once: three numbers at a time would take ten times as long.
    rows = pixels.view(count, height, width * 3).to(torch.float32)
    channels = list(zip(*normalization, strict=True))
    scale = torch.tensor([1 / (255 * deviation) for _, deviation in channels]).repeat(width)
    shift = torch.tensor([-mean / deviation for mean, deviation in channels]).repeat(width)
    rows.mul_(scale.to(rows.device)).add_(shift.to(rows.device))
    return rows.view(count, height, width, 3).permute(0, 3, 1, 2)
