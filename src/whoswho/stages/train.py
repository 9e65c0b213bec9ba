"""Train the head (and upper backbone), calibrate it on validation, and stream the run to MLflow.

Consumes: artifacts/dataset, artifacts/backbone, artifacts/features.
Produces: artifacts/model/: weights.safetensors, model.json, history.csv; an MLflow run, unless its
    store cannot be reached.
Command: python src/stage.py train
"""

from contextlib import nullcontext

from whoswho import paths
from whoswho.artifacts.backbone import load_backbone
from whoswho.artifacts.features import load_features
from whoswho.artifacts.model import ModelDescription, model_digest, save_model
from whoswho.artifacts.split import load_dataset
from whoswho.backbone import process_group
from whoswho.backbone.process_group import ProcessGroup
from whoswho.errors import one_line_errors
from whoswho.inference.model import softmax
from whoswho.lifecycle import lineage, tracking
from whoswho.params import flatten, load_params
from whoswho.training import calibration, checkpoint, training


def main() -> None:
    """Run the stage in the workspace."""
    params = load_params()
    workspace, root = paths.workspace(), paths.root()

    def train(process_group: ProcessGroup) -> None:
        pictures = load_dataset(workspace / paths.DATASET)
        backbone, source = load_backbone(workspace / paths.BACKBONE)
        stored = None
        if params.backbone.unfreeze == 0:
            stored = load_features(workspace / paths.FEATURES, pictures, source.sha256)
        inputs = training.inputs(
            *(workspace / p for p in (paths.DATASET, paths.BACKBONE, paths.FEATURES))
        )
        key = training.key(inputs, params.train, params.augment, params.backbone.unfreeze)
        kept = checkpoint.Checkpoint(root / paths.CHECKPOINTS / f"{key}.pt", key)

        flat = lineage.training_params(flatten(params))
        tags = {**lineage.tags(workspace, flat, inputs), "backbone": source.entry}
        # One run, however many processes train.
        opened = (
            tracking.training_run(root, flat, tags, pictures.labels)
            if process_group.is_main_process
            else nullcontext(tracking.TrainingRun(None))
        )
        with opened as run:
            fitted = training.fit(
                pictures, source.arch, backbone, stored, params.train, params.augment,
                params.backbone.unfreeze, checkpoint=kept, on_epoch=run.epoch, process_group=process_group,
            )  # fmt: skip
            if not process_group.is_main_process:
                return
            logits, actual = fitted.validation_logits, fitted.validation_targets
            temperature = calibration.fit_temperature(logits, actual)
            probabilities = softmax(logits, temperature)
            description = ModelDescription(
                arch=fitted.arch,
                labels=fitted.labels,
                head=fitted.shape,
                epoch=fitted.epoch,
                repeats=tuple(fitted.repeats),
                picture=pictures.picture,
                temperature=temperature,
                threshold=calibration.fit_threshold(probabilities, params.train.false_reject_rate),
                params=training_only(flat),
                inputs=inputs,
                backbone=source,
            )
            with paths.fresh_folder(workspace / paths.MODEL) as out:
                save_model(out, fitted.state, description, fitted.history)
            run.finished(model_digest(workspace / paths.MODEL))
        kept.remove()
        print(f"train: {training.sentence(fitted)}")

    if params.backbone.unfreeze != 0:
        process_group.run(train, params.train.device)
    elif (
        process_group.is_main_process()
    ):  # a head alone learns in seconds: there is nothing to share
        train(ProcessGroup())


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
