"""The GPU of this machine, for tests that need one."""

from __future__ import annotations

import pytest
import torch

from whoswho.backbone.compute import device

PLACE = device.pick("auto")

needs_gpu = pytest.mark.skipif(PLACE.type == "cpu", reason="this machine has no GPU")
needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="this machine has no GPU of CUDA"
)
