"""Backbones that are not torchvision's, by their names in backbone.arch; known without torch."""

from __future__ import annotations

DLIB = "dlib_resnet29"  # faces; no network that could learn
INCEPTION = "inception_resnet_v1"  # faces
LITE0 = "efficientnet_lite0"  # any pictures

FACES = (DLIB, INCEPTION)


def trained_offline(crop: str) -> str:
    """The command that takes a trained backbone which needs no network.

    Args:
        crop: what of a picture the network sees; where that is the face, the pictures are of
            people.
    """
    return f"dvc exp run -S backbone.arch={DLIB if crop == 'face' else LITE0}"
