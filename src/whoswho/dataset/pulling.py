"""data/ brought from DVC's remote; where that fails, why, and what to do about it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from whoswho import git, paths
from whoswho.dataset import remote, versions
from whoswho.dataset.merging import TRACKED
from whoswho.errors import UserError, one_line
from whoswho.labels import SPLIT_NAMES
from whoswho.timeouts import call_within
from whoswho.wording import plural

if TYPE_CHECKING:
    from dvc.repo import Repo

SAMPLE = "sample"  # the remote that every clone carries
ANSWERS_WITHIN_S = 20.0
_SHOWN = 5  # labels in a sentence
# What the clients of the many kinds of remote say or call their errors, in small letters.
_REFUSED = (
    "credential", "permission", "accessdenied", "access denied", "forbidden", "unauthorized",
    "invalidaccesskey", "signaturedoesnotmatch", "authentication", " 401", " 403",
)  # fmt: skip


def pull(workspace: Path) -> str:
    """Bring data/, where it is absent, from the default remote, or else from the sample's.

    From the default remote come the outputs of the stages too, as far as somebody pushed them:
    what is there is not computed again.

    Returns what was done. What DVC says goes to the terminal as it is.

    Raises:
        UserError: data/ did not come; the message says why and what to do.
    """
    if (workspace / paths.DATA).exists():
        return "pull: data/ is there; `whoswho check` says whether it is what data.dvc names"
    if not (workspace / TRACKED).is_file():
        return f"pull: there is no {TRACKED}, and so nothing to bring"
    name = source(workspace)
    command = [sys.executable, "-m", "dvc", "pull", "--remote", name]
    done = subprocess.run([*command, TRACKED], cwd=workspace, check=False)
    if done.returncode or not (workspace / paths.DATA).exists():
        raise UserError(failure(workspace, name))
    if name != SAMPLE:
        subprocess.run([*command, "--allow-missing"], cwd=workspace, check=False)
    return f"pull: data/ came from {name}"


def source(workspace: Path) -> str:
    """The name of the remote that pictures come from."""
    default = remote.default(workspace)
    return default[0] if default else SAMPLE


def failure(workspace: Path, name: str, version: str = "") -> str:
    """Why the pictures do not come from the remote called `name`, and the cure.

    Args:
        version: DVC's name of the list of pictures; by default the one in data.dvc.
    """
    repo = versions.opened(workspace)
    known = repo.config["remote"]
    if name not in known:
        return (
            f"DVC knows no remote {name!r} (it knows: {', '.join(sorted(known)) or 'none'}); "
            f"`dvc remote add -d {name} ADDRESS`, or `dvc remote default NAME` for another"
        )
    source = f"remote {name} ({known[name].get('url', 'no address')})"
    version = version or versions.named(workspace)
    try:
        missing = call_within(ANSWERS_WITHIN_S, lambda: _missing(repo, name, version))
    except Exception as error:  # noqa: BLE001 - a remote may be of any kind and fail in any way
        return f"{source}: {_trouble(error, name)}"
    if missing is None:
        return f"{source}: has all that {TRACKED} names; run the same command again"
    return f"{source}: {missing}; {_pusher(workspace)}"


def _missing(repo: Repo, name: str, version: str) -> str | None:
    """What the remote lacks of a version's pictures; None where it has all."""
    store = repo.cloud.get_remote_odb(name=name)
    if store.fs.protocol == "local" and not Path(store.path).parents[1].is_dir():
        raise NotADirectoryError(Path(store.path).parents[1])
    try:
        # Read, because a client that is only asked whether it is there takes any failure for no.
        listed = store.fs.cat_file(store.oid_to_path(version))
    except FileNotFoundError:
        return f"has none of the files that {TRACKED} names"
    objects = {str(entry["relpath"]): str(entry["md5"]) for entry in json.loads(listed)}
    there = set(store.oids_exist(sorted(set(objects.values()))))
    lacking = [file for file, md5 in objects.items() if md5 not in there]
    if not lacking:
        return None
    labels = Counter(map(_label, lacking))
    most = [f"{label} {count}" for label, count in labels.most_common(_SHOWN)]
    more = [plural(len(labels) - _SHOWN, "more label")] if len(labels) > _SHOWN else []
    return (
        f"lacks {len(lacking)} of the {len(objects)} files that {TRACKED} names "
        f"({', '.join([*most, *more])})"
    )


def _label(file: str) -> str:
    """The label of a file below data/, in an ordinary set and in one that is split already."""
    folders = file.split("/")[:-1]
    inner = folders[1:] if len(folders) > 1 and folders[0] in SPLIT_NAMES else folders
    return inner[0] if inner else paths.DATA.name


def _trouble(error: Exception, name: str) -> str:
    """An error of a remote's client in words, with the cure."""
    what = one_line(error)
    kind = type(error).__name__
    if isinstance(error, NotADirectoryError):
        return (
            f"there is no folder {what}; mount it, or give the one that you have: "
            f"`dvc remote modify --local {name} url FOLDER`"
        )
    if plugin := re.search(r"requires 'dvc-(\w+)' to be installed", what):
        return f'needs a plugin: `python -m pip install -c constraints.txt "dvc[{plugin[1]}]"`'
    if isinstance(error, PermissionError) or any(w in f"{kind} {what}".lower() for w in _REFUSED):
        return (
            f"refuses you ({what}); it wants credentials that may read it: `dvc remote modify "
            f"--local {name} …`, or those of its own program (docs/team.md)"
        )
    return (
        f"does not answer ({what}); look at the network, a VPN, and the address "
        "(`dvc remote list`), then run the same command again"
    )


def _pusher(workspace: Path) -> str:
    """Who has to push: whoever changed data.dvc last, as far as Git knows."""
    last = git.answer(workspace, "log", "-1", "--format=%an in commit %h", "--", TRACKED)
    who = f" (it was changed last by {last})" if last else ""
    return f"whoever has the pictures must `dvc push`{who}, then run the same command again"
