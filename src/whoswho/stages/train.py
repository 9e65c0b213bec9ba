"""Train the head (and upper backbone), calibrate it on held-out pictures, stream it to MLflow.

Consumes: artifacts/dataset, artifacts/backbone, artifacts/features.
Produces: artifacts/model/: weights.safetensors, model.json, history.csv; an MLflow run, unless
    its store cannot be reached.
Command: python src/stage.py train
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from whoswho import paths
from whoswho.artifacts.features import load_features
from whoswho.artifacts.model.backbone import load_backbone
from whoswho.artifacts.model.description import ModelDescription, model_digest, save_model
from whoswho.artifacts.split import load_dataset
from whoswho.backbone.loading import process_group
from whoswho.backbone.loading.process_group import ProcessGroup
from whoswho.lifecycle.tracking import lineage
from whoswho.params import flatten, load_params
from whoswho.training.checkpoint import Checkpoint
from whoswho.training.fit import fit
from whoswho.training.held_out import calibrate
from whoswho.training.inputs import Recipe, TrainingData, input_digests, training_key
from whoswho.workers import cluster

if TYPE_CHECKING:
    from whoswho.lifecycle.tracking.runs import TrainingRun


def main() -> None:
    """Run the stage in the workspace, fine-tuning in as many processes as are asked for."""
    params = load_params()
    if params.backbone.unfreeze != 0:
        if process_group.is_main_process():
            cluster.stays_here("fine-tuning runs here, or on several machines with torchrun")
        process_group.run(train, params.train.device)
    elif process_group.is_main_process():  # a head learns in seconds: nothing is to be shared
        train(ProcessGroup())


def train(group: ProcessGroup) -> None:
    """Run the stage as one of the processes that train together."""
    params, workspace, root = load_params(), paths.workspace(), paths.root()
    recipe = Recipe(params.train, params.augment, params.backbone.unfreeze)
    dataset = load_dataset(workspace / paths.DATASET)
    backbone, source = load_backbone(workspace / paths.BACKBONE)
    features = None
    if recipe.unfreeze == 0:
        features = load_features(workspace / paths.FEATURES, dataset, source.sha256)
    data = TrainingData(dataset, source.arch, backbone, features)
    digests = input_digests(workspace)
    key = training_key(digests, recipe)
    group.check_same("what train reads", key)
    checkpoint = Checkpoint.of(root, key)

    flat = lineage.training_params(flatten(params))
    tags = lineage.tags(workspace, flat, digests)
    tags |= lineage.backbone_tags(source, dataset.picture.crop)
    files = lineage.files(workspace, flat, tags)
    opened: AbstractContextManager[TrainingRun | None] = nullcontext()
    if group.is_main_process:  # one run, however many processes train
        from whoswho.lifecycle.tracking import runs  # and MLflow, two seconds, for it alone

        opened = runs.training_run(root, flat, tags, files)
    with opened as run:
        on_epoch = run.epoch if run else lambda row: None
        fitted = fit(data, recipe, checkpoint=checkpoint, on_epoch=on_epoch, process_group=group)
        if run is None:
            return
        calibration = calibrate(data, recipe, fitted)
        description = ModelDescription(
            arch=source.arch,
            labels=dataset.labels,
            head=fitted.head,
            epoch=fitted.epoch,
            repeats=tuple(fitted.repeats),
            picture=dataset.picture,
            temperature=calibration.temperature,
            min_similarity=calibration.min_similarity,
            cross_validation=calibration.metrics,
            likeness=calibration.likeness,
            params=recipe.flat(),
            inputs=digests,
            backbone=source,
        )
        with paths.fresh_folder(workspace / paths.MODEL) as folder:
            state = fitted.state | calibration.centres.to_state()
            save_model(folder, state, description, fitted.history)
        run.finished(model_digest(workspace / paths.MODEL))
    checkpoint.remove()
    print(f"train: {fitted.sentence}{calibration.sentence}")
