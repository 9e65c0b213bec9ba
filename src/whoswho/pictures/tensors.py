"""Prepared pictures as the network's input, in training, judging and serving alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from whoswho.artifacts.model.settings import IMAGENET, Box, Normalization

if TYPE_CHECKING:
    import torch


def to_tensor(
    images: Sequence[Image.Image], normalization: Normalization = IMAGENET
) -> torch.Tensor:
    """Prepared pictures as the network's input, see `standardized`."""
    return standardized(pixels(images, normalization.channels), normalization)


def pixels(images: Sequence[Image.Image], channels: str = "RGB") -> torch.Tensor:
    """Prepared pictures as they are: batch x size x size x channels, bytes."""
    import torch

    return torch.from_numpy(np.stack([np.asarray(image.convert(channels)) for image in images]))


def face_mask(size: tuple[int, int], box: Box | None) -> Image.Image:
    """A picture of one channel, 255 within the box of a face and 0 elsewhere."""
    mask = Image.new("L", size)
    if box is not None:
        mask.paste(255, box)
    return mask


def with_face(image: Image.Image, box: Box | None) -> Image.Image:
    """A copy of an RGB picture with its face's box as fourth channel, see `face_mask`."""
    masked = image.copy()
    masked.putalpha(face_mask(image.size, box))
    return masked


def standardized(pixels: torch.Tensor, normalization: Normalization = IMAGENET) -> torch.Tensor:
    """Pixels as the network's input, where they are: batch x channels x size x size, 32-bit.

    Its memory is channels last, as the pixels came: what a convolution is fastest with.
    """
    import torch

    count, height, width, channels = pixels.shape
    # Whole rows at once: three numbers at a time would take ten times as long.
    rows = pixels.view(count, height, width * channels).to(torch.float32)
    pairs = list(zip(normalization.mean, normalization.deviation, strict=True))
    scale = torch.tensor([1 / (255 * deviation) for _, deviation in pairs]).repeat(width)
    shift = torch.tensor([-mean / deviation for mean, deviation in pairs]).repeat(width)
    rows.mul_(scale.to(rows.device)).add_(shift.to(rows.device))
    return rows.view(count, height, width, channels).permute(0, 3, 1, 2)
