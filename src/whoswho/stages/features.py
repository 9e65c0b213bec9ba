"""Run the frozen trunk once over every picture and view, and keep what it gives.

Consumes: artifacts/dataset, artifacts/backbone.
Produces: artifacts/features/: one memory-mapped .npy a split, index.json, index.csv; only an
    index that says so where the trunk is to be fine-tuned.
Command: python src/stage.py features
"""

from whoswho import params, paths
from whoswho.errors import one_line_errors
from whoswho.learning import dataset, device, features, network, team, weights
from whoswho.learning.team import Team


def main() -> None:
    """Run the stage in the workspace."""
    knobs = params.load()
    workspace = paths.workspace()
    if knobs.backbone.unfreeze != 0:
        if not team.is_first():
            return
        with paths.fresh_folder(workspace / paths.FEATURES) as out:
            features.leave_empty(knobs.augment, out)
        print("features: none kept, the trunk is fine-tuned (backbone.unfreeze)")
        return

    def extract(crew: Team) -> None:
        pictures = dataset.load(workspace / paths.DATASET)
        state, source = weights.load(workspace / paths.BACKBONE)
        network.check_size(source.arch, pictures.picture["size"])
        trunk, width = network.trunk_from(source.arch, state)
        place = device.pick(knobs.train.device)
        with device.using(place), crew.fresh_folder(workspace / paths.FEATURES) as out:
            index = features.extract(
                pictures, trunk, width, source.sha256, knobs.augment, out, place, crew
            )
        splits = ", ".join(
            f"{split} {facts['pictures']} x {facts['views']}"
            for split, facts in index["splits"].items()
        )
        print(f"features: {width} numbers a view in {index['precision']}; {splits}")

    team.run(extract, knobs.train.device)


if __name__ == "__main__":
    with one_line_errors():
        main()
