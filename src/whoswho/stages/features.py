"""Run the frozen backbone once over every picture and view, and keep what it gives.

Consumes: artifacts/dataset, artifacts/backbone.
Produces: artifacts/features/: one memory-mapped .npy a split, index.json, index.csv; only an
    index that says so where the backbone is to be fine-tuned.
Command: python src/stage.py features
"""

from whoswho import paths
from whoswho.artifacts.split import load_dataset
from whoswho.backbone import device, extraction, network, process_group, weights
from whoswho.backbone.process_group import ProcessGroup
from whoswho.errors import one_line_errors
from whoswho.params import load_params


def main() -> None:
    """Run the stage in the workspace."""
    params = load_params()
    workspace = paths.workspace()
    if params.backbone.unfreeze != 0:
        if not process_group.is_first():
            return
        with paths.fresh_folder(workspace / paths.FEATURES) as out:
            extraction.leave_empty(params.augment, out)
        print("features: none kept, the backbone is fine-tuned (backbone.unfreeze)")
        return

    def extract(process_group: ProcessGroup) -> None:
        pictures = load_dataset(workspace / paths.DATASET)
        state, source = weights.load(workspace / paths.BACKBONE)
        network.check_size(source.arch, pictures.picture.size)
        backbone, width = network.backbone_from(source.arch, state)
        place = device.pick(params.train.device)
        with device.using(place), process_group.fresh_folder(workspace / paths.FEATURES) as out:
            index = extraction.extract(
                pictures, backbone, width, source.sha256, params.augment, out, place, process_group
            )
        splits = ", ".join(
            f"{split} {facts['pictures']} x {facts['views']}"
            for split, facts in index["splits"].items()
        )
        print(f"features: {width} numbers a view in {index['precision']}; {splits}")

    process_group.run(extract, params.train.device)


if __name__ == "__main__":
    with one_line_errors():
        main()
