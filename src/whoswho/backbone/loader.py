"""Prepared pictures as a network's inputs, plain or through their views."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data import Dataset as TorchDataset

from whoswho.artifacts.split import Dataset, Example
from whoswho.backbone import forward, views
from whoswho.backbone.process_group import ProcessGroup
from whoswho.errors import UserError
from whoswho.params import Augment
from whoswho.pictures import prepare, workers

Wanted = Sequence[tuple[int, int]]  # a batch: numbers of pictures in their split, and of views
FEW = 16  # pictures: a process is not worth its start for fewer


def open_prepared(path: Path) -> Image.Image:
    """A prepared picture.

    Raises:
        UserError: it is absent or damaged; only a hand in artifacts/ does that.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise UserError(
            f"{path}: cannot be read ({error}); run `dvc checkout`, or "
            "`dvc repro -f -s preprocess`"
        ) from None


class Pictures(TorchDataset["Tensor | UserError"]):
    """The prepared pictures of a split, plain or each through as many views as one likes."""

    def __init__(self, examples: Sequence[Example], augment: Augment | None = None) -> None:
        self.examples = examples
        self.augment = augment

    def seen(self, wanted: Wanted) -> Tensor:
        """The pixels of a batch, see `prepare.pixels`; views side by side share a decoding."""
        found = []
        opened: tuple[int, Image.Image] | None = None
        for number, view in wanted:
            example = self.examples[number]
            if opened is None or opened[0] != number:
                opened = number, open_prepared(example.path)
            image = opened[1]
            if self.augment is not None:
                image = views.apply(image, views.draw(self.augment, example.sha256, view))
            found.append(image)
        return prepare.pixels(found)

    def __getitem__(self, wanted: Wanted) -> Tensor | UserError:
        """`seen`, or why not: what is raised in another process comes back as a traceback."""
        try:
            pixels = self.seen(wanted)
        except UserError as error:
            return error
        # Shared here and not by the queue: where there is no room, the queue would wait for ever.
        return pixels.share_memory_() if get_worker_info() else pixels  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self.examples)


class Loader:
    """Brings batches of pictures to `place`; the processes that open them stay between epochs."""

    def __init__(self, pictures: Pictures, place: torch.device) -> None:
        self._place = place
        self._order = _Order()
        processes = min(openers(place), len(pictures) // FEW)
        self._loader = DataLoader(
            pictures,
            sampler=self._order,
            batch_size=None,  # each of the sampler's answers is a batch already
            num_workers=processes,
            pin_memory=place.type == "cuda",
            persistent_workers=processes > 0,
            generator=torch.Generator(),  # else torch's own would be drawn from
        )

    def batches(self, wanted: Iterable[Wanted]) -> Iterator[Tensor]:
        """Network inputs in the order asked for, (batch, 3, size, size), channels last."""
        self._order.wanted = wanted
        for pixels in self._loader:
            if isinstance(pixels, UserError):
                raise pixels
            yield prepare.standardized(pixels.to(self._place, non_blocking=True))


class _Order:
    """What a loader is to bring next."""

    wanted: Iterable[Wanted] = ()

    def __iter__(self) -> Iterator[Wanted]:
        return iter(self.wanted)


def openers(place: torch.device) -> int:
    """How many processes open pictures.

    None where the processor itself computes: opening a picture costs a hundredth of a step there,
    and another process would only take its core away.
    """
    if place.type == "cpu":
        return 0
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # set by torchrun
    # Where processes do not begin as copies of this one, each has its imports to do first.
    most = 16 if multiprocessing.get_start_method() == "fork" else 4
    return min(most, max(1, workers.cores() // beside - 1))


def backbone_features(
    dataset: Dataset,
    backbone: nn.Module,
    augment: Augment,
    place: torch.device,
    process_group: ProcessGroup,
) -> Iterator[NDArray[np.float32]]:
    """The features that the backbone gives before it learns, of the first view of each picture.

    Each process of a team gets its part of them.
    """
    ready = forward.prepare(backbone, place)
    examples = dataset.examples["train"]
    mine = process_group.part(list(forward.chunks(len(examples), ready.batch)))
    loader = Loader(Pictures(examples, augment), place)
    for x in loader.batches([(number, 0) for number in numbers] for numbers in mine):
        yield ready.run(x).numpy()
