"""Run the frozen backbone once over every picture and view, and keep what it gives.

Consumes: artifacts/dataset, artifacts/backbone.
Produces: artifacts/features/: one memory-mapped .npy a split, index.json, index.csv; only an
    index that says so where the backbone is to be fine-tuned.
Command: python src/stage.py features
"""

from whoswho import paths
from whoswho.artifacts.features import write_empty_index
from whoswho.artifacts.model.backbone import load_backbone
from whoswho.artifacts.split import dataset_digest, load_dataset
from whoswho.backbone import extraction, network
from whoswho.backbone.compute import device
from whoswho.backbone.loading import process_group
from whoswho.backbone.loading.process_group import ProcessGroup
from whoswho.params import load_params
from whoswho.wording import plural


def main() -> None:
    """Run the stage in the workspace."""
    params = load_params()
    workspace = paths.workspace()
    if params.backbone.unfreeze != 0:
        if process_group.is_main_process():
            with paths.fresh_folder(workspace / paths.FEATURES) as out:
                write_empty_index(out, params.augment.model_dump())
            print("features: none kept, the backbone is fine-tuned (backbone.unfreeze)")
        return

    def extract(group: ProcessGroup) -> None:
        dataset = load_dataset(workspace / paths.DATASET)
        state, source = load_backbone(workspace / paths.BACKBONE)
        network.check_size(source.arch, dataset.picture.size)
        read = dataset_digest(dataset.folder), source.sha256, params.augment.model_dump_json()
        group.check_same("what features reads", paths.digest(*read))
        faceless = extraction.check_faces(dataset, source.arch)
        backbone, width = network.backbone_from(source.arch, state)
        processor = device.pick(params.train.device)
        with device.using(processor), group.fresh_folder(workspace / paths.FEATURES) as out:
            index = extraction.extract(
                dataset,
                backbone,
                width,
                source.sha256,
                params.augment,
                out,
                processor,
                group,
                workspace / paths.BACKBONE,
            )
        if index:
            splits = ", ".join(f"{s} {i.pictures} x {i.views}" for s, i in index.splits.items())
            note = f"; {plural(faceless, 'picture')} without a face" if faceless else ""
            print(f"features: {width} numbers a view in {index.precision}; {splits}{note}")

    process_group.run(extract, params.train.device)
