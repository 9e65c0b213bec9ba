"""The DVC remote that `dvc push` puts data/ into."""

from __future__ import annotations

import configparser
from pathlib import Path


def warning(workspace: Path) -> str | None:
    """What is wrong with a default remote inside the repository; None where there is no such.

    A push would put private pictures into Git by it.
    """
    config = configparser.ConfigParser()
    config.read([workspace / ".dvc" / "config", workspace / ".dvc" / "config.local"])
    default = config.get("core", "remote", fallback=None)
    if default is None:
        return None
    url = config.get(f"'remote \"{default}\"'", "url", fallback="")
    if "://" in url or not (workspace / ".dvc" / url).resolve().is_relative_to(workspace):
        return None
    return (
        f"the default remote {default!r} lies inside this repository; `dvc push` would put your "
        "pictures into Git: dvc remote default --unset"
    )
