"""`whoswho serve`: the champion behind a page, an upload address and MLflow's own scoring app."""
