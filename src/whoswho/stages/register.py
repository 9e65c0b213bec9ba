"""Complete the model's run in MLflow, and bring the model into the registry.

Consumes: artifacts/model, artifacts/evaluation, artifacts/dataset (split.csv),
    artifacts/suspects, reports/;
    project.name, which is read where the store is opened.
Produces: artifacts/registered.json: the model's digest and nothing else, so that the same model
    gives the same bytes; the run (restored where the store has none) and a version in MLflow;
    reports/register.html, no output of the stage: it says how the model stands on this day.
Command: python src/stage.py register
"""

from whoswho import paths, trained_with
from whoswho.errors import UserError
from whoswho.lifecycle.comparison import register_page
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
    (workspace / register_page.PAGE).unlink(missing_ok=True)  # it may be of another model
    card = (reports / CARD).read_text(encoding="utf-8")
    with answering(open_store(), workspace / paths.MODEL, reports) as store:
        run = completion.completed_run(store, record, reports, flat, tags, files)
        result = registration.register(store, run.info.run_id, record, when, card)
        run_page.write_view(store)
        page = register_page.write(store, workspace, run, result, record)
        store.client.log_artifact(run.info.run_id, str(page))
    paths.write_json(workspace / paths.REGISTERED, {runs.DIGEST: record.digest})
    print(
        f"register: run {run.info.run_name}; {result.message}; "
        f"open {register_page.PAGE.as_posix()}"
    )
