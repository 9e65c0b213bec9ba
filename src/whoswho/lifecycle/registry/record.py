"""The record of a model: what it was trained and judged on, as its run and its version keep it.

Outputs of the pipeline, the artifacts of a run and those of a version have one layout, so the gate
reads a version of long ago with the same code as today's outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from whoswho.artifacts import predictions, split
from whoswho.artifacts.model import description
from whoswho.artifacts.model.description import ModelDescription
from whoswho.artifacts.predictions import Evaluation, PredictionRow
from whoswho.artifacts.split import SplitRow

MODEL, DATASET, EVALUATION = Path("model"), Path("dataset"), Path("evaluation")
SPLIT = DATASET / split.SPLIT
# The weights go into the registered model alone, and of the pictures a few (`probe_files`).
FILES = (
    SPLIT,
    *(EVALUATION / name for name in predictions.FILES),
    MODEL / description.DESCRIPTION,
    MODEL / description.HISTORY,
)


@dataclass(frozen=True)
class Record:
    """What is known of one model; its files lie below `folder` as those of artifacts/ do."""

    folder: Path
    model: ModelDescription
    split: Sequence[SplitRow]
    evaluation: Evaluation

    @cached_property
    def digest(self) -> str:
        """What names the model for good; its weights must be there."""
        return description.model_digest(self.folder / MODEL)

    @cached_property
    def taught(self) -> frozenset[str]:
        """The pictures that taught it, by the sha256 of their files."""
        return frozenset(row.sha256 for row in self.split if row.split == "train")

    @cached_property
    def tested(self) -> dict[str, PredictionRow]:
        """Its answers to its test pictures, by the sha256 of their files."""
        sha256 = {row.file: row.sha256 for row in self.split}
        return {
            sha256[row.file]: row
            for row in self.evaluation.pictures
            if row.split == "test" and row.file in sha256
        }

    @property
    def split_digest(self) -> str:
        """Hash of which picture lies in which split; equal digests may be compared."""
        return split.split_digest(self.split)


def read_record(folder: Path) -> Record:
    """The record in `folder`: artifacts/ of a workspace, or what a version kept.

    Raises:
        UserError: a file is absent or damaged, or the model is of another format.
    """
    return Record(
        folder,
        description.read_description(folder / MODEL),
        split.read_split(folder / DATASET),
        predictions.read_evaluation(folder / EVALUATION),
    )
