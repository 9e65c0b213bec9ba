"""The server of the champion, one process: it follows the alias `champion` while it runs."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path

import torch
import uvicorn

from whoswho import listening
from whoswho.lifecycle.serving.application import application
from whoswho.lifecycle.serving.champion import Champion
from whoswho.lifecycle.tracking.store import Store

CONNECTIONS = 256  # at once; who comes on top is told to come again (503)
CLOSING_SECONDS = 10  # for requests under way when the server ends


def serve(
    store: Store, workspace: Path, host: str, port: int, allowed: Collection[str] = ()
) -> None:
    """Answer with the champion until Ctrl-C.

    Args:
        workspace: whose training pictures explain an answer.
        allowed: further names under which the server may be asked.

    Raises:
        UserError: there is no champion that answers, or the port is taken.
    """
    with listening.listen(host, port) as opened:
        # Requests side by side take a core each; one that took all would slow the others down.
        torch.set_num_threads(1)
        champion = Champion(store, workspace)
        listening.warn(host, "ask about pictures and see the training pictures most like them")
        config = uvicorn.Config(
            application(champion, host, allowed),
            log_level="critical",
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=CLOSING_SECONDS,
        )
        address = listening.address(host, opened.getsockname()[1])
        number = champion.version.number
        print(
            f"{address} answers with version {number} of {store.project}, the champion, and "
            f"follows it (Ctrl-C ends it); curl -F picture=@photo.jpg {address}/predict",
            flush=True,
        )
        if note := champion.version.predictor.model.description.untrained_note:
            print(f"whoswho: warning: {note}", file=sys.stderr)
        try:
            uvicorn.Server(config).run(sockets=[opened])
        except KeyboardInterrupt:
            print()
