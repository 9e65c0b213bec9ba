"""What the pipeline leaves for the registry: the outputs of one trained and judged model.

The artifacts of a finished run keep the same layout, so the gate reads a version of long ago with
the same code as today's outputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whoswho import labels, paths, tables
from whoswho.artifacts.split import SplitRow, read_split, split_digest

SPLIT = Path("dataset/split.csv")
PREDICTIONS = Path("evaluation/predictions.csv")
METRICS = Path("evaluation/metrics.json")
MODEL = Path("model/model.json")
HISTORY = Path("model/history.csv")
# What a run keeps of artifacts/; the weights go into the registered model alone.
KEPT = (SPLIT, PREDICTIONS, METRICS, MODEL, HISTORY)


@dataclass(frozen=True)
class Outputs:
    """The outputs below `folder`: artifacts/ of a workspace, or the artifacts of a run."""

    folder: Path

    @property
    def model(self) -> Mapping[str, Any]:
        """model.json: architecture, labels in order, params, inputs, backbone."""
        content: Mapping[str, Any] = paths.read_json(self.folder / MODEL)
        return content

    @property
    def labels(self) -> list[str]:
        """The model's labels in its order."""
        return list(self.model["labels"])

    @property
    def history(self) -> list[dict[str, float]]:
        """One row an epoch: `epoch` and its metrics."""
        return [
            {name: float(cell) for name, cell in row.items() if cell != ""}
            for row in tables.read(self.folder / HISTORY, ["epoch"])
        ]

    @property
    def metrics(self) -> dict[str, float]:
        """What evaluate measured, `split/quantity` -> number."""
        content: dict[str, float] = paths.read_json(self.folder / METRICS)
        return content

    @property
    def predictions(self) -> list[tables.Row]:
        """One row a judged picture."""
        return tables.read(self.folder / PREDICTIONS, ["file", "split", "actual", "predicted"])

    @property
    def split(self) -> list[SplitRow]:
        """One row a picture of the set: its hash, label and split."""
        return read_split(self.folder / SPLIT.parent)

    @property
    def judged(self) -> str:
        """The split a model is judged on: test, or validation where there is no test."""
        found = {row["split"] for row in self.predictions}
        return "test" if "test" in found else "validation"

    @property
    def split_digest(self) -> str:
        """Hash of which picture lies in which split; equal digests may be compared."""
        return split_digest(self.split)

    def recall(self, split: str) -> dict[str, float | None]:
        """Share of a label's pictures that were given its name; None where it has none."""
        rows = [row for row in self.predictions if row["split"] == split]
        support = Counter(row["actual"] for row in rows)
        right = Counter(row["actual"] for row in rows if row["actual"] == row["predicted"])
        return {
            label: right[label] / support[label] if support[label] else None
            for label in self.labels
        }

    def recall_metrics(self) -> dict[str, float]:
        """`split/recall/<label>` -> recall, for every label the split holds."""
        return {
            labels.metric_key(f"{split}/recall", label): value
            for split in sorted({row["split"] for row in self.predictions})
            for label, value in self.recall(split).items()
            if value is not None
        }

    def confusion(self) -> list[dict[str, object]]:
        """The confusion matrix of the judged split: a row a label, a column a name given."""
        rows = [row for row in self.predictions if row["split"] == self.judged]
        counts = Counter((row["actual"], row["predicted"]) for row in rows)
        return [
            {
                "actual": actual,
                **{f"predicted/{name}": counts[actual, name] for name in self.labels},
            }
            for actual in self.labels
        ]
