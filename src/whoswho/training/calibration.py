"""What validation teaches about the answers: how sure they are, and when there should be none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whoswho import params
from whoswho.artifacts.model.description import write_description, write_validation_logits
from whoswho.artifacts.split import Dataset
from whoswho.backbone.compute import device as devices
from whoswho.evaluation.served import served_logits
from whoswho.inference.model import Float64, load_model, softmax

# Beyond these a temperature says that validation was all right or all wrong, not how sure to be.
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0


def calibrate_model(folder: Path, dataset: Dataset, train: params.Train) -> None:
    """Fit temperature and threshold of the model in `folder` on validation; rewrite model.json.

    It is the model as it is served that tells how sure its answers are, by the code that judges
    it: trained on stored features or in 16 bits, the network rounds otherwise. Its logits are
    written beside model.json, to be judged without another pass over the pictures.
    """
    device = devices.pick(train.device)
    with devices.using(device):
        model = load_model(folder, device)
        logits = served_logits(model, dataset, "validation")
    temperature = fit_temperature(logits, dataset.targets("validation"))
    threshold = fit_threshold(softmax(logits, temperature), train.false_reject_rate)
    fitted = {"temperature": temperature, "threshold": threshold}
    description = model.description.model_copy(update=fitted)
    write_description(folder, description)
    write_validation_logits(folder, logits)


def fit_temperature(logits: NDArray[np.floating], targets: NDArray[np.int64]) -> float:
    """The temperature between MIN_TEMPERATURE and MAX_TEMPERATURE with the lowest log loss.

    Temperature scaling is that of Guo et al. 2017, arXiv:1706.04599. The loss is convex in
    1 / temperature and its slope there is the mean of (logit expected under the softmax - logit of
    the actual label), so the zero of the slope is found by bisection.
    """
    target_logits = np.asarray(logits, np.float64)[np.arange(len(targets)), targets]

    def slope(inverse: float) -> float:
        expected = (softmax(logits, 1 / inverse) * logits).sum(axis=1)
        return float((expected - target_logits).mean())

    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    if slope(low) >= 0:
        return MAX_TEMPERATURE
    if slope(high) <= 0:
        return MIN_TEMPERATURE
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return 2 / (low + high)


def fit_threshold(probabilities: Float64, false_reject_rate: float) -> float:
    """The threshold that rejects at most that fraction of known pictures, (pictures, labels).

    It lies halfway between the least sure picture that stays and the next one below. Where none
    is to be rejected, it lies a thousandth below the least sure one: in a batch of another size
    the network rounds otherwise, which must not turn that one away.
    """
    confidences = np.sort(probabilities.max(axis=1))
    rejected = int(np.floor(false_reject_rate * len(confidences) + 1e-9))
    if rejected >= len(confidences):
        return 1.0
    if rejected == 0:
        return float(0.999 * confidences[0])
    return float(confidences[rejected - 1 : rejected + 1].mean())
