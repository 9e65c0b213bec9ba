"""List the pictures whose label looks wrong, for a person to decide about.

Consumes: artifacts/dataset, artifacts/features.
Produces: artifacts/suspects/: suspects.csv (ranked; none where the backbone is fine-tuned, because
    then no features are kept) and suspects.json (what the list rests on). No stage reads them.
Command: python src/stage.py suspects
"""

from whoswho import paths
from whoswho.artifacts.features import load_features, read_index
from whoswho.artifacts.split import load_dataset
from whoswho.artifacts.suspects import NO_FEATURES, SuspectList, write_suspects
from whoswho.errors import one_line_errors
from whoswho.params import load_params
from whoswho.suspects.confident_learning import find_suspects


def main() -> None:
    """Run the stage in the workspace."""
    params = load_params()
    workspace = paths.workspace()
    listed = SuspectList(none_because=NO_FEATURES)
    if read_index(workspace / paths.FEATURES).frozen:
        dataset = load_dataset(workspace / paths.DATASET)
        features = load_features(workspace / paths.FEATURES, dataset)
        listed = find_suspects(dataset, features, params.suspects)
    with paths.fresh_folder(workspace / paths.SUSPECTS) as folder:
        write_suspects(folder, listed)
    print(f"suspects: {listed.sentence}")


if __name__ == "__main__":
    with one_line_errors():
        main()
