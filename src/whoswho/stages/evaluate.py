"""Judge the model as it will be served, on the pictures of validation and test.

Consumes: artifacts/model, artifacts/dataset.
Produces: artifacts/evaluation/: predictions.csv (a row a picture), metrics.json (numbers only; no
    test/* where the set has no test split), attention.json (where it looked, one
    picture of each of at most 24 labels).
Command: python src/stage.py evaluate
"""

from whoswho import params, paths, tables
from whoswho.errors import one_line_errors
from whoswho.learning import dataset, device, evaluation, measures, model_folder


def main() -> None:
    """Run the stage in the workspace."""
    knobs = params.load()
    workspace = paths.workspace()
    pictures = dataset.load(workspace / paths.DATASET)
    place = device.pick(knobs.train.device)
    with device.using(place):
        model = model_folder.load(workspace / paths.MODEL, place)
    metrics = model_folder.repeated(model.description)
    header: list[str] = []
    rows: list[dict[str, object]] = []
    judged = "test" if "test" in pictures.splits else "validation"
    heat: dict[str, list[list[float]]] = {}
    for split in (split for split in pictures.splits if split != "train"):
        with device.using(place):
            answers = evaluation.answer(model, pictures, split)
        found = measures.measure(
            answers.actual, answers.shares, answers.shares_uncalibrated, model.labels,
            model.threshold, bootstrap=knobs.evaluate.bootstrap,
            bins=knobs.evaluate.bins, seed=knobs.evaluate.seed,
        )  # fmt: skip
        metrics.update((f"{split}/{name}", value) for name, value in found.items())
        header, more = evaluation.table(answers, pictures, model.threshold)
        rows += more
        if split == judged:
            with device.using(place):
                heat = evaluation.attention(model, pictures, answers)
    with paths.fresh_folder(workspace / paths.EVALUATION) as out:
        tables.write(out / "predictions.csv", header, rows)
        paths.write_json(out / "metrics.json", metrics)
        paths.write_json(out / evaluation.ATTENTION, heat)
    print(
        f"evaluate: {judged} accuracy {metrics[f'{judged}/accuracy']:.3f} "
        f"({metrics[f'{judged}/accuracy_low']:.3f} to {metrics[f'{judged}/accuracy_high']:.3f}), "
        f"chance {metrics[f'{judged}/chance']:.3f}, {metrics[f'{judged}/pictures']} pictures"
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
