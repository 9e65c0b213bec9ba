"""Versions of a real, small model in a store."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support import lifecycle_outputs as small
from support.lifecycle_models import make_model, teach
from support.repository import REPOSITORY
from whoswho import paths
from whoswho.artifacts.model.description import read_description, write_description
from whoswho.lifecycle.registry import completion, promotion, registration
from whoswho.lifecycle.registry.record import Record, read_record
from whoswho.lifecycle.registry.registration import Registered
from whoswho.lifecycle.tracking.store import open_store
from whoswho.params import Promote

POLICY = Promote(
    margin=0.02, recall_floor=0.0, significance=None, strangers_margin=0.1, newcomer_likeness=0.7
)


@pytest.fixture(scope="session", name="weights")
def fixture_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real, small model: MLflow tries each version it is given."""
    return teach(make_model(tmp_path_factory.mktemp("weights"), small.LABELS))


def outputs_of(root: Path, weights: Path, limit: float = 0.3, **kind: object) -> Record:
    """A record around the real model; each `limit` is another model."""
    record = small.write(root, **kind)  # type: ignore[arg-type]
    folder = record.folder / "model"
    shutil.copy(weights / "weights.safetensors", folder)
    loaded = read_description(weights)
    kept = record.model
    model = loaded.model_copy(
        update={
            "labels": kept.labels,
            "params": kept.params,
            "backbone": kept.backbone,
            "min_similarity": limit,
        }
    )
    write_description(folder, model)
    return read_record(record.folder)


def root_of_versions(root: Path, made: Path, weights: Path, *kinds: dict[str, object]) -> Record:
    """Make a root with a version of each kind, each but the last one champion in its turn.

    `kinds` are what `outputs_of` takes; returned is what the last version was made of.
    """
    shutil.copytree(made, root)
    shutil.copy(REPOSITORY / paths.PARAMS, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for number, kind in enumerate(kinds, start=1):
            record = outputs_of(root, weights, **kind)  # type: ignore[arg-type]
            register(root, record)
            if number < len(kinds):
                promotion.promote(open_store(root), "challenger", POLICY)
    return record


def register(root: Path, record: Record, when: str = "always", card: str = "") -> Registered:
    store = open_store(root)
    run = completion.completed_run(
        store, record, root / "reports", small.PARAMS, {"commit": "c0ffee"}
    )
    return registration.register(store, run.info.run_id, record, when, card)
