"""fastai's frozen learner on the same folders, backbone and epochs: the peer most readers know.

usage: python bench/fastai_frozen.py FOLDER BACKBONE.safetensors EPOCHS
  FOLDER has train/<label>/* and validation/<label>/*
  BACKBONE is artifacts/backbone/weights.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path

from fastai.vision.all import (
    ImageDataLoaders,
    Normalize,
    Resize,
    ResizeMethod,
    accuracy,
    aug_transforms,
    imagenet_stats,
    resnet50,
    vision_learner,
)
from safetensors.torch import load_file


def main(folder: Path, backbone: Path, epochs: int) -> None:
    """Train the head with the backbone frozen, as fastai's guide does."""
    loaders = ImageDataLoaders.from_folder(
        folder, train="train", valid="validation", bs=32, num_workers=0, seed=0,
        item_tfms=Resize(224, method=ResizeMethod.Squish),
        batch_tfms=[*aug_transforms(max_warp=0), Normalize.from_stats(*imagenet_stats)],
    )  # fmt: skip
    learner = vision_learner(loaders, resnet50, pretrained=False, metrics=accuracy)
    # fastai numbers the children of torchvision's network, relu and maxpool included.
    names = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
    state = load_file(backbone)
    body = learner.model[0]
    body.load_state_dict(
        {
            name: state[f"{names[name.split('.')[0]]}.{name.partition('.')[2]}"]
            for name in body.state_dict()
        }
    )
    learner.freeze()
    with learner.no_bar(), learner.no_logging():
        learner.fit(epochs, 1e-3)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
