"""What a network gives for the prepared pictures of a split, as it will be served."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from whoswho.artifacts.split import Dataset, open_prepared
from whoswho.backbone.network import Network
from whoswho.inference.model import Outputs, outputs
from whoswho.pictures import tensors

# Calibration and evaluation take the same batches: another size rounds otherwise.
_BATCH = 16


def served_outputs(network: Network, dataset: Dataset, split: str) -> Outputs:
    """The outputs for all pictures of a split, in the order of split.csv."""
    examples = dataset.examples[split]
    batches = []
    with tqdm(total=len(examples), desc=split, unit="picture", disable=None, leave=False) as bar:
        for start in range(0, len(examples), _BATCH):
            chosen = examples[start : start + _BATCH]
            images = [tensors.with_face(open_prepared(e.path), e.face) for e in chosen]
            batches.append(outputs(network, images))
            bar.update(len(images))
    return Outputs(
        np.concatenate([batch.logits for batch in batches]),
        np.concatenate([batch.features for batch in batches]),
    )
