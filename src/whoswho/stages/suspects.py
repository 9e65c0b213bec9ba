"""List the pictures whose label looks wrong, for a person to decide about.

Consumes: artifacts/dataset, artifacts/features.
Produces: artifacts/suspects/: suspects.csv (ranked; none where the trunk is fine-tuned, because
    then no features are kept) and suspects.json (what the list stands on). No stage reads them.
Command: python src/stage.py suspects
"""

from whoswho import params, paths
from whoswho.errors import one_line_errors
from whoswho.learning import dataset, feature_files, suspects


def main() -> None:
    """Run the stage in the workspace."""
    knobs = params.load()
    workspace = paths.workspace()
    stored = workspace / paths.FEATURES
    if feature_files.are_kept(stored):
        pictures = dataset.load(workspace / paths.DATASET)
        found = suspects.find(pictures, feature_files.load(stored, pictures), knobs.suspects)
    else:
        found = suspects.Found(
            why_none="the trunk is fine-tuned and no features are kept; backbone.unfreeze: 0 "
            "keeps them"
        )
    with paths.fresh_folder(workspace / paths.SUSPECTS) as out:
        suspects.write(found, out)
    print(f"suspects: {found.sentence}")


if __name__ == "__main__":
    with one_line_errors():
        main()
