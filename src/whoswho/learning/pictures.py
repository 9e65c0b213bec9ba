"""Prepared pictures as batches for a trunk that learns."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from whoswho.learning import forward, views
from whoswho.learning.dataset import Dataset, Example
from whoswho.learning.features import open_prepared
from whoswho.learning.team import Team
from whoswho.params import Augment
from whoswho.pictures import prepare


class Pictures(TorchDataset[Tensor]):
    """Prepared pictures as network inputs (3, size, size), plain or through a view."""

    def __init__(
        self, examples: Sequence[Example], augment: Augment | None = None, view: int = 0
    ) -> None:
        self.examples = examples
        self.augment = augment
        self.view = view

    def __getitem__(self, numbers: list[int]) -> Tensor:
        """The pictures with these numbers, (batch, 3, size, size), channels last."""
        return prepare.to_tensor([self._seen(self.examples[number]) for number in numbers])

    def _seen(self, example: Example) -> Image.Image:
        image = open_prepared(example.path)
        if self.augment is None:
            return image
        return views.apply(image, views.draw(self.augment, example.sha256, self.view))

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self.examples)


def batches(
    examples: Sequence[Example],
    chosen: Sequence[NDArray[np.int64]],
    place: torch.device,
    augment: Augment | None = None,
    view: int = 0,
) -> Iterator[Tensor]:
    """The chosen batches of pictures, in the order given, (batch, 3, size, size)."""
    yield from DataLoader(
        Pictures(examples, augment, view),
        sampler=[batch.tolist() for batch in chosen],
        batch_size=None,  # each of the sampler's answers is a batch already
        num_workers=workers(place),
        pin_memory=place.type == "cuda",
    )


def workers(place: torch.device) -> int:
    """How many processes open pictures.

    None where the processor itself trains: opening a picture costs a hundredth of a step there,
    and another process would only take its core away.
    """
    if place.type == "cpu":
        return 0
    return min(
        8, max(1, len(os.sched_getaffinity(0)) - 1 if hasattr(os, "sched_getaffinity") else 4)
    )


def trunk_features(
    dataset: Dataset, trunk: nn.Module, augment: Augment, place: torch.device, crew: Team
) -> Iterator[NDArray[np.float32]]:
    """The features that the trunk gives before it learns, of the first view of each picture.

    Each process of a team gets its part of them.
    """
    ready = forward.prepare(trunk, place)
    examples = dataset.examples["train"]
    chunks = [np.array(numbers) for numbers in forward.chunks(len(examples), ready.batch)]
    for pictures in batches(examples, crew.part(chunks), place, augment):
        yield ready.run(pictures).numpy()
