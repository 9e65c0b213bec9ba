"""The three networks of MTCNN, with the weights that the package facenet-pytorch carries.

They are defined here: importing the package imports torchvision and torch's compiler, which takes
longer than to look at a dozen pictures. Its files are read; nothing of it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from whoswho.errors import UserError
from whoswho.pictures.faces.windows import MaxPool

PACKAGE = "facenet_pytorch"

Step = tuple[int, int, int, int]  # channels in and out, the kernel's side, the pool's (0: none)


class Net(nn.Module):
    """Windows of a picture to boxes' shifts (…, 4) and probabilities (…, 2) of being a face.

    Args:
        steps: the convolutions.
        dense: width of what they give and of the layer behind it; None where there is no such
            layer, and the heads are convolutions.
    """

    def __init__(self, name: str, steps: tuple[Step, ...], dense: tuple[int, int] | None) -> None:
        super().__init__()
        number, kind, width = len(steps) + 1, "conv", steps[-1][1]
        head: Callable[[int, int], nn.Module] = partial(nn.Conv2d, kernel_size=1)
        with torch.device("meta"):  # nothing is drawn
            layers = dict(_convolutions(steps))
            if dense:
                layers["columns"] = Columns()
                layers[f"dense{number}"] = nn.Linear(*dense)
                layers[f"prelu{number}"] = nn.PReLU(dense[1])
                number, kind, head, width = number + 1, "dense", nn.Linear, dense[1]
            heads = {f"{kind}{number}_{n}": head(width, size) for n, size in ((1, 2), (2, 4))}
        for each, layer in (layers | heads).items():
            self.add_module(each, layer)
        self._layers, self._heads = tuple(layers), tuple(heads)
        # What was trained for landmarks is left out. Some weights lie transposed in the files.
        own = self.state_dict()
        state = {key: t.contiguous() for key, t in _weights(name).items() if key in own}
        self.load_state_dict(state, assign=True)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of maps (windows, 3, height, width)."""
        for name in self._layers:
            x = self.get_submodule(name)(x)
        probability, shift = (self.get_submodule(name)(x) for name in self._heads)
        return shift, probability.softmax(1)


class Columns(nn.Module):
    """Maps in one row a window, column by column, as the weights were trained."""

    def forward(self, maps: Tensor) -> Tensor:
        """(windows, channels, height, width) to (windows, width * height * channels)."""
        return maps.permute(0, 3, 2, 1).contiguous().view(len(maps), -1)


def proposing() -> Net:
    """The first: looks through a window of 12 pixels at every place."""
    return Net("pnet", ((3, 10, 3, 2), (10, 16, 3, 0), (16, 32, 3, 0)), None)


def refining() -> Net:
    """The second, of 24 pixels."""
    return Net("rnet", ((3, 28, 3, 3), (28, 48, 3, 3), (48, 64, 2, 0)), (576, 128))


def deciding() -> Net:
    """The third, of 48 pixels."""
    steps = ((3, 32, 3, 3), (32, 64, 3, 3), (64, 64, 3, 2), (64, 128, 2, 0))
    return Net("onet", steps, (1152, 256))


def _convolutions(steps: tuple[Step, ...]) -> Iterator[tuple[str, nn.Module]]:
    """The first layers, by the names that they have in the files."""
    for number, (given, channels, side, pool) in enumerate(steps, start=1):
        yield f"conv{number}", nn.Conv2d(given, channels, side)
        yield f"prelu{number}", nn.PReLU(channels)
        if pool:
            yield f"pool{number}", MaxPool(pool)


def _weights(name: str) -> dict[str, Tensor]:
    package = find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise UserError(
            "clean.faces: faces are found with the weights of facenet-pytorch, which is not "
            "installed (pip install -c constraints.txt facenet-pytorch)"
        )
    path = Path(package.origin).parent / "data" / f"{name}.pt"
    weights: dict[str, Tensor] = torch.load(path, weights_only=True, map_location="cpu")
    return weights
