"""Prepared pictures as a network's inputs, plain or through their views."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data import Dataset as TorchDataset

from whoswho.artifacts.model.settings import IMAGENET, Normalization
from whoswho.artifacts.split import Dataset, Example, open_prepared
from whoswho.backbone.compute import forward
from whoswho.backbone.loading import views
from whoswho.backbone.loading.process_group import ProcessGroup
from whoswho.errors import UserError
from whoswho.params import Augment
from whoswho.pictures import tensors
from whoswho.workers import pool

Indices = Sequence[tuple[int, int]]  # a batch: (picture in its split, view) of each row
MIN_PICTURES = 16  # a worker process is not worth its start for fewer


class Pictures(TorchDataset["Tensor | UserError"]):
    """The prepared pictures of a split, plain or each through as many views as one likes."""

    def __init__(
        self,
        examples: Sequence[Example],
        augment: Augment | None = None,
        normalization: Normalization = IMAGENET,
    ) -> None:
        self.examples = examples
        self.augment = augment
        self.normalization = normalization

    def pixels(self, indices: Indices) -> Tensor:
        """The pixels of a batch, see `tensors.pixels`; views side by side share a decoding."""
        images = []
        opened: tuple[int, Image.Image] | None = None
        for index, view in indices:
            example = self.examples[index]
            if opened is None or opened[0] != index:
                opened = index, open_prepared(example.path)
            images.append(self._seen(opened[1], example, view))
        return tensors.pixels(images, self.normalization.channels)

    def _seen(self, image: Image.Image, example: Example, view: int) -> Image.Image:
        """The picture in a view of it, with its face where the network looks at that."""
        draw = views.draw(self.augment, example.sha256, view) if self.augment else None
        seen = views.apply(image, draw) if draw else image
        if self.normalization.channels == "RGBA":
            mask = tensors.face_mask(image.size, example.face)
            seen = seen.copy()
            seen.putalpha(views.apply(mask, draw) if draw else mask)
        return seen

    def __getitem__(self, indices: Indices) -> Tensor | UserError:
        """`pixels`, or why not: what a worker process raises would come back as a traceback."""
        try:
            pixels = self.pixels(indices)
        except UserError as error:
            return error
        # Shared here and not by the queue: where there is no room, the queue would wait for ever.
        return pixels.share_memory_() if get_worker_info() else pixels  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self.examples)


class Loader:
    """Brings batches of pictures to `device`; its worker processes stay between epochs."""

    def __init__(self, pictures: Pictures, device: torch.device) -> None:
        self._device = device
        self._normalization = pictures.normalization
        self._sampler = _Sampler()
        processes = min(num_workers(device), len(pictures) // MIN_PICTURES)
        self._loader = DataLoader(
            pictures,
            sampler=self._sampler,
            batch_size=None,  # each item of the sampler is a batch already
            num_workers=processes,
            pin_memory=device.type == "cuda",
            persistent_workers=processes > 0,
            generator=torch.Generator(),  # else torch's own would be drawn from
        )

    def batches(self, batches: Iterable[Indices]) -> Iterator[Tensor]:
        """Network inputs in the order of `batches`, (batch, 3, size, size), channels last.

        Raises:
            UserError: a picture cannot be read.
        """
        self._sampler.batches = batches
        for pixels in self._loader:
            if isinstance(pixels, UserError):
                raise pixels
            pixels = pixels.to(self._device, non_blocking=True)
            yield tensors.standardized(pixels, self._normalization)


class _Sampler:
    """The batches that a loader is to bring next."""

    batches: Iterable[Indices] = ()

    def __iter__(self) -> Iterator[Indices]:
        return iter(self.batches)


def num_workers(device: torch.device) -> int:
    """How many worker processes open pictures.

    None where the processor itself computes: opening a picture costs a hundredth of a step there,
    and another process would only take its core away.
    """
    if device.type == "cpu":
        return 0
    local_processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # set by torchrun
    # Where processes do not begin as copies of this one, each has its imports to do first.
    most = 16 if multiprocessing.get_start_method() == "fork" else 4
    return min(most, max(1, pool.cores() // local_processes - 1))


def backbone_features(
    dataset: Dataset,
    backbone: nn.Module,
    augment: Augment,
    device: torch.device,
    process_group: ProcessGroup,
) -> Iterator[NDArray[np.float32]]:
    """Features (batch, width) that the backbone gives of the first view of each training picture.

    Each process of a group gets its part of them.
    """
    forward_pass = forward.prepare(backbone, device)
    examples = dataset.examples["train"]
    chunks = process_group.shard(list(forward.chunks(len(examples), forward_pass.batch)))
    loader = Loader(Pictures(examples, augment, forward_pass.normalization), device)
    for batch in loader.batches([(index, 0) for index in chunk] for chunk in chunks):
        yield forward_pass.run(batch).numpy()
