"""Complete the model's run in MLflow, and bring the model into the registry.

Consumes: artifacts/model, artifacts/evaluation, artifacts/dataset (split.csv), reports/;
    project.name, which is read where the store is opened.
Produces: artifacts/registered.json: the model's digest and nothing else, so that the same model
    gives the same bytes; the run (restored where the store has none) and a version in MLflow.
Command: python src/stage.py register
"""

from whoswho import paths, trained_with
from whoswho.errors import UserError, one_line_errors
from whoswho.lifecycle.registry import completion, registration, run_page
from whoswho.lifecycle.registry.record import read_record
from whoswho.lifecycle.tracking import lineage, runs
from whoswho.lifecycle.tracking.store import answering, open_store
from whoswho.params import flatten, load_params

CARD = "model_card.md"


def main() -> None:
    """Run the stage in the workspace."""
    params = load_params()
    workspace = paths.workspace()
    record = read_record((workspace / paths.MODEL).parent)
    trained_with.check(record.model.params, params, workspace)
    model, when = record.model, params.register_.when
    flat = {**lineage.training_params(flatten(params)), **model.params}
    tags = lineage.tags(workspace, flat, model.inputs)
    tags |= lineage.backbone_tags(model.backbone, model.picture.crop)
    files = lineage.files(workspace, flat, tags)
    reports = workspace / paths.REPORTS
    if not (reports / CARD).is_file():
        raise UserError(f"{reports / CARD}: not there; run `dvc repro`, which writes it first")
    card = (reports / CARD).read_text(encoding="utf-8")
    with answering(open_store(), workspace / paths.MODEL, reports) as store:
        run = completion.completed_run(store, record, reports, flat, tags, files)
        result = registration.register(store, run.info.run_id, record, when, card)
        run_page.write_view(store)
    paths.write_json(workspace / paths.REGISTERED, {runs.DIGEST: record.digest})
    print(f"register: run {run.info.run_name}; {result.message}")


if __name__ == "__main__":
    with one_line_errors():
        main()
