"""Which requests the review page's server answers: those of its own page, and nobody else's.

Besides what any page of this machine asks (see `listening.refusal`), what changes something needs
the token that is in the page alone.
"""

from __future__ import annotations

import secrets

from flask import abort, request

from whoswho import listening


def check_request(host: str, token: str) -> None:
    """Refuse (403) the request at hand where it is not the own page's.

    Args:
        host: the one the server listens on.
        token: what the page holds, asked of every request that may change something.
    """
    why = listening.refusal(request.method, request.path, request.headers, host)
    if why:
        abort(403, why)
    shown = request.headers.get("X-Whoswho-Token", "")
    reads = request.method in ("GET", "HEAD")
    if not reads and not secrets.compare_digest(shown.encode(), token.encode()):
        abort(403, "the server was started anew; reload the page")
