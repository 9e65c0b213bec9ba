"""Judge the model as it will be served, on the pictures of validation and test.

Consumes: artifacts/model (what it gives for the validation pictures is there already),
    artifacts/dataset, artifacts/clean (sizes and brightness, for shortcuts).
Produces: artifacts/evaluation/: predictions.csv (a row a picture), per_label.csv,
    confusion_matrix.csv, evaluation.json (metrics; no test/* where the set has no test split),
    attention.json (where it looked, one picture of each of at most 24 labels), robustness.csv
    (accuracy where pictures get worse), shortcuts.csv (labels told without the face).
Command: python src/stage.py evaluate
"""

from dataclasses import replace

from whoswho import paths
from whoswho.artifacts.decisions import read_decisions
from whoswho.artifacts.predictions import write_evaluation
from whoswho.artifacts.split import load_dataset
from whoswho.backbone.compute import device
from whoswho.evaluation import judging, shortcuts
from whoswho.params import load_params


def main() -> None:
    """Run the stage in the workspace."""
    params = load_params()
    workspace = paths.workspace()
    dataset = load_dataset(workspace / paths.DATASET)
    processor = device.pick(params.train.device)
    with device.using(processor):
        evaluation = judging.judge(workspace / paths.MODEL, dataset, params.evaluate, processor)
    decisions = read_decisions(workspace / paths.CLEAN)
    checked = shortcuts.check(dataset, decisions, params.evaluate.seed)
    evaluation = replace(evaluation, shortcuts=tuple(checked))
    with paths.fresh_folder(workspace / paths.EVALUATION) as out:
        write_evaluation(out, evaluation)
    metric = evaluation.metric
    unexplained = "" if evaluation.heat_maps else "; this backbone gives no heat maps"
    print(
        f"evaluate: {evaluation.judged} accuracy {metric('accuracy'):.3f} "
        f"({metric('accuracy_low'):.3f} to {metric('accuracy_high'):.3f}), "
        f"chance {metric('chance'):.3f}, {len(evaluation.judged_pictures)} pictures"
        f"{unexplained}"
    )
