"""What a model gives for the prepared pictures of a split, as it will be served."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from whoswho.artifacts.split import Dataset, open_prepared
from whoswho.inference.model import Model

# Calibration and evaluation take the same batches: another size rounds otherwise.
_BATCH = 16


def served_logits(model: Model, dataset: Dataset, split: str) -> NDArray[np.float64]:
    """The model's output for all pictures of a split, (pictures, labels)."""
    examples = dataset.examples[split]
    batches = []
    with tqdm(total=len(examples), desc=split, unit="picture", disable=None, leave=False) as bar:
        for start in range(0, len(examples), _BATCH):
            images = [open_prepared(e.path) for e in examples[start : start + _BATCH]]
            batches.append(model.logits(images))
            bar.update(len(images))
    return np.concatenate(batches)
