"""Train the head (and upper trunk), calibrate it on validation, and stream the run to MLflow.

Consumes: artifacts/dataset, artifacts/backbone, artifacts/features.
Produces: artifacts/model/: weights.safetensors, model.json, history.csv; an MLflow run, unless its
    store cannot be reached.
Command: python src/stage.py train
"""

from contextlib import nullcontext

from whoswho import params, paths
from whoswho.errors import one_line_errors
from whoswho.learning import (
    calibration,
    checkpoint,
    dataset,
    feature_files,
    model_files,
    model_folder,
    team,
    training,
    weights,
)  # fmt: skip
from whoswho.learning.team import Team
from whoswho.lifecycle import lineage, tracking


def main() -> None:
    """Run the stage in the workspace."""
    knobs = params.load()
    workspace, root = paths.workspace(), paths.root()

    def train(crew: Team) -> None:
        pictures = dataset.load(workspace / paths.DATASET)
        trunk, source = weights.load(workspace / paths.BACKBONE)
        stored = None
        if knobs.backbone.unfreeze == 0:
            stored = feature_files.load(workspace / paths.FEATURES, pictures, source.sha256)
        inputs = training.inputs(
            *(workspace / p for p in (paths.DATASET, paths.BACKBONE, paths.FEATURES))
        )
        key = training.key(inputs, knobs.train, knobs.augment, knobs.backbone.unfreeze)
        kept = checkpoint.Checkpoint(root / paths.CHECKPOINTS / f"{key}.pt", key)

        flat = lineage.training_params(params.flatten(knobs))
        tags = {**lineage.tags(workspace, flat, inputs), "backbone": source.entry}
        # One run, however many processes train.
        opened = (
            tracking.training_run(root, flat, tags, pictures.labels)
            if crew.leads
            else nullcontext(tracking.TrainingRun(None))
        )
        with opened as run:
            fitted = training.fit(
                pictures, source.arch, trunk, stored, knobs.train, knobs.augment,
                knobs.backbone.unfreeze, checkpoint=kept, on_epoch=run.epoch, team=crew,
            )  # fmt: skip
            if not crew.leads:
                return
            logits, actual = fitted.validation_logits, fitted.validation_targets
            temperature = calibration.fit_temperature(logits, actual)
            shares = calibration.probabilities(logits, temperature)
            with paths.fresh_folder(workspace / paths.MODEL) as out:
                model_folder.save(
                    out, fitted, picture=pictures.picture, temperature=temperature,
                    threshold=calibration.fit_threshold(shares, knobs.train.turn_away),
                    params=training_only(flat), inputs=inputs, source=source,
                )  # fmt: skip
            run.finished(model_files.digest(workspace / paths.MODEL))
        kept.remove()
        print(f"train: {training.sentence(fitted)}")

    if knobs.backbone.unfreeze != 0:
        team.run(train, knobs.train.device)
    elif team.is_first():  # a head alone learns in seconds: there is nothing to share
        train(Team())


def training_only(flat: dict[str, object]) -> dict[str, object]:
    """The params that this stage reads itself.

    Those of earlier stages are in its inputs' hashes: named here as well, a knob that changed
    nothing in the data would change the model's bytes.
    """
    return {
        key: value
        for key, value in flat.items()
        if key.startswith(("train.", "augment.")) or key == "backbone.unfreeze"
    }


if __name__ == "__main__":
    with one_line_errors():
        main()
