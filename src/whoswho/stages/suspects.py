"""List the pictures whose label looks wrong, for a person to decide about.

Consumes: artifacts/dataset (and its face vectors, where cleaning told faces apart), else
    artifacts/features.
Produces: artifacts/suspects/: suspects.csv (ranked; none where the labels cannot be
    told apart well enough) and suspects.json (what the list rests on). No stage reads them.
Command: python src/stage.py suspects
"""

from whoswho import paths
from whoswho.artifacts.features import load_features, read_index
from whoswho.artifacts.split import face_vectors, load_dataset
from whoswho.artifacts.suspects import NO_FEATURES, SuspectList, write_suspects
from whoswho.params import load_params
from whoswho.suspects.confident_learning import by_faces, by_features


def main() -> None:
    """Run the stage in the workspace."""
    params = load_params()
    workspace = paths.workspace()
    dataset = load_dataset(workspace / paths.DATASET)
    vectors = face_vectors(dataset)
    if vectors is not None:
        listed = by_faces(dataset, vectors, params.suspects)
    elif read_index(workspace / paths.FEATURES).frozen:
        features = load_features(workspace / paths.FEATURES, dataset)
        listed = by_features(dataset, features, params.suspects)
    else:
        listed = SuspectList(none_because=NO_FEATURES)
    with paths.fresh_folder(workspace / paths.SUSPECTS) as folder:
        write_suspects(folder, listed)
    print(f"suspects: {listed.sentence}")
