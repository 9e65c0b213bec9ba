"""All that lies between a prepared picture and its answer, as one network of torch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from whoswho.backbone import network
from whoswho.backbone.network.architectures import normalization
from whoswho.inference.model import Model


class Answer(NamedTuple):
    """What the network says: (pictures, labels), (pictures,) and (pictures,), see `Answers`."""

    probabilities: Tensor
    similarity: Tensor
    unknown: Tensor


class Answering(nn.Module):
    """Backbone, head, temperature and the rule for `unknown` of a model.

    Its input is what Pillow gives: prepared RGB pictures as bytes, (pictures, size, size, 3).
    Without the backbone (`whole` is false) it is that backbone's features, (pictures, width).
    """

    mean: Tensor
    deviation: Tensor
    centre_mean: Tensor
    centre_deviation: Tensor
    directions: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.whole = network.learns(model.network.backbone)
        size = model.description.picture.size
        self.shape = (size, size, 3) if self.whole else (len(model.centres.mean),)
        self.backbone = model.network.backbone if self.whole else nn.Identity()
        self.head = model.network.head
        self.temperature = model.description.temperature
        self.min_similarity = model.description.min_similarity
        pixels = normalization(model.network.backbone)
        for name, values in (("mean", pixels.mean), ("deviation", pixels.deviation)):
            self.register_buffer(name, torch.tensor(values[:3]).view(1, 3, 1, 1))
        centres = model.centres
        self.register_buffer("centre_mean", torch.from_numpy(centres.mean))
        self.register_buffer("centre_deviation", torch.from_numpy(centres.deviation))
        self.register_buffer("directions", torch.from_numpy(centres.directions))
        self.to(memory_format=torch.contiguous_format).eval().requires_grad_(False)

    def forward(self, inputs: Tensor) -> Answer:
        """The answers to prepared pictures, or to features."""
        if self.whole:
            pixels = inputs.permute(0, 3, 1, 2).to(torch.float32) / 255
            inputs = (pixels - self.mean) / self.deviation
        features = self.backbone(inputs)
        probabilities = torch.softmax(self.head(features) / self.temperature, dim=1)
        scaled = (features - self.centre_mean) / self.centre_deviation
        lengths = scaled.norm(dim=1, keepdim=True).clamp(min=1e-12)
        similarity = ((scaled / lengths) @ self.directions.T).amax(dim=1)
        return Answer(probabilities, similarity, similarity < self.min_similarity)

    def example(self) -> Tensor:
        """Two inputs, by which the network is followed."""
        return torch.zeros(2, *self.shape, dtype=torch.uint8 if self.whole else torch.float32)
