"""Why a picture got its name: the training pictures of the answered person that are most like it.

Likeness is the one by which `unknown` is answered: the cosine of scaled features. So a wrong
answer leads to the pictures that taught it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whoswho import paths
from whoswho.artifacts.decisions import read_decisions
from whoswho.artifacts.features import index_digest, load_features
from whoswho.artifacts.split import load_dataset
from whoswho.dataset import manifest
from whoswho.errors import UserError
from whoswho.inference.model import Model
from whoswho.inference.predictor import Prediction
from whoswho.inference.similarity import Centres

COUNT = 3


@dataclass(frozen=True)
class Neighbour:
    """A training picture.

    Attributes:
        file: posix path below data/.
        similarity: to the picture that was asked about, -1 to 1.
        source: the address it came from, empty where nobody noted one.
        decision: what a person said of it, `kept` where nobody did.
    """

    file: str
    similarity: float
    source: str
    decision: str

    def __str__(self) -> str:
        parts = [f"{self.similarity:.3f}", f"data/{self.file}", self.decision, self.source]
        return "  ".join(filter(None, parts))


@dataclass(frozen=True)
class Neighbours:
    """The training pictures of a model.

    Attributes:
        files: posix paths below data/; `labels`: of each.
        features: (pictures, width), of their first views.
        sources, decisions: by file, as in `Neighbour`.
        prepared: by file, the picture as the network saw it.
    """

    centres: Centres
    files: Sequence[str]
    labels: NDArray[np.str_]
    features: NDArray[np.float32]
    sources: Mapping[str, str]
    decisions: Mapping[str, str]
    prepared: Mapping[str, Path]

    @classmethod
    def of(cls, workspace: Path, model: Model) -> Neighbours:
        """Those that lie in a workspace.

        Raises:
            UserError: its features are not those that the model was trained on.
        """
        folder = workspace / paths.FEATURES
        if model.description.inputs.get("features") != index_digest(folder):
            raise UserError(
                f"{folder}: not the features that this model was trained on; go back to its "
                "commit and `dvc checkout`, or ask with --model artifacts/model"
            )
        dataset = load_dataset(workspace / paths.DATASET)
        train = load_features(folder, dataset)["train"]
        decisions = read_decisions(workspace / paths.CLEAN)
        rows = manifest.read(workspace / paths.DATA)
        return cls(
            model.centres,
            [example.file for example in dataset.examples["train"]],
            np.array([dataset.labels[target] for target in train.targets]),
            train.values[0],
            {row.file: row.page_url or row.address for row in rows if row.file},
            {row.file: row.reviewed or row.decision for row in decisions},
            {example.file: example.path for example in dataset.examples["train"]},
        )

    def nearest(self, prediction: Prediction, count: int = COUNT) -> list[Neighbour]:
        """The `count` pictures of the answered person that are most like it, the likest first."""
        if prediction.features is None:
            return []
        own = np.flatnonzero(self.labels == prediction.label)
        directed = self.centres.directed
        cosines = directed(self.features[own]) @ directed(prediction.features[np.newaxis])[0]
        neighbours = []
        for index in np.argsort(-cosines, kind="stable")[:count]:
            file = self.files[own[index]]
            source, decision = self.sources.get(file, ""), self.decisions.get(file, "")
            neighbours.append(Neighbour(file, round(float(cosines[index]), 4), source, decision))
        return neighbours
