"""The server of MLflow's pages over the store of this repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from whoswho.lifecycle.tracking import embedded_store, store

LOCAL = ("127.0.0.1", "localhost", "::1")


def serve(root: Path, host: str = "127.0.0.1", port: int = 5000) -> None:
    """Become the server of MLflow's pages over the embedded store, artifacts included."""
    if (uri := store.address(root, store.project_name(root))).startswith("http"):
        print(f"{store.public(uri)} shows the runs: MLFLOW_TRACKING_URI names it")
        return
    if host not in LOCAL:
        print(
            f"whoswho: warning: {host} is open to others, and these pages ask for no password: "
            "whoever reaches them can read and delete runs, models and pictures",
            file=sys.stderr,
        )
    artifacts = (root.resolve() / embedded_store.ARTIFACTS).as_uri()
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--backend-store-uri", uri, "--default-artifact-root", artifacts]
    command += ["--host", host, "--port", str(port)]
    print(f"http://{host}:{port} shows the runs of {root} (Ctrl-C ends it)", flush=True)
    if os.name == "nt":  # exec would leave the prompt to two programs there
        raise SystemExit(subprocess.call(command, cwd=root))
    os.chdir(root)  # whatever MLflow itself makes lands beside the store
    os.execv(sys.executable, command)
