"""The DVC remote that `dvc push` puts data/ into."""

from __future__ import annotations

import configparser
from pathlib import Path

from whoswho.errors import UserError, one_line


def default(workspace: Path) -> tuple[str, str] | None:
    """Name and address of the default remote; None where there is none.

    Raises:
        UserError: DVC's config cannot be read.
    """
    # An address may hold a %, which is no reference to another option.
    config = configparser.ConfigParser(interpolation=None)
    files = [workspace / ".dvc" / name for name in ("config", "config.local")]
    try:
        config.read(files, encoding="utf-8")
    except (configparser.Error, UnicodeError) as error:
        raise UserError(f"{files[0]}: cannot be read ({one_line(error)}); mend it") from None
    name = config.get("core", "remote", fallback=None)
    if name is None:
        return None
    return name, config.get(f"'remote \"{name}\"'", "url", fallback="")


def warning(workspace: Path) -> str | None:
    """What is wrong with a default remote inside the repository; None where there is no such.

    A push would put private pictures into Git by it.

    Raises:
        UserError: DVC's config cannot be read.
    """
    name, url = default(workspace) or ("", "://")
    if "://" in url or not (workspace / ".dvc" / url).resolve().is_relative_to(workspace):
        return None
    return (
        f"the default remote {name!r} lies inside this repository; `dvc push` would put your "
        "pictures into Git: dvc remote default --unset"
    )
