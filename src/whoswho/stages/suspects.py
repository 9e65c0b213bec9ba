"""List the pictures whose label looks wrong, for a person to decide about.

Consumes: artifacts/dataset, artifacts/features.
Produces: artifacts/suspects/: suspects.csv (ranked; none where the backbone is fine-tuned, because
    then no features are kept) and suspects.json (what the list stands on). No stage reads them.
Command: python src/stage.py suspects
"""

from whoswho import paths
from whoswho.artifacts.features import has_features, load_features
from whoswho.artifacts.split import load_dataset
from whoswho.errors import one_line_errors
from whoswho.params import load_params
from whoswho.training import suspects


def main() -> None:
    """Run the stage in the workspace."""
    params = load_params()
    workspace = paths.workspace()
    stored = workspace / paths.FEATURES
    if has_features(stored):
        pictures = load_dataset(workspace / paths.DATASET)
        found = suspects.find(pictures, load_features(stored, pictures), params.suspects)
    else:
        found = suspects.Found(
            why_none="the backbone is fine-tuned and no features are kept; backbone.unfreeze: 0 "
            "keeps them"
        )
    with paths.fresh_folder(workspace / paths.SUSPECTS) as out:
        suspects.write(found, out)
    print(f"suspects: {found.sentence}")


if __name__ == "__main__":
    with one_line_errors():
        main()
