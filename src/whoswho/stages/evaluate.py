"""Judge the model as it will be served, on the pictures of validation and test.

Consumes: artifacts/model, artifacts/dataset.
Produces: artifacts/evaluation/: predictions.csv (a row a picture), metrics.json (numbers only; no
    test/* where the set has no test split), attention.json (where it looked, one
    picture of each of at most 24 labels).
Command: python src/stage.py evaluate
"""

from whoswho import paths, tables
from whoswho.artifacts.split import load_dataset
from whoswho.backbone import device
from whoswho.errors import one_line_errors
from whoswho.evaluation import judging, measures
from whoswho.inference import model_folder
from whoswho.params import load_params


def main() -> None:
    """Run the stage in the workspace."""
    params = load_params()
    workspace = paths.workspace()
    pictures = load_dataset(workspace / paths.DATASET)
    place = device.pick(params.train.device)
    with device.using(place):
        model = model_folder.load(workspace / paths.MODEL, place)
    metrics = model_folder.repeated(model.description)
    header: list[str] = []
    rows: list[dict[str, object]] = []
    judged = "test" if "test" in pictures.splits else "validation"
    heat: dict[str, list[list[float]]] = {}
    for split in (split for split in pictures.splits if split != "train"):
        with device.using(place):
            answers = judging.answer(model, pictures, split)
        found = measures.measure(
            answers.actual, answers.probabilities, answers.probabilities_uncalibrated, model.labels,
            model.threshold, bootstrap=params.evaluate.bootstrap,
            bins=params.evaluate.bins, seed=params.evaluate.seed,
        )  # fmt: skip
        metrics.update((f"{split}/{name}", value) for name, value in found.items())
        header, more = judging.table(answers, pictures, model.threshold)
        rows += more
        if split == judged:
            with device.using(place):
                heat = judging.attention(model, pictures, answers)
    with paths.fresh_folder(workspace / paths.EVALUATION) as out:
        tables.write(out / "predictions.csv", header, rows)
        paths.write_json(out / "metrics.json", metrics)
        paths.write_json(out / judging.ATTENTION, heat)
    print(
        f"evaluate: {judged} accuracy {metrics[f'{judged}/accuracy']:.3f} "
        f"({metrics[f'{judged}/accuracy_low']:.3f} to {metrics[f'{judged}/accuracy_high']:.3f}), "
        f"chance {metrics[f'{judged}/chance']:.3f}, {metrics[f'{judged}/pictures']} pictures"
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
