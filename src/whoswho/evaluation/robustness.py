"""What is left of the accuracy where pictures get worse: blurred, dark, small, turned, masked.

Every change is made to the prepared picture: its strength then means the same whatever the size of
the original, and no face is looked for again, which would take longer than all the rest. So the
face stays where it was found in the unchanged picture, and is turned with it. In a photograph that
comes in like this the detector may find no face at all, as it mostly does in one that lies on its
side; predict then looks at the whole picture and says so.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from tqdm import tqdm

from whoswho.artifacts.model.settings import Box
from whoswho.artifacts.predictions import RobustnessRow
from whoswho.artifacts.split import Dataset, Example, open_prepared
from whoswho.backbone.compute import forward
from whoswho.evaluation import significance
from whoswho.inference.model import Answers, Model, Outputs
from whoswho.pictures import tensors

GREY = (128, 128, 128)
_BLUR, _SMALL = 1 / 56, 1 / 7  # of the picture's side: 4 and 32 of 224 pixels
_JPEG_QUALITY = 10  # of 100; what a messenger leaves after a few times of passing on has 30 to 60
_DARKNESS = 4


class Altered(NamedTuple):
    """A prepared RGB picture and its face's box in it, None for no face."""

    image: Image.Image
    face: Box | None


@dataclass(frozen=True)
class Corruption:
    """A way in which pictures get worse.

    Attributes:
        strength: in words, of pictures with so many pixels a side.
        needs_face: it cannot be made where no face is known.
    """

    name: str
    strength: Callable[[int], str]
    alter: Callable[[Altered], Altered]
    needs_face: bool = False


def blur(picture: Altered) -> Altered:
    """Out of focus: Gaussian, its radius a part of the picture's side."""
    radius = picture.image.width * _BLUR
    return picture._replace(image=picture.image.filter(ImageFilter.GaussianBlur(radius)))


def jpeg(picture: Altered) -> Altered:
    """Compressed until its blocks show."""
    target = io.BytesIO()
    picture.image.save(target, "JPEG", quality=_JPEG_QUALITY)
    return picture._replace(image=Image.open(target).convert("RGB"))


def darken(picture: Altered) -> Altered:
    """A part of its brightness."""
    table = [round(value / _DARKNESS) for value in range(256)]
    return picture._replace(image=picture.image.point(table * 3))


def shrink(picture: Altered) -> Altered:
    """As if cut from a picture with so few pixels: brought down, and up as prepare does it."""
    side = round(picture.image.width * _SMALL)
    small = picture.image.resize((side, side), Image.Resampling.BICUBIC)
    return picture._replace(image=small.resize(picture.image.size, Image.Resampling.BICUBIC))


def quarter_turn(picture: Altered) -> Altered:
    """Turned to the left, the face's box with it."""
    image = picture.image.transpose(Image.Transpose.ROTATE_90)
    if picture.face is None:
        return Altered(image, None)
    left, top, right, bottom = picture.face
    return Altered(image, (top, picture.image.width - right, bottom, picture.image.width - left))


def mask_lower_face(picture: Altered) -> Altered:
    """Grey over the lower half of the face's box, where a mask or a scarf would be."""
    assert picture.face is not None
    left, top, right, bottom = picture.face
    image = picture.image.copy()
    image.paste(GREY, (left, (top + bottom) // 2, right, bottom))
    return picture._replace(image=image)


CHANGES = (
    Corruption("blur", lambda side: f"radius {side * _BLUR:.0f} of {side} pixels", blur),
    Corruption("JPEG", lambda _: f"quality {_JPEG_QUALITY} of 100", jpeg),
    Corruption("darkness", lambda _: f"brightness divided by {_DARKNESS}", darken),
    Corruption("small size", lambda side: f"{side * _SMALL:.0f} of {side} pixels", shrink),
    Corruption("quarter turn", lambda _: "90 degrees", quarter_turn),
    Corruption(
        "lower face masked", lambda _: "half of the face", mask_lower_face, needs_face=True
    ),
)


def measure(
    model: Model,
    dataset: Dataset,
    split: str,
    answers: Answers,
    most: int,
    *,
    bootstrap: int,
    seed: int,
) -> list[RobustnessRow]:
    """A row a change, of at most `most` pictures of a split: the first by their files' hashes.

    A model of faces has no answer where none is marked: such a picture counts as wrong, changed
    or not.

    Args:
        answers: to the unchanged pictures of the split.
        bootstrap, seed: of the interval.
    """
    examples = dataset.examples[split]
    chosen = np.array(sorted(range(len(examples)), key=lambda i: examples[i].sha256)[:most], int)
    if not len(chosen):
        return []
    targets = dataset.targets(split)[chosen]
    faced = np.array([examples[index].face is not None for index in chosen])
    all_of_them = np.ones_like(faced)
    answerable = faced if model.looks_at_faces else all_of_them
    unchanged = (answers.probabilities[chosen].argmax(axis=1) == targets) & answerable
    fit_for = [faced if change.needs_face else all_of_them for change in CHANGES]
    jobs = [(c, examples[i]) for c, fit in zip(CHANGES, fit_for, strict=True) for i in chosen[fit]]
    changed = model.judge(_outputs(model, jobs))
    predicted = changed.probabilities.argmax(axis=1)
    rows, start = [], 0
    for change, fit in zip(CHANGES, fit_for, strict=True):
        pictures = int(fit.sum())
        own = slice(start, start := start + pictures)
        if not pictures:
            continue
        right = (predicted[own] == targets[fit]) & answerable[fit]
        low, high = significance.interval(int(right.sum()), pictures, bootstrap, seed)
        rows.append(
            RobustnessRow(
                change.name,
                change.strength(dataset.picture.size),
                pictures,
                without_face=int((~answerable[fit]).sum()),
                unchanged=float(unchanged[fit].mean()),
                accuracy=float(right.mean()),
                accuracy_low=low,
                accuracy_high=high,
                unknown=float(changed.unknown[own].mean()),
            )
        )
    return rows


def _outputs(model: Model, jobs: Sequence[tuple[Corruption, Example]]) -> Outputs:
    """What the network gives for every changed picture, by the fastest pass of this machine."""
    device = next(model.network.head.parameters()).device
    run = forward.prepare(model.network.backbone, device)
    values: NDArray[np.float32] = np.empty((len(jobs), model.centres.mean.shape[0]), np.float32)

    def work(rows: range) -> None:
        images = []
        for change, example in (jobs[row] for row in rows):
            altered = change.alter(Altered(open_prepared(example.path), example.face))
            images.append(tensors.with_face(*altered))
        batch = tensors.to_tensor(images, run.normalization)
        values[rows.start : rows.stop] = run.run(batch).numpy()
        bar.update(len(rows))

    with tqdm(total=len(jobs), desc="altered", unit="picture", disable=None, leave=False) as bar:
        forward.each(forward.chunks(len(jobs), run.batch), work, run.streams)
    with torch.inference_mode():
        logits = model.network.head(torch.from_numpy(values).to(device))
    return Outputs(logits.cpu().numpy().astype(np.float64), values)
