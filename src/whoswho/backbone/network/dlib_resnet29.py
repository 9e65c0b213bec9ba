"""dlib's face embedding as a backbone: 128 numbers a face, and nothing in it learns.

Landmarks and weights are the bytes of dlib's own files, held as tensors, so that they travel with
a model as those of any network do. A face is aligned by five landmarks before the network sees it;
where the face is, the fourth channel of a picture says.
"""

from __future__ import annotations

import os
import weakref
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor, nn

from whoswho.arches import DLIB
from whoswho.artifacts.model.settings import Normalization
from whoswho.backbone.network.parts import Other
from whoswho.errors import UserError
from whoswho.pictures import embedding
from whoswho.pictures.embedding import Embedder, Pixels, Vector
from whoswho.workers import pool

PIXELS = Normalization((0.0,) * 4, (1 / 255,) * 4, "RGBA")  # 0 to 255 as they are

_BYTES = {"landmarks": 9_150_489, "network": 22_466_066}  # sizes of the files


class FaceEmbedding(nn.Module):
    """Pictures (batch, 4, size, size) to vectors (batch, 128); zeros where no face is marked.

    dlib holds the interpreter's lock while it computes: larger batches go to processes, which
    stay for the next batch.
    """

    landmarks: Tensor  # the bytes of the file
    network: Tensor

    def __init__(self) -> None:
        if find_spec("dlib") is None:
            raise UserError(
                f"backbone.arch: {DLIB} needs dlib, which is not installed (pip install "
                "-c constraints.txt dlib-bin)"
            )
        super().__init__()
        for name, size in _BYTES.items():
            self.register_buffer(name, torch.empty(size, dtype=torch.uint8))
        self._embedder: Embedder | None = None
        self._pool: ProcessPoolExecutor | None = None

    def forward(self, pictures: Tensor) -> Tensor:
        """The vectors of pictures normalised as PIXELS; the processor computes them."""
        pixels = pictures.detach().cpu().permute(0, 2, 3, 1).round().to(torch.uint8).numpy()
        vectors = self._in_processes(pixels) if len(pixels) >= pool.FEW else None
        if vectors is None:
            if self._embedder is None:
                self._embedder = Embedder(self._files())
            vectors = list(map(self._embedder.embed_masked, pixels))
        return torch.from_numpy(np.stack(vectors)).to(pictures.device)

    def _in_processes(self, pixels: Pixels) -> list[Vector] | None:
        """The vectors of a batch, from processes; None on a single processor."""
        # Of several processes that run a stage together (torchrun) each has its part.
        count = pool.cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        if count < 2:
            return None
        if self._pool is None:
            count = min(count, pool.MOST_WORKERS)
            self._pool = pool.process_pool(count, partial(embedding.load, self._files()))
            # Left to themselves, its processes and the end of this one disturb each other.
            weakref.finalize(self, self._pool.shutdown)
        try:
            return list(self._pool.map(embedding.embed_loaded, pixels, chunksize=4))
        except BrokenProcessPool:
            self._pool = None
            raise UserError(
                "a process that computed face vectors was ended from outside (not enough "
                "memory?); run the same command again"
            ) from None

    def _files(self) -> dict[str, bytes]:
        return {name: getattr(self, name).cpu().numpy().tobytes() for name in _BYTES}


NETWORK = Other(FaceEmbedding, embedding.SIZE, (embedding.PACKAGE,), (), PIXELS)
