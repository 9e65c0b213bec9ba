"""facenet-pytorch's Inception-ResNet, which tells faces apart: 512 numbers a face, of length 1.

Its weights were learnt from the faces of VGGFace2 or of CASIA-WebFace and are fetched.
"""

from __future__ import annotations

import warnings

from torch import nn

from whoswho.artifacts.model.settings import Normalization
from whoswho.backbone.network.parts import Other

# (byte - 127.5) / 128, as the faces that it learnt from were scaled.
PIXELS = Normalization((0.5,) * 3, (128 / 255,) * 3)

_RELEASE = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9"
URLS = {
    "vggface2": f"{_RELEASE}/20180402-114759-vggface2.pt",
    "casia-webface": f"{_RELEASE}/20180408-102900-casia-webface.pt",
}


def build() -> nn.Module:
    """The network without the layer that names the people it learnt from."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from facenet_pytorch import InceptionResnetV1

        net: nn.Module = InceptionResnetV1()
    return net


NETWORK = Other(build, 512, tuple(URLS), ("logits.",), PIXELS)
