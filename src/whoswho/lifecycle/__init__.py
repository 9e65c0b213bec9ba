"""What happens to a model after its training: runs, versions, the gate, prediction.

MLflow reads some of its settings while it is imported, so they stand here, before any module of
this package can import it. What a person has set stays.
"""

import os

for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",  # its INFO and WARNING lines are about itself, not the run
    # MLflow's server starts eight more processes for it, which judge language models.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Left alone, MLflow tries an absent server for about four minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}.items():
    os.environ.setdefault(_name, _value)
