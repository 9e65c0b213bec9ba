"""What the pipeline leaves for the registry: the outputs of one trained and judged model.

The artifacts of a finished run keep the same layout, so the gate reads a version of long ago with
the same code as today's outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from whoswho.artifacts import model, predictions
from whoswho.artifacts.model import HistoryRow, ModelDescription
from whoswho.artifacts.predictions import Evaluation
from whoswho.artifacts.split import SplitRow, read_split, split_digest

MODEL = Path("model")
EVALUATION = Path("evaluation")
SPLIT = Path("dataset/split.csv")
# What a run keeps of artifacts/; the weights go into the registered model alone.
KEPT = (
    SPLIT,
    *(EVALUATION / name for name in predictions.FILES),
    MODEL / model.DESCRIPTION,
    MODEL / model.HISTORY,
)


@dataclass(frozen=True)
class Outputs:
    """The outputs below `folder`: artifacts/ of a workspace, or the artifacts of a run."""

    folder: Path

    @property
    def format(self) -> object:
        """The number of the model's format; `model` can be read where it is today's."""
        return model.read_format(self.folder / MODEL)

    @property
    def model(self) -> ModelDescription:
        """Architecture, labels in order, params, inputs, backbone."""
        return model.read_description(self.folder / MODEL)

    @property
    def history(self) -> list[HistoryRow]:
        """One row an epoch: `epoch` and its metrics."""
        return model.read_history(self.folder / MODEL)

    @property
    def evaluation(self) -> Evaluation:
        """What evaluate measured."""
        return predictions.read_evaluation(self.folder / EVALUATION)

    @property
    def split(self) -> list[SplitRow]:
        """One row a picture of the set: its hash, label and split."""
        return read_split(self.folder / SPLIT.parent)

    @property
    def split_digest(self) -> str:
        """Hash of which picture lies in which split; equal digests may be compared."""
        return split_digest(self.split)
