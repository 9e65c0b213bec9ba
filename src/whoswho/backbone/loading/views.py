"""The training views of a picture: itself, then each drawn from the picture and a number alone.

So a view does not depend on the order of pictures, on the number of workers, or on whether it is
stored once or drawn again.
"""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import dataclass

from PIL import Image, ImageOps

from whoswho.params import Augment


@dataclass(frozen=True)
class View:
    """How a picture is bent: the blog's affine map and mirror."""

    shear: float  # degrees, along x
    scale: float  # factor
    flip: bool


PLAIN = View(shear=0.0, scale=1.0, flip=False)


def draw(augment: Augment, sha256: str, number: int) -> View:
    """View `number` of the picture with this digest; view 0 is the picture itself.

    A model is asked about pictures as they are: what is known of its answers to the training
    pictures has to be of such ones too.
    """
    if number == 0:
        return PLAIN
    text = f"{augment.seed}:{sha256}:{number}"
    chance = random.Random(int(hashlib.sha256(text.encode()).hexdigest(), 16))
    return View(
        shear=chance.uniform(-augment.shear, augment.shear),
        scale=chance.uniform(*augment.scale),
        flip=chance.random() < augment.flip,
    )


def apply(image: Image.Image, view: View) -> Image.Image:
    """The picture seen so, about its middle; what the map uncovers is black, as in the blog.

    It is torchvision's `affine` with that shear and scale, pixel for pixel, without its import.
    """
    if view == PLAIN:
        return image
    x, y = image.width / 2, image.height / 2
    along, across = 1 / view.scale, math.tan(math.radians(view.shear)) / view.scale
    # From a place in the view to the one in the picture.
    back = (along, across, -along * x - across * y + x, 0.0, along, -along * y + y)
    bent = image.transform(
        image.size, Image.Transform.AFFINE, back, resample=Image.Resampling.BILINEAR
    )
    return ImageOps.mirror(bent) if view.flip else bent
